"""Setups against those of `adapters` 1.3.0, to 1e-5."""

import dataclasses
import tempfile

from absl.testing import parameterized
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import attention
from adapters_jax.adapters import composing
from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import adapterhub_setups
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import setups
from tests.adapters.formats import formats_interop_test as interop
from tests.fixtures import make_method_fixtures as fixtures
from tests.methods import method_cases
from tests.methods import parity_test as parity

torch = pytest.importorskip('torch')
adapters = pytest.importorskip('adapters')
from adapters import composition as theirs  # noqa: E402

pytestmark = pytest.mark.interop

SHAPE = method_cases.SHAPE
SEQ, DOUBLE = 'seq_bn[reduction_factor=4]', 'double_seq_bn[reduction_factor=8]'
PLUS = ("seq_bn[reduction_factor=4,original_ln_after=False,"
        "residual_before_ln=False,scaling='channel']")
LORA = 'lora[r=4,alpha=16,intermediate_lora=True]'


def build(**configs):
  """Returns the library's model with random adapters and one linear head."""
  model = fixtures.make_bert(adapters.BertAdapterModel)
  for seed, (name, config) in enumerate(configs.items()):
    model.add_adapter(name, config=config)
    fixtures.randomize_named(model, lambda key: f'.{name}.' in key, seed)
  model.add_classification_head('h', num_labels=3, layers=1)
  model.load_state_dict(
      {f'heads.h.1.{name}': torch.from_numpy(value)
       for name, value in method_cases.head_tensors().items()}, strict=False)
  return model.eval()


def logits_there(model, setup):
  """Returns the library's logits [batch, 3] of a setup."""
  model.set_active_adapters(setup)
  model.active_head = 'h'
  return interop.logits_there(model)


def read(model, names):
  """Returns the library's adapters as a bank, each with the linear head."""
  bank = {}
  for name in names:
    with tempfile.TemporaryDirectory() as folder:
      model.save_adapter(folder, name)
      _, one = adapterhub.read(folder, SHAPE)
    bank[name] = dataclasses.replace(one, tuned=trees.overlay(
        one.tuned, parity.linear_head()))
  return bank


def logits_here(adapter, batch=None, base=interop.BASE):
  """Returns our logits [batch, 3] of an adapter."""
  batch = batch or method_cases.batch(interop.FULL)
  model = heads.make(SHAPE, adapter.methods, 3, 'cls', adapter.composition)
  base = {part: leaves for part, leaves in base.items() if part != 'pooler'}
  return np.asarray(model.apply(
      {'params': trees.overlay(base, adapter.tuned)}, batch['tokens'],
      batch['segments'], batch['mask']))


def assert_close(found, wanted):
  np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-5)


