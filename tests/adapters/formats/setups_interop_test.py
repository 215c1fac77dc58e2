"""Folders of `save_adapter_setup` against `adapters` 1.3.0, to 1e-5."""

import dataclasses
from unittest import mock

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import adapterhub_setups
from adapters_jax.adapters.formats import setup_checks
from tests.adapters import composing_interop_test as composing
from tests.adapters.formats import formats_interop_test as interop
from tests.fixtures import make_method_fixtures as fixtures
from tests.methods import method_cases
from tests.methods import parity_test as parity

torch = pytest.importorskip('torch')
adapters = pytest.importorskip('adapters')
from adapters import composition as theirs  # noqa: E402

pytestmark = pytest.mark.interop

SHAPE = method_cases.SHAPE
SEQ, INV = composing.SEQ, 'seq_bn_inv[reduction_factor=4]'
PREFIX = 'prefix_tuning_flat[prefix_length=2]'
LORA, PAR = 'lora[r=4]', 'par_bn[reduction_factor=8]'


def build(*configs, names='abc'):
  """Returns the library's model with a head of the name of each adapter."""
  model = fixtures.make_bert(adapters.BertAdapterModel)
  for seed, (name, config) in enumerate(zip(names, configs, strict=False)):
    model.add_adapter(name, config=config)
    model.add_classification_head(name, num_labels=3, layers=1)
    fixtures.randomize_named(model, lambda key: f'.{name}.' in key, seed)
  return model.eval()


@pytest.mark.parametrize('configs', [
    (SEQ, SEQ), (PREFIX, PREFIX), (INV, SEQ), (LORA, SEQ), (PAR, LORA),
    ('ia3[alpha=2]', 'ia3'), ('loreft', PREFIX),
    ('prompt_tuning[prompt_length=3]', SEQ)])
def test_stacks_that_are_equal_here_and_back(configs, tmp_path):
  model = build(*configs)
  setup = theirs.Stack('a', 'b')
  model.set_active_adapters(setup)
  wanted = interop.logits_there(model)
  model.save_adapter_setup(str(tmp_path / 'theirs'), setup)
  made = exchange.read(tmp_path / 'theirs', SHAPE)
  composing.assert_close(composing.logits_here(made), wanted)
  adapterhub_setups.write(str(tmp_path / 'ours'), '', made, {}, SHAPE)
  again = fixtures.make_bert(adapters.BertAdapterModel)
  again.load_adapter_setup(str(tmp_path / 'ours'), set_active=True)
  composing.assert_close(interop.logits_there(again.eval()), wanted)


@pytest.mark.parametrize('configs, message', [
    ((LORA, LORA), 'LoRA'), ((PAR, PAR), 'parallel'), ((SEQ, PAR), 'parallel'),
    ((INV, INV), 'first member'), ((SEQ, INV), 'first member'),
    (('noreft', 'noreft'), 'first member'),
    (('ia3', 'ia3[use_gating=True]'), 'LoRA'),
    ((SEQ, 'prompt_tuning[prompt_length=3]'), 'first member')])
def test_stacks_that_differ_are_refused(configs, message, tmp_path):
  model = build(*configs)
  model.save_adapter_setup(str(tmp_path), theirs.Stack('a', 'b'))
  with pytest.raises(errors.UserError, match=f'setup.json.*{message}'):
    exchange.read(tmp_path, SHAPE)


@pytest.mark.parametrize('one, two, message', [
    (SEQ, 'seq_bn[reduction_factor=4,original_ln_before=False]', 'of the last'),
    (SEQ, 'seq_bn[reduction_factor=4,use_gating=True]', 'gates'),
    (SEQ, 'seq_bn[reduction_factor=4,ln_after=True]', 'ln_after')])
def test_fusions_that_differ_are_refused(one, two, message, tmp_path):
  model, setup = composing.build_fusion(a=one, b=two)
  model.save_adapter_setup(str(tmp_path), setup)
  with pytest.raises(errors.UserError, match=f'setup.json.*{message}'):
    exchange.read(tmp_path, SHAPE)


def test_parallel_adapters_in_a_fuse(tmp_path):
  model, setup = composing.build_fusion('static', a=PAR, b=PAR)
  values = dict(model.named_parameters())
  with torch.no_grad():  # Two equal members: any weights give either.
    for name, value in values.items():
      if '.b.' in name:
        value.copy_(values[name.replace('.b.', '.a.')])
  alone = composing.logits_there(model, 'a')
  # They add the input of the sublayer twice.
  assert np.abs(composing.logits_there(model, setup) - alone).max() > 1e-2
  model.save_adapter_setup(str(tmp_path), setup)
  with pytest.raises(errors.UserError, match='adds their input twice'):
    exchange.read(tmp_path, SHAPE)
  with mock.patch.object(setup_checks, 'difference', return_value=''):
    made = exchange.read(tmp_path, SHAPE)
  composing.assert_close(composing.logits_here(dataclasses.replace(
      made, tuned=trees.overlay(made.tuned, parity.linear_head()))), alone)


@pytest.mark.parametrize('head', ['a', 'b', None])
def test_the_head_that_the_file_names(head, tmp_path):
  model = build(SEQ, SEQ)
  setup = theirs.Stack('a', 'b')
  model.save_adapter_setup(str(tmp_path), setup, head_setup=head)
  model.set_active_adapters(setup)
  logits = {}
  for name in 'ab':
    model.active_head = name
    logits[name] = interop.logits_there(model)
  assert np.abs(logits['a'] - logits['b']).max() > 0.1
  composing.assert_close(
      composing.logits_here(exchange.read(tmp_path, SHAPE)),
      logits[head or 'b'])


def test_the_last_of_a_stack_has_the_head_also_where_it_is_first(tmp_path):
  model = build(SEQ, SEQ)
  setup = theirs.Stack('a', 'b', 'a')
  model.save_adapter_setup(str(tmp_path), setup)
  model.set_active_adapters(setup)
  wanted = interop.logits_there(model)
  made = exchange.read(tmp_path, SHAPE)
  composing.assert_close(composing.logits_here(made), wanted)
  exchange.write(tmp_path / 'ours', made, 'adapterhub')
  assert (tmp_path / 'ours/a/head_config.json').exists()
  composing.assert_close(composing.logits_here(
      exchange.read(tmp_path / 'ours', SHAPE)), wanted)


def test_a_head_of_another_name(tmp_path):
  model = build(SEQ, SEQ)
  model.add_classification_head('h', num_labels=3)
  model.save_adapter_setup(
      str(tmp_path), theirs.Stack('a', 'b'), head_setup='h')
  with pytest.raises(errors.UserError, match='head_setup.*head=False'):
    exchange.read(tmp_path, SHAPE)
  made = exchange.read(tmp_path, SHAPE, head=False)
  assert (made.outputs, str(made.setup)) == (None, 'stack(a, b)')


def test_a_fuse_without_the_last_at_a_site_fails_there(tmp_path):
  double = 'double_seq_bn[reduction_factor=8]'
  model, fuse = composing.build_fusion(a=SEQ, b=SEQ)
  model.add_adapter('c', config=double)
  setup = theirs.Stack('c', fuse)
  with pytest.raises(KeyError):
    composing.logits_there(model, setup)
  model.save_adapter_setup(str(tmp_path / 'x'), setup)
  made = exchange.read(tmp_path / 'x', SHAPE)
  made = dataclasses.replace(made, tuned=trees.overlay(
      made.tuned, parity.linear_head()))
  notes = exchange.write(tmp_path / 'y', made, 'adapterhub')
  assert any('fails on stack(c, fuse(a, b))' in note for note in notes)
