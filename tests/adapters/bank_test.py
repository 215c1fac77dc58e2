import dataclasses
import functools
import os
from unittest import mock

from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax.adapters import adapter
from adapters_jax.adapters import bank as bank_lib
from adapters_jax import errors
from adapters_jax.methods import strings
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.model import shapes as shapes_lib
from adapters_jax import trees
from tests import tiny


def make(text='bottleneck[size=3]', seed=0, layers=tiny.CONFIG.layers):
  """Returns an adapter with random leaves."""
  configs = strings.parse(text)
  shape = dataclasses.replace(tiny.CONFIG, adapters=configs, layers=layers)
  shapes = shapes_lib.of(heads.Classifier(shape, 2))  # Traced once.
  tuned, _ = trees.split(shapes, lambda path: trees.role(path) != 'encoder')
  rng = np.random.default_rng(seed)
  return adapter.Adapter(configs, jax.tree.map(
      lambda leaf: 0.4 * rng.standard_normal(leaf.shape, np.float32), tuned))


make_two_layers = functools.partial(make, layers=2)


@functools.cache
def base(layers=tiny.CONFIG.layers):
  return pretrained.from_hugging_face(tiny.random_tensors(
      tiny.hugging_face_shapes(12, layers, 20, len(tiny.VOCABULARY), 40)))


class BankTest(parameterized.TestCase):

  def test_add_delete_and_rename_leave_the_old_bank_alone(self):
    one = make()
    old = bank_lib.add({}, 'film', one)
    new = bank_lib.add(old, 'food', make(seed=1))
    self.assertEqual(list(old), ['film'])
    self.assertEqual(list(new), ['film', 'food'])
    self.assertEqual(list(bank_lib.rename(new, 'film', 'cinema')),
                     ['cinema', 'food'])
    self.assertEqual(list(bank_lib.delete(new, 'film')), ['food'])
    self.assertEqual(list(new), ['film', 'food'])
    self.assertIs(new['film'], one)

  def test_a_taken_name_needs_overwrite(self):
    one, two = make(), make(seed=1)
    old = {'film': one, 'food': two}
    with self.assertRaisesRegex(errors.UserError, "'film'.*overwrite=True"):
      bank_lib.add(old, 'film', two)
    with self.assertRaisesRegex(errors.UserError, "'food'.*overwrite=True"):
      bank_lib.rename(old, 'film', 'food')
    self.assertEqual(old, {'film': one, 'food': two})
    self.assertIs(
        bank_lib.add(old, 'film', two, overwrite=True)['film'], two)
    self.assertEqual(
        bank_lib.rename(old, 'film', 'food', overwrite=True), {'food': one})
    self.assertEqual(bank_lib.rename(old, 'film', 'film'), old)

  @parameterized.parameters(
      lambda b: bank_lib.delete(b, 'flim'),
      lambda b: bank_lib.rename(b, 'flim', 'x'),
      lambda b: bank_lib.activate(b, 'flim', tiny.CONFIG, {}),
      lambda b: bank_lib.stack(b, ['film', 'flim']),
      lambda b: bank_lib.summary(b, {}, 'flim'),
  )
  def test_an_unknown_name_raises_with_a_near_match(self, call):
    bank = {'film': make()}
    with self.assertRaisesRegex(errors.UserError, "'flim'.*mean film"):
      call(bank)
    self.assertEqual(list(bank), ['film'])
    with self.assertRaisesRegex(errors.UserError, 'the bank is empty'):
      bank_lib.delete({}, 'flim')

  @mock.patch.dict(os.environ, FORCE_COLOR='1')
  @mock.patch('rich.console._is_jupyter', lambda: True)
  def test_summary_is_plain_text_in_a_notebook_too(self):
    text = bank_lib.summary({'a': make()}, base())
    self.assertIn('bottleneck[size=3]', text)
    self.assertNotIn('\x1b', text)

  def test_summary_counts_what_trains(self):
    bank = {'a': make(), 'b': make('vera[r=4]')}
    text = bank_lib.summary(bank, base(), active='b')
    rows = {line.split()[1]: line.split() for line in text.splitlines()
            if line.startswith('│')}
    # 2 sites of 2 * 3 * 12 + 12 + 3; 3 norms of 24; a head of 26.
    self.assertIn(f'{2 * 87 + 3 * 24 + 26}', rows['a'])
    # Per site 4 + 12: the random projections do not train.
    self.assertIn(f'{2 * 16 + 3 * 24 + 26}', rows['b'])
    self.assertIn('vera[r=4]', rows['b'])
    self.assertIn('yes', rows['b'])
    self.assertNotIn('yes', rows['a'])

  def test_a_mixed_batch_equals_one_by_one(self):
    bank = {name: make(seed=seed) for seed, name in enumerate('abc')}
    inputs = tiny.random_batch(batch=5, length=6)
    inputs = [jnp.asarray(inputs[k]) for k in ('tokens', 'segments', 'mask')]
    model, _ = bank_lib.activate(bank, 'a', tiny.CONFIG, base())
    _, stacked = bank_lib.stack(bank, 'abc')
    ids = jnp.asarray([2, 0, 1, 2, 0])
    mixed = jax.jit(lambda *args: bank_lib.apply_mixed(model, *args))(
        base(), stacked, ids, *inputs)
    apply = jax.jit(lambda params: model.apply({'params': params}, *inputs))
    for row, index in enumerate(ids):
      _, params = bank_lib.activate(
          bank, 'abc'[index], tiny.CONFIG, base())
      np.testing.assert_allclose(
          mixed[row], apply(params)[row], atol=2e-6, rtol=1e-5)
    self.assertGreater(np.abs(mixed[1] - mixed[4]).max(), 0)
    with self.assertRaisesRegex(errors.UserError, 'another method'):
      bank_lib.stack({**bank, 'l': make('lora')}, ['a', 'l'])

  def test_the_model_has_the_activation_of_the_training(self):
    relu = dataclasses.replace(make(), hidden_activation='relu')
    bank = {'gelu': make(), 'relu': relu}
    for name in bank:
      model, _ = bank_lib.activate(bank, name, tiny.CONFIG, base())
      self.assertEqual(model.config.activation, name)

  @pytest.mark.slow
  def test_layer_norms_alone_that_find_spans(self):
    tuned, _ = trees.split(
        make().tuned, lambda path: trees.role(path) in ('norm', 'head'))
    bank = {'qa': adapter.Adapter((), tuned, 'tokens')}
    model, params = bank_lib.activate(bank, 'qa', tiny.CONFIG, base())
    batch = tiny.random_batch(batch=2, length=5)
    inputs = [jnp.asarray(batch[k]) for k in ('tokens', 'segments', 'mask')]
    logits = model.apply({'params': params}, *inputs)
    self.assertEqual(logits.shape, (2, 5, 2))
    _, stacked = bank_lib.stack(bank, ['qa', 'qa'])
    mixed = bank_lib.apply_mixed(
        model, base(), stacked, jnp.asarray([0, 1]), *inputs)
    np.testing.assert_allclose(mixed, logits, atol=2e-6, rtol=1e-5)
    self.assertIn('layer norms', bank_lib.summary(bank, base()))
