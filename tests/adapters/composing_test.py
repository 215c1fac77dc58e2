"""Composed adapters: their outputs against single ones, files, errors."""

import dataclasses
import tempfile

from absl.testing import parameterized
import jax
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import composing
from adapters_jax.adapters import exchange
from adapters_jax.adapters import joined_leaves
from adapters_jax.adapters import merge_rules
from adapters_jax.adapters import merging
from adapters_jax.adapters.formats import places
from adapters_jax.model import composition
from adapters_jax.model import heads
from tests import tiny
from tests.adapters import bank_test

BATCH = tiny.random_batch(batch=3, length=7)


def make(text, seed=0, norms=False):
  """Returns an adapter with random leaves, by default with the base's norms."""
  adapter = bank_test.make(text, seed)
  return adapter if norms else dataclasses.replace(
      adapter, tuned=trees.split(
          adapter.tuned, lambda path: trees.role(path) != 'norm')[0])


def logits(adapter):
  """Returns [batch, 2] logits."""
  model = heads.make(
      tiny.CONFIG, adapter.methods, 2, 'cls', adapter.composition)
  base = {part: leaves for part, leaves in bank_test.base().items()
          if part != 'pooler'}
  return np.asarray(tiny.apply(
      model, trees.overlay(base, adapter.tuned), BATCH['tokens'],
      BATCH['segments'], BATCH['mask']))


def close(found, wanted):
  np.testing.assert_allclose(found, wanted, atol=2e-6, rtol=2e-6)


def fused(bank):
  """Returns the fusion of a and b with random attention, and a's head."""
  adapter = composing.compose(bank, 'fuse(a, b)', head='a')
  shapes = places.leaf_shapes(
      adapter.methods, tiny.CONFIG, adapter.composition)
  rng = np.random.default_rng(5)
  return dataclasses.replace(adapter, labels=('0', '1'), tuned=trees.overlay(
      adapter.tuned, trees.unflatten({
          path: rng.standard_normal(leaf.shape, np.float32)
          for path, leaf in shapes.items() if trees.is_fusion(path)})))


def attention_of(adapter):
  """Returns {path: sum} of the leaves of a fusion's attention."""
  return {path: float(leaf.sum()) for path, leaf in trees.flatten(
      adapter.tuned).items() if trees.is_fusion(path)}


