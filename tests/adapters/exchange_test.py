"""Tests of formats found, shapes read from trees, and repositories fetched."""

import dataclasses
import json
import os

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.adapters import base_shape
from adapters_jax.adapters import exchange
from adapters_jax.adapters import locations
from adapters_jax.adapters import prediction
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.downloads import hub
from adapters_jax.model import base as base_lib
from adapters_jax import trees
from tests import outputs
from tests import tiny
from tests.adapters import bank_test


make = bank_test.make_two_layers


@pytest.fixture(scope='module')
def checkpoint(two_layers) -> str:
  """Two layers, as names of tensors count layers."""
  return two_layers


@pytest.mark.parametrize('text', [
    'bottleneck[size=3]', 'lora[r=2]', '', 'prefix_tuning_flat',
    'lora[r=2, leave_out=[1]]',  # The norms show the last layer.
])
def test_the_shape_of_a_base_is_seen_in_an_adapter(text):
  adapter = make(text or 'lora')
  if not text:
    adapter = dataclasses.replace(adapter, methods=())
  shape = base_shape.infer(adapter)
  assert (shape.dim, shape.layers) == (12, 2)
  bare, _ = trees.split(
      adapter.tuned, lambda path: trees.role(path) in ('adapter', 'head'))
  bare = dataclasses.replace(adapter, tuned=bare)
  if text in ('bottleneck[size=3]', 'lora[r=2]'):
    assert base_shape.infer(bare) == shape
  else:  # Neither norms nor methods need to be in the last layer.
    with pytest.raises(errors.UserError, match='`base`.*load_base'):
      base_shape.infer(bare)


def test_exports_without_a_base_are_those_with_it(checkpoint, tmp_path):
  adapter = dataclasses.replace(
      make('lora[r=2, leave_out=[1]]'), base='tiny@0123456789abcdef')
  for name, where in (('seen', ''), ('told', checkpoint)):
    exchange.write(
        str(tmp_path / name), adapter, 'adapterhub', checkpoint=where)
  for file in (adapterhub.CONFIG, adapterhub.WEIGHTS):
    assert (tmp_path / 'seen' / file).read_bytes() == (
        tmp_path / 'told' / file).read_bytes()


def test_the_pooler_is_of_the_base(checkpoint, tmp_path):
  adapter = dataclasses.replace(
      make('lora[r=2]'), head_input='pooler', labels=('no', 'yes'))
  with pytest.raises(errors.UserError, match='`base`: the head reads'):
    exchange.write(str(tmp_path / 'x'), adapter, 'adapterhub')
  exchange.write(str(tmp_path / 'x'), adapter, 'adapterhub',
                 checkpoint=checkpoint)
  base = base_lib.load(checkpoint)
  back = exchange.read(str(tmp_path / 'x'), base.config)
  assert (back.labels, back.max_length) == (('no', 'yes'), 40)
  np.testing.assert_array_equal(
      back.tuned['pooler']['kernel'], base.params['pooler']['kernel'])
  texts = ['a good film', 'very dull']
  np.testing.assert_allclose(
      outputs.logits(base, back, texts),
      outputs.logits(base, adapter, texts), atol=1e-6)


def test_heads_of_attention_are_of_the_base(checkpoint, tmp_path):
  adapter = dataclasses.replace(
      make('prefix_tuning_flat[shift_positions=True]'),
      head_input='pooler')
  tuned, _ = trees.split(
      adapter.tuned, lambda path: trees.role(path) != 'norm')
  adapter = dataclasses.replace(adapter, tuned=tuned)
  with pytest.raises(errors.UserError, match='`base`'):
    exchange.write(str(tmp_path / 'x'), adapter, 'peft')
  exchange.write(str(tmp_path / 'x'), adapter, 'peft', checkpoint=checkpoint)
  values = json.loads((tmp_path / 'x' / 'adapter_config.json').read_text())
  assert values['num_attention_heads'] == tiny.TWO_LAYERS.heads


def test_weights_of_the_base_and_its_activation(checkpoint, tmp_path):
  base = base_lib.load(checkpoint)
  tuned = jax.tree.map(lambda leaf: leaf + 1, {
      name: leaves for name, leaves in base.params.items() if name != 'pooler'})
  full = dataclasses.replace(
      make(), methods=(), hidden_activation='gelu_tanh',
      tuned={**tuned, 'head': make().tuned['head']})
  own, whole = str(tmp_path / 'own'), str(tmp_path / 'whole')
  exchange.write(own, full, 'own', checkpoint=checkpoint)
  full = exchange.read(own, base.config)
  for form in ('adapterhub', 'peft', 'adapter_bert'):
    with pytest.raises(errors.UserError, match='fine-tuned weights alone'):
      exchange.write(str(tmp_path / 'x'), full, form, checkpoint=checkpoint)
  exchange.write(whole, full, 'sentence_transformers', checkpoint=checkpoint)
  found = base_lib.load(whole)
  assert found.config.activation == 'gelu_tanh'
  jax.tree.map(np.testing.assert_array_equal, tuned, {
      name: found.params[name] for name in tuned})