class SetupsTest(parameterized.TestCase):

  @parameterized.parameters(
      ('stack(a, b)', SEQ, SEQ), ('stack(a, b)', DOUBLE, SEQ),
      ('stack(b, a)', PLUS, DOUBLE), ('stack(a, b)', LORA, SEQ),
      ('stack(a, b)', 'ia3', 'ia3'),
      ('stack(a, b)', 'compacter[reduction_factor=4]', DOUBLE),
      ('stack(a, b)', 'prefix_tuning[prefix_length=3,bottleneck_size=8]',
       'prefix_tuning_flat[prefix_length=2]'),
      ('stack(a, b, c)', SEQ, DOUBLE),
      ('split(a, b, splits=[3, 4])', SEQ, SEQ),
      ('split(a, stack(b, c), splits=[3])', DOUBLE, DOUBLE))
  def test_on_one_hidden_state(self, text, *configs):
    model = build(**dict(zip('abc', (*configs, configs[0]))))
    bank = read(model, 'abc')
    wanted = {
        'stack(a, b)': theirs.Stack('a', 'b'),
        'stack(b, a)': theirs.Stack('b', 'a'),
        'stack(a, b, c)': theirs.Stack('a', 'b', 'c'),
        'split(a, b, splits=[3, 4])': theirs.Split('a', 'b', splits=[3, 4]),
        'split(a, stack(b, c), splits=[3])': theirs.Split(
            'a', theirs.Stack('b', 'c'), splits=[3, 4])}[text]
    assert_close(
        logits_here(composing.compose(bank, text)), logits_there(model, wanted))

  @parameterized.parameters(
      (theirs.Average('a', 'b'), 'average(a, b)', SEQ, SEQ),
      (theirs.Average('a', 'b', weights=[0.7, 0.3]),
       'average(a, b, weights=[7, 3])', DOUBLE, DOUBLE),
      (theirs.Average('a', 'b', weights=[0.7, 0.3]),
       'average(a, b, weights=[7, 3])', LORA, LORA))
  def test_an_average_is_one_and_theirs_is_divided_again(
      self, there, here, *configs):
    model = build(a=configs[0], b=configs[1])
    bank = read(model, 'ab')
    found = logits_here(composing.compose(bank, here))
    # Q10: they divide weights that sum to 1 by the number of members.
    self.assertGreater(np.abs(logits_there(model, there) - found).max(), 1e-2)
    right = theirs.Average(
        'a', 'b', weights=[2 * w for w in there.weights],
        normalize_weights=False)
    assert_close(found, logits_there(model, right))

  def test_parallel_and_batch_split(self):
    # Not SEQ: they normalise the input of a stack in Parallel twice, too (Q9).
    model = build(a=DOUBLE, b=DOUBLE, c=DOUBLE)
    bank = read(model, 'abc')
    batch = method_cases.batch(interop.FULL)
    head = method_cases.head_tensors()

    def there(setup):  # Without their heads, of which Parallel needs several.
      model.set_active_adapters(setup)
      with torch.no_grad():
        hidden = model.bert(
            input_ids=torch.from_numpy(batch['tokens']).long(),
            token_type_ids=torch.from_numpy(batch['segments']).long(),
            attention_mask=torch.from_numpy(batch['mask']).long())[0]
      return hidden[:, 0].numpy() @ head['weight'].T + head['bias']

    columns = composing.segments(bank, 'parallel(a, b, stack(c, a))', 3)
    found = [logits_here(one) for column, _ in columns
             for one in column.values()]
    assert_close(np.concatenate(found), there(
        theirs.Parallel('a', 'b', theirs.Stack('c', 'a'))))
    (column, keys), = composing.segments(
        bank, 'batch_split(a, b, batch_sizes=[1, 2])', 3)
    rows = [logits_here(column[key])[n] for n, key in enumerate(keys)]
    assert_close(np.stack(rows), there(
        theirs.BatchSplit('a', 'b', batch_sizes=[1, 2])))

  @parameterized.parameters(
      # Low ranks: their second reads the first one's update, which is dropped
      # (and crashes where in- and output differ in width). Here both are added.
      ('lora', 'lora[r=4,alpha=16]', 'lora[r=4]'),
      # Parallel adapters: their last one counts alone.
      ('par_bn', 'par_bn[reduction_factor=8]', 'par_bn[reduction_factor=8]'))
  def test_a_second_member_of_a_stack_keeps_the_first(self, kind, *configs):
    model = build(a=configs[0], b=configs[1])
    with torch.no_grad():  # A fresh second adapter changes nothing.
      for name, value in model.named_parameters():
        if '.b.' in name and ('lora_B' in name or 'adapter_up' in name):
          value.zero_()
    bank = read(model, 'ab')
    alone = logits_there(model, 'a')
    assert_close(logits_here(composing.compose(bank, 'stack(a, b)')), alone)
    there = logits_there(model, theirs.Stack('a', 'b'))
    plain = logits_there(model, None)
    assert_close(there, plain)  # As if there were no adapter at all.
    self.assertGreater(np.abs(there - alone).max(), 1e-2, kind)

  def test_members_of_an_average_that_are_stacks(self):
    model = build(a=SEQ, b=SEQ, c=SEQ)
    bank = read(model, 'abc')
    stack = logits_there(model, theirs.Stack('a', 'b'))
    assert_close(logits_here(composing.compose(
        bank, 'average(stack(a, b), stack(a, b))')), stack)
    there = logits_there(model, theirs.Average(
        theirs.Stack('a', 'b'), theirs.Stack('a', 'b'), weights=[1.0, 1.0],
        normalize_weights=False))
    # Q9: they normalise the input of a stack in an average twice.
    self.assertGreater(np.abs(there - stack).max(), 1e-2)

  def test_members_of_other_kinds_are_not_left_out(self):
    model = build(a='prompt_tuning[prompt_length=3]', b=DOUBLE)
    model.add_adapter('c', config='prompt_tuning[prompt_length=2]')
    fixtures.randomize_named(model, lambda key: '.c.' in key, 9)
    bank = read(model, 'abc')
    assert_close(logits_here(composing.compose(bank, 'stack(a, b)')),
                 logits_there(model, theirs.Stack('a', 'b')))
    # They use the first prompt alone.
    assert_close(logits_there(model, theirs.Stack('a', 'c')),
                 logits_there(model, 'a'))
    both = logits_here(composing.compose(bank, 'stack(a, c)'))
    self.assertGreater(np.abs(both - logits_here(bank['a'])).max(), 1e-2)