class OutputsTest(parameterized.TestCase):

  def test_a_single_name_is_that_adapter(self):
    bank = {'a': make('houlsby[size=3]')}
    self.assertIs(composing.compose(bank, 'a'), bank['a'])
    self.assertIs(composing.compose(bank, 'a', head='a'), bank['a'])
    bank['b'] = make('lora[r=2]', 1)
    found = composing.compose(bank, 'a', head='b')
    self.assertEqual(found.methods, bank['a'].methods)
    jax.tree.map(np.testing.assert_array_equal, found.tuned, {
        **bank['a'].tuned, 'head': bank['b'].tuned['head']})
    with self.assertRaisesRegex(errors.UserError, "unknown 'x'"):
      composing.compose(bank, 'a', head='x')

  @parameterized.parameters('houlsby[size=3]', 'par_bn[size=3]', 'lora[r=2]')
  def test_an_adapter_that_does_nothing_changes_no_stack(self, text):
    bank = {'a': make(text), 'b': make(text, 1)}
    bank['b'] = dataclasses.replace(bank['b'], tuned=trees.overlay(
        jax.tree.map(np.zeros_like, bank['b'].tuned),
        {'head': bank['a'].tuned['head']}))
    for order in ('stack(a, b)', 'stack(b, a)'):
      close(logits(composing.compose(bank, order, head='a')),
            logits(bank['a']))

  def test_a_stack_of_low_ranks_is_their_sum(self):
    bank = {'a': make('lora[r=2,alpha=2]'), 'b': make('lora[r=3,alpha=3]', 1)}
    both = make('lora[r=5,alpha=5]')

    def joined(path, leaf):
      if trees.role(path) != 'adapter':
        return trees.flatten(bank['b'].tuned)[path]
      parts = [trees.flatten(bank[name].tuned)[path] for name in 'ab']
      return np.concatenate(parts, axis=1 if path.endswith('/a') else 0)

    wanted = dataclasses.replace(
        both, tuned=trees.map_with_path(joined, both.tuned))
    close(logits(composing.compose(bank, 'stack(a, b)')), logits(wanted))

  @parameterized.parameters(
      'average(a, a)', 'average(a, b, weights=[1, 0])',
      'average(a, stack(c, b), weights=[3, 0])',
      'split(a, a, splits=[2])', 'split(a, split(a, a, splits=[1]), splits=[3])'
  )
  def test_blocks_that_hold_one_adapter(self, text):
    bank = {'a': make('houlsby[size=3]|lora[r=2]'), 'b': make('seq_bn[size=2]'),
            'c': make('lora[r=1]', 2)}
    close(logits(composing.compose(bank, text, head='a')), logits(bank['a']))

  def test_an_average_of_different_methods_weighs_their_updates(self):
    bank = {'a': make('houlsby[size=3]'), 'b': make('ia3', 1)}
    flat = trees.flatten(bank['a'].tuned)
    half = dataclasses.replace(bank['a'], tuned=trees.unflatten({
        path: leaf / 2 if '/up/' in path else leaf
        for path, leaf in flat.items()}))
    scales = dataclasses.replace(bank['b'], tuned=trees.map_with_path(
        lambda path, leaf: leaf if path.startswith('head') else (leaf + 1) / 2,
        bank['b'].tuned))
    close(logits(composing.compose(bank, 'average(a, b)')),
          logits(composing.compose({'a': half, 'b': scales}, 'stack(a, b)')))

  def test_an_average_of_scaled_outputs_and_inputs_is_that_of_the_scales(self):
    text = 'ia3[sites=["key", "value"]]|ia3_inputs'  # PEFT's IA3.
    bank = {'a': make(text), 'b': make(text, 1)}
    mean = merging.merge(bank, 'ab', merge_rules.average(2), {})
    close(logits(composing.compose(bank, 'average(a, b)', head='a')),
          logits(dataclasses.replace(mean, tuned={
              **mean.tuned, 'head': bank['a'].tuned['head']})))

  def test_a_union_ends_a_sublayer_once(self):
    union = 'adapter_plus[size=3]|seq_bn[size=2]'
    for text in (union, union.replace('3', '3, leave_out=[0]')):
      with self.assertRaisesRegex(errors.UserError, 'adapter_plus.*put it'):
        bank_test.make(text, layers=2)
    make('seq_bn[size=2]|adapter_plus[size=3]')
    bank_test.make('adapter_plus[size=3, leave_out=[0]]|'
                   'seq_bn[size=2, leave_out=[1]]', layers=2)

  def test_padding_changes_nothing(self):
    bank = {'a': make('houlsby[size=3]'), 'b': make('houlsby[size=2]', 1)}
    adapter = composing.compose(bank, 'split(a, b, splits=[3])')
    found = logits(adapter)
    self.assertFalse(BATCH['mask'].all())
    longer = {name: np.pad(BATCH[name], ((0, 0), (0, 2)))
              for name in ('tokens', 'segments', 'mask')}
    model = heads.make(
        tiny.CONFIG, adapter.methods, 2, 'cls', adapter.composition)
    base = {part: leaves for part, leaves in bank_test.base().items()
            if part != 'pooler'}
    close(tiny.apply(model, trees.overlay(base, adapter.tuned), **longer),
          found)

  @parameterized.parameters('split(a, a, splits=[2, 3])', 'split(a, b, c, '
                            'splits=[7, 1])', 'split(a, b, splits=[9, 2])')
  def test_parts_beyond_the_text_are_empty_and_the_last_has_the_rest(
      self, text):
    bank = {'a': make('houlsby[size=3]'), 'b': make('lora[r=2]', 1),
            'c': make('seq_bn[size=2]', 2)}
    close(logits(composing.compose(bank, text, head='a')), logits(bank['a']))

  def test_a_mean_of_outputs_with_and_without_a_norm(self):
    bank = {'a': make('houlsby[size=3]'), 'b': make('adapter_plus[size=3]', 1)}
    with self.assertRaisesRegex(errors.UserError, 'without the layer norm'):
      logits(composing.compose(bank, 'average(a, b)'))