@pytest.mark.parametrize('form', ['adapterhub', 'peft', 'adapter_bert'])
def test_a_note_on_the_activation_of_the_base(form, checkpoint, tmp_path):
  adapter = make(
      'bottleneck[size=3, activation=gelu_tanh]' if form == 'adapter_bert' else
      'lora[r=2]')
  adapter = dataclasses.replace(adapter, head_input='pooler')
  noted = [any('activation' in note for note in exchange.write(
      str(tmp_path / name),
      dataclasses.replace(adapter, hidden_activation=name), form,
      checkpoint=checkpoint)) for name in ('', 'gelu_tanh')]
  assert noted == ([True, False] if form == 'adapter_bert' else [False, True])


def test_embeddings_have_no_head_to_leave_out(tmp_path):
  adapter = make('lora[r=2]')
  del adapter.tuned['head']
  adapter = dataclasses.replace(adapter, head_input='embedding_max')
  for head in (True, False):
    exchange.write(str(tmp_path / str(head)), adapter, 'own', head=head)
    exchange.write(str(tmp_path / 'peft'), adapter, 'peft', head=head)
    back = exchange.read(str(tmp_path / str(head)), tiny.TWO_LAYERS)
    assert back.head_input == 'embedding_max'
    values = json.loads((tmp_path / 'peft/adapter_config.json').read_text())
    assert values['task_type'] == 'FEATURE_EXTRACTION'


def test_an_own_folder_without_a_head(checkpoint, tmp_path):
  adapter = dataclasses.replace(
      make('lora[r=2]'), head_input='pooler', labels=('no', 'yes'),
      threshold=0.3)
  exchange.write(
      tmp_path / 'x', adapter, 'own', checkpoint=checkpoint, head=False)
  back = exchange.read(tmp_path / 'x', tiny.TWO_LAYERS)
  assert (back.outputs, back.labels, back.threshold) == (None, (), None)
  jax.tree.map(np.testing.assert_array_equal, back.tuned['encoder'],
               adapter.tuned['encoder'])
  with pytest.raises(errors.UserError, match='no head to predict with'):
    prediction.load(str(tmp_path / 'x'), checkpoint)
  exchange.write(tmp_path / 'y', back, 'own')
  assert exchange.read(tmp_path / 'y', tiny.TWO_LAYERS) == back


def test_an_own_folder_takes_the_base_it_is_given(checkpoint, tmp_path):
  adapter = dataclasses.replace(
      make('lora[r=2]'), base='other@01', settings={'seed': 1})
  exchange.write(str(tmp_path / 'x'), adapter, 'own', checkpoint=checkpoint)
  base, back = prediction.load(str(tmp_path / 'x'), checkpoint)
  assert back.base == base.identity and 'seed' not in back.settings
  assert back.labels == ('0', '1')  # Names for a reader that needs some.
  exchange.write(str(tmp_path / 'y'), adapter, 'own')
  assert json.loads((tmp_path / 'y' / 'config.json').read_text())[
      'config'] == {'seed': 1}


def test_a_repository_of_the_hub(tmp_path, monkeypatch):
  folder = tmp_path / 'snapshots' / 'abc'
  exchange.write(str(folder), make('lora[r=2]'), 'adapterhub')
  asked = []

  def file(name, path, revision=None):
    asked.append((name, path, revision))
    if not (folder / path).exists():
      raise FileNotFoundError(path)
    return str(folder / path)

  monkeypatch.setattr(hub, 'file', file)
  assert locations.download('owner/name') == str(folder)
  assert asked[0] == ('owner/name', adapterhub.CONFIG, None)
  assert {revision for _, _, revision in asked[1:]} == {'abc'}
  assert {path for _, path, _ in asked} >= set(os.listdir(folder))
  os.remove(folder / adapterhub.CONFIG)
  with pytest.raises(errors.UserError, match='`path=owner/name`'):
    locations.download('owner/name')


def test_a_variables_file_with_the_norms_of_the_base(checkpoint, tmp_path):
  whole = dataclasses.replace(
      make('bottleneck[size=3, activation=gelu_tanh]'),
      head_input='pooler', hidden_activation='gelu_tanh')
  tuned, _ = trees.split(
      whole.tuned, lambda path: trees.role(path) != 'norm')
  adapter = dataclasses.replace(whole, tuned=tuned)
  with pytest.raises(errors.UserError, match='`base`: layer norms'):
    exchange.write(tmp_path / 'x', adapter, 'adapter_bert')
  exchange.write(tmp_path / 'x', adapter, 'adapter_bert', checkpoint=checkpoint)
  back = exchange.read(tmp_path / 'x.npz', tiny.TWO_LAYERS)
  base = base_lib.load(checkpoint)
  texts = ['a good film', 'very dull']
  np.testing.assert_allclose(
      outputs.logits(base, back, texts),
      outputs.logits(base, adapter, texts), atol=1e-6)
  bare = exchange.read(tmp_path / 'x.npz', tiny.TWO_LAYERS, head=False)
  assert bare.outputs is None
  with pytest.raises(errors.UserError, match='`head`'):
    exchange.write(tmp_path / 'y', whole, 'adapter_bert', head=False)