def build_fusion(config='dynamic', **configs):
  """Returns the library's model with a random fusion of its adapters."""
  model = build(**configs)
  before = {key for key, _ in model.named_parameters()}
  names = list(configs)
  model.add_adapter_fusion(names, config)
  fixtures.randomize_named(model, lambda key: key not in before, 7)
  return model, theirs.Fuse(*names)


class FusionTest(parameterized.TestCase):

  def folder(self):
    return self.enter_context(tempfile.TemporaryDirectory())

  @parameterized.parameters(
      ('dynamic', SEQ, SEQ), ('static', DOUBLE, DOUBLE), ('dynamic', SEQ, PLUS))
  def test_theirs_here_and_back(self, config, one, two):
    model, setup = build_fusion(config, a=one, b=two)
    wanted = logits_there(model, setup)
    folder = self.folder()
    model.save_adapter_setup(folder, setup)
    made = adapterhub_setups.read(folder, SHAPE)
    self.assertEqual(made.setup.value, config == 'dynamic')
    made = dataclasses.replace(made, tuned=trees.overlay(
        made.tuned, parity.linear_head()))
    assert_close(logits_here(made), wanted)
    ours = self.folder()
    exchange.write(ours, made, 'adapterhub')
    again = fixtures.make_bert(adapters.BertAdapterModel)
    again.load_adapter_setup(ours, set_active=True, use_safetensors=True)
    again.active_head = 'b'  # Written with the last adapter.
    assert_close(interop.logits_there(again.eval()), wanted)
    assert_close(logits_here(exchange.read(ours, SHAPE)), wanted)

  def test_a_fuse_in_a_stack(self):
    model, fuse = build_fusion(a=DOUBLE, b=DOUBLE)
    model.add_adapter('c', config=DOUBLE)
    fixtures.randomize_named(model, lambda key: '.c.' in key, 8)
    setup = theirs.Stack('c', fuse)
    wanted = logits_there(model, setup)
    folder = self.folder()
    model.save_adapter_setup(folder, setup)
    made = adapterhub_setups.read(folder, SHAPE)
    self.assertEqual(str(made.setup), 'stack(c, fuse(a, b))')
    assert_close(logits_here(dataclasses.replace(made, tuned=trees.overlay(
        made.tuned, parity.linear_head()))), wanted)

  def test_attention(self):
    model, setup = build_fusion(a=SEQ, b=SEQ)
    folder = self.folder()
    model.save_adapter_setup(folder, setup)
    made = adapterhub_setups.read(folder, SHAPE)
    model.set_active_adapters(setup)
    batch = method_cases.batch(interop.FULL)
    with torch.no_grad():
      out = model.bert(
          input_ids=torch.from_numpy(batch['tokens']).long(),
          token_type_ids=torch.from_numpy(batch['segments']).long(),
          attention_mask=torch.from_numpy(batch['mask']).long(),
          output_adapter_fusion_attentions=True)
    there = out.adapter_fusion_attentions['a,b']
    shape = dataclasses.replace(
        SHAPE, adapters=made.methods, composition=made.composition)
    params = trees.overlay(interop.BASE, made.tuned)
    found = attention._make_step(encoder.Bert(shape))(
        {part: leaves for part, leaves in params.items() if part != 'pooler'},
        batch['tokens'], batch['segments'], batch['mask'])
    for layer in range(SHAPE.layers):
      assert_close(
          found[f'encoder/layer_{layer}/adapter_fusion_ffn_output_0'],
          there[layer]['output_adapter'].mean(1))

  @parameterized.parameters(
      ('residual_before', 'is not supported'), ('temperature', 'not supported'))
  def test_fields_that_change_outputs(self, field, message):
    config = adapters.DynamicAdapterFusionConfig(**{field: True})
    model, setup = build_fusion(config, a=SEQ, b=SEQ)
    if field == 'temperature':  # Q12: it falls with every call.
      self.assertGreater(np.abs(logits_there(model, setup)
                                - logits_there(model, setup)).max(), 1e-6)
    folder = self.folder()
    model.save_adapter_setup(folder, setup)
    with self.assertRaisesRegex(errors.UserError, message):
      adapterhub_setups.read(folder, SHAPE)

  def test_no_dropout_becomes_dropout_there(self):
    model, setup = build_fusion(
        adapters.DynamicAdapterFusionConfig(dropout_prob=0.0), a=SEQ, b=SEQ)
    layer = model.bert.encoder.layer[0].output.adapter_fusion_layer['a,b']
    self.assertEqual(layer.dropout.p, 0.1)  # Q22
    self.assertEqual(setups.parse('fuse(a, b, dropout=0)').dropout, 0)
    folder = self.folder()
    model.save_adapter_setup(folder, setup)
    self.assertEqual(adapterhub_setups.read(folder, SHAPE).setup.dropout, 0.1)