class ComposedTest(parameterized.TestCase):

  def test_a_later_export_leaves_nothing_of_the_setup(self):
    bank = {'a': make('seq_bn[size=3]', norms=True),
            'b': make('double_seq_bn[size=2]', 1)}
    folder = self.enter_context(tempfile.TemporaryDirectory())
    for name, setup in (('a', 'stack(b, a)'), ('b', 'stack(b, b)'), ('b', 'b')):
      written = composing.compose(bank, setup)
      exchange.write(folder, written, 'adapterhub')
      found = exchange.read(folder, tiny.CONFIG)
      self.assertEqual(found.setup, written.setup)
      self.assertEqual([method.width(12, 0) for method in found.methods],
                       [method.size for method in written.methods])
      self.assertEqual(
          'norm' in {trees.role(path) for path in trees.flatten(found.tuned)},
          name == 'a')

  def test_saved_and_taken_apart(self):
    bank = {'lang': make('seq_bn_inv[size=3]'), 'b': make('lora[r=2]', 1),
            'c': make('houlsby[size=2]', 2, norms=True)}
    setup = composition.Stack(
        'lang', composition.Average('b', 'c', weights=(2, 1)))
    whole = composing.compose(bank, setup)
    self.assertEqual(whole.members, (('lang', 2), ('b', 1), ('c', 1)))
    folder = self.enter_context(tempfile.TemporaryDirectory())
    whole.save(folder)
    again = adapter_lib.load(folder)
    self.assertEqual((again.setup, again.members), (setup, whole.members))
    np.testing.assert_array_equal(logits(again), logits(whole))
    taken = composing.member(again, 'c')
    self.assertEqual(taken.methods, bank['c'].methods)
    jax.tree.map(np.testing.assert_array_equal, taken.tuned, bank['c'].tuned)
    with self.assertRaisesRegex(errors.UserError, "unknown 'd'"):
      composing.member(again, 'd')
    with self.assertRaisesRegex(errors.UserError, '`adapter`: .*single one'):
      composing.member(bank['c'], 'c')
    scored = dataclasses.replace(again, scores={'dev': {'accuracy': 0.5}})
    self.assertEqual(composing.member(scored, 'c').scores, {})
    for form, message in (('peft', 'aj.member'), ('adapterhub', 'aj.member')):
      with self.assertRaisesRegex(errors.UserError, message):
        exchange.write(f'{folder}/{form}', whole, form)
    # A composed adapter is a member like any other.
    outer = composing.compose(
        {'whole': whole, 'd': make('lora[r=1]', 3)}, 'stack(d, whole)')
    self.assertEqual(dict(outer.members),
                     {'d': 1, 'whole.lang': 2, 'whole.b': 1, 'whole.c': 1})
    wanted = composing.compose(
        {**bank, 'd': make('lora[r=1]', 3)},
        composition.Stack('d', *setup.members))
    np.testing.assert_array_equal(logits(outer), logits(wanted))

  def test_a_trained_fusion_in_files_and_next_to_another_fuse(self):
    bank = {name: make('houlsby[size=3]', seed)
            for seed, name in enumerate('ab')}
    bank['c'] = fused(bank)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    for form in ('own', 'adapterhub'):
      exchange.write(f'{folder}/{form}', bank['c'], form)
      found = exchange.read(f'{folder}/{form}', tiny.CONFIG)
      jax.tree.map(
          np.testing.assert_array_equal, found.tuned, bank['c'].tuned)
    attention = attention_of(bank['c'])
    for setup, index in (('stack(fuse(a, b), c)', 1), ('stack(c, a)', 0),
                         ('stack(c, fuse(a, b))', 0)):
      outer = composing.compose(bank, setup)
      self.assertEqual(attention_of(outer), {
          path.replace('output_0/', f'output_{index}/'): total
          for path, total in attention.items()})
      self.assertEqual(
          joined_leaves.untrained(outer.setup, outer.tuned), 'fuse' in setup)
    plain = composing.compose(
        bank, 'fuse(a, b, query=False, key=False, value=False)')
    self.assertFalse(joined_leaves.untrained(plain.setup, plain.tuned))

  def test_trained_norms_that_differ(self):
    bank = {name: make('houlsby[size=3]', seed, norms=True)
            for seed, name in enumerate('ab')}
    with self.assertRaisesRegex(errors.UserError, 'differ.*norms=last'):
      composing.compose(bank, 'stack(a, b)')
    norm = 'encoder/layer_0/ffn_norm/scale'
    a, b = (trees.flatten(bank[name].tuned)[norm] for name in 'ab')
    for norms, wanted in (('last', b), ('first', a), ('average', (a + b) / 2)):
      found = composing.compose(bank, f'stack(a, b, norms={norms})')
      np.testing.assert_allclose(
          trees.flatten(found.tuned)[norm], wanted, rtol=1e-6)
    found = composing.compose(bank, 'stack(a, b, norms=base)')
    self.assertNotIn(norm, trees.flatten(found.tuned))

  @parameterized.parameters(
      ('stack(a, x)', "unknown 'x'"),
      ('parallel(a, b)', 'compose takes blocks on one hidden state'),
      ('stack(a, full)', 'fine-tuned weights'),
      ('stack(a, other)', 'differ in their base'),
      ('stack(a, b, head=c)', "unknown 'head'"))
  def test_setups_that_cannot_be(self, text, message):
    a = make('lora[r=2]')
    bank = {
        'a': dataclasses.replace(a, base='minilm-l6'), 'b': a,
        'full': dataclasses.replace(
            a, methods=(), tuned=bank_test.base()),
        'other': dataclasses.replace(a, base='mpnet-base')}
    before = dict(bank)
    with self.assertRaisesRegex(errors.UserError, message):
      composing.compose(bank, text)
    self.assertEqual(list(bank), list(before))

  def test_a_fuse_gets_its_head_in_training(self):
    bank = {name: make('houlsby[size=3]', seed)
            for seed, name in enumerate('ab')}
    self.assertIsNone(composing.compose(bank, 'fuse(a, b)').outputs)