def test_a_model_for_embeddings_leaves_out_the_head(checkpoint, tmp_path):
  adapter = dataclasses.replace(
      make('lora[r=2]'), head_input='pooler', labels=('no', 'yes'),
      threshold=0.3)
  form = 'sentence_transformers'
  note, = exchange.write(
      tmp_path / 'x', adapter, form, checkpoint=checkpoint)
  assert note.startswith(
      "the head is left out, `labels=('no', 'yes')`, `threshold=0.3`")
  assert exchange.write(tmp_path / 'y', adapter, form, checkpoint=checkpoint,
                        head=False) == []


@pytest.mark.parametrize('name, content, message', [
    ('x.npz', 'x', 'cannot be read'), ('adapter_config.json', '{', 'be read'),
    ('other.txt', '', 'there is no')])
def test_what_is_no_adapter(name, content, message, tmp_path):
  (tmp_path / name).write_text(content)
  path = str(tmp_path / name) if name.endswith('.npz') else str(tmp_path)
  with pytest.raises(errors.UserError, match=f'`path.*{message}'):
    exchange.read(path, tiny.TWO_LAYERS)


@pytest.mark.parametrize('form, changed, message', [
    ('peft', {'layers': 1}, 'layer.1.* has no place'),
    ('peft', {'dim': 24}, r'a is \(12, 2\), not \(24, 2\)'),
    ('adapterhub', {'layers': 1}, 'layer.1.* has no place'),
    ('own', {'layers': 3}, 'missing: .*layer_2'),
    ('own', {'dim': 24}, r'a is \(12, 2\), not \(24, 2\)')])
def test_an_adapter_of_another_base(
    form, changed, message, checkpoint, tmp_path):
  adapter = dataclasses.replace(
      make('lora[r=2]'), head_input='pooler')
  exchange.write(tmp_path, adapter, form, checkpoint=checkpoint)
  shape = dataclasses.replace(tiny.TWO_LAYERS, **changed)
  with pytest.raises(errors.UserError, match=(
      f'^`path={tmp_path}`: .*{message}|^`path={tmp_path}` .*{message}')) as (
          found):
    exchange.read(tmp_path, shape)
  assert str(found.value).endswith(
      f'; the given base is a bert of {shape.layers} layers, width {shape.dim}'
      ': give another base if the adapter is for one')


@pytest.mark.parametrize('text, form, entry, value', [
    ('par_bn[size=3]', 'adapterhub', 'scaling', 10**30),
    ('par_bn[size=3]', 'adapterhub', 'reduction_factor', 1e-308),
    ('par_bn[size=3]', 'adapterhub', 'reduction_factor', 1e308),
    ('lora[r=2]', 'adapterhub', 'r', 10**30),
    ('lora[r=2]', 'adapterhub', 'leave_out', [10**30]),
    ('prompt_tuning[prompt_length=2]', 'adapterhub', 'prompt_length', 10**12),
    ('lora[r=2]', 'peft', 'r', 10**30),
    ('lora[r=2]', 'peft', 'lora_alpha', 10**400),
    ('prompt_tuning[combine=words, prompt_length=2]', 'peft',
     'num_virtual_tokens', 10**30),
    ('prompt_tuning[combine=words, prompt_length=2]', 'peft',
     'num_virtual_tokens', 1e308)])
def test_values_out_of_range(text, form, entry, value, checkpoint, tmp_path):
  tuned, _ = trees.split(
      make(text).tuned, lambda path: trees.role(path) != 'norm')
  adapter = dataclasses.replace(
      make(text), tuned=tuned, head_input='pooler')
  exchange.write(tmp_path, adapter, form, checkpoint=checkpoint)
  path = tmp_path / adapterhub.CONFIG
  values = json.loads(path.read_text())
  inner = values['config'] if form == 'adapterhub' else values
  assert entry in inner
  inner[entry] = value
  path.write_text(json.dumps(values))
  with pytest.raises(errors.UserError) as found:
    exchange.read(tmp_path, tiny.TWO_LAYERS)
  assert len(str(found.value).splitlines()) == 1


def test_an_unknown_format_is_named(tmp_path):
  with pytest.raises(errors.UserError, match='`format`.*mean peft'):
    exchange.write(str(tmp_path), make(), 'pefd')
