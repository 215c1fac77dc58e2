import dataclasses
from unittest import mock

from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import folding
from adapters_jax.adapters import merge_rules
from adapters_jax.adapters import merging
from adapters_jax.api import face
from adapters_jax import errors
from adapters_jax.methods import lora
from adapters_jax import trees
from tests.methods import methods_test as common


def adapter(text, seed=0):
  model, tuned = common.make(text)
  return adapter_lib.Adapter(model.config.adapters,
                             common.perturbed(tuned, seed))


def at(tree, name='query'):
  return tree['encoder']['layer_1']['attention'][f'adapter_{name}_0']


class MergeTest(parameterized.TestCase):

  def test_average_and_task_arithmetic(self):
    bank = {'a': adapter('lora[r=2]'), 'b': adapter('lora[r=2]', 1)}
    norm = {'encoder': {'layer_1': {'ffn_norm': {'scale': jnp.full(8, 3.0)}}}}
    base = trees.overlay(common.base(), jax.tree.map(lambda x: x - 2, norm))
    bank = {name: dataclasses.replace(
        made, tuned=trees.overlay(made.tuned, norm))
        for name, made in bank.items()}
    mean = merging.merge(bank, 'ab', merge_rules.average(2), base)
    np.testing.assert_allclose(
        at(mean.tuned)['a'],
        (at(bank['a'].tuned)['a'] + at(bank['b'].tuned)['a']) / 2, rtol=1e-5)
    total = merging.merge(bank, 'ab', merge_rules.linear([1.0, -0.5]), base)
    self.assertEqual(total.method, 'lora[r=4, alpha=4]')
    # A norm is the base's 1 plus half of the difference of 2.
    np.testing.assert_allclose(
        total.tuned['encoder']['layer_1']['ffn_norm']['scale'], 2.0)

  @parameterized.parameters(
      'lora[r=2, alpha=6]', 'rslora[r=3]', 'ia3[alpha=2]',
      'ia3_inputs|lora[r=2, sites=["query"]]')
  def test_linear_sums_the_changes_of_weights(self, text):
    bank = {'a': adapter(text), 'b': adapter(text, 1)}
    base = trees.flatten(common.base())

    def change(made):
      folded = trees.flatten(folding.fold_tree(common.base(), made)[0])
      return {path: folded[path] - base[path] for path in base}

    changes = {name: change(made) for name, made in bank.items()}
    for names, weights in (('a', [-1.0]), ('a', [0.5]), ('ab', [2.0, -0.5])):
      merged = merging.merge(
          bank, names, merge_rules.linear(weights), common.base())
      for path, found in change(merged).items():
        wanted = sum(weight * changes[name][path]
                     for name, weight in zip(names, weights, strict=True))
        np.testing.assert_allclose(found, wanted, atol=1e-4, err_msg=path)

  def test_parameters_are_averaged_at_most(self):
    bank = {'a': adapter('bottleneck[size=3]'),
            'b': adapter('bottleneck[size=3]', 1)}
    for how, weights in (('linear', [1.0, -1.0]), ('dare', [1.0, 1.0]),
                         ('ties', [2.0, 1.0])):
      combine = merge_rules.combination(how, 2, weights, 0.5, 0)
      with self.assertRaisesRegex(errors.UserError, '`weights`.*must sum to'):
        merging.merge(bank, 'ab', combine, common.base())
    merging.merge(
        bank, 'ab', merge_rules.linear([1.5, -0.5]), common.base())
    with self.assertRaisesRegex(errors.UserError, 'not 0'):
      merge_rules.combination('linear', 2, [0, 0], 0.5, 0)
    for combine in (
        merge_rules.linear([1.0]), merge_rules.ties([1.0] * 3, 0.5),
        merge_rules.dare([1.0], 0.5, jax.random.key(0))):
      with self.assertRaisesRegex(errors.UserError, 'for 2 adapters'):
        merging.merge(bank, 'ab', combine, common.base())
      with self.assertRaisesRegex(errors.UserError, 'for 2 adapters'):
        combine(jnp.ones((2, 3)), 0)

  def test_ties_by_hand(self):
    stacked = jnp.asarray([[4.0, -3.0, 0.1, 2.0], [-1.0, -5.0, 3.0, 0.2]])
    # Half is kept: [4, -3, 0, 0] and [0, -5, 3, 0]; all signs agree.
    np.testing.assert_allclose(
        merge_rules.ties([1, 1], 0.5)(stacked, 0), [4, -4, 3, 0])
    # All is kept: the signs elected are +, -, +, +.
    np.testing.assert_allclose(
        merge_rules.ties([1, 1], 1.0)(stacked, 0), [4, -4, 1.55, 1.1],
        rtol=1e-6)
    np.testing.assert_allclose(
        merge_rules.ties([2, 1], 0.5)(stacked, 0), [8, -5.5, 3, 0])
    # 2.8 of 4 numbers are two, and a tenth of them is one.
    np.testing.assert_allclose(
        merge_rules.ties([1, 1], 0.7)(stacked, 0), [4, -4, 3, 0])
    np.testing.assert_allclose(
        merge_rules.ties([1, 1], 0.1)(stacked, 0), [4, -5, 0, 0])
    # Of opposite numbers the positive ones are elected.
    np.testing.assert_allclose(
        merge_rules.ties([1, 1], 1.0)(jnp.asarray([[2.0], [-2.0]]), 0), [2])

  def test_dare_keeps_the_mean(self):
    combine = merge_rules.dare([1.0, 2.0], 0.25, jax.random.key(0))
    stacked = jnp.ones((2, 20000))
    merged = combine(stacked, 3)
    self.assertEqual(set(np.unique(merged)), {0.0, 4.0, 8.0, 12.0})
    self.assertAlmostEqual(float(merged.mean()), 3.0, delta=0.1)
    self.assertFalse(np.array_equal(merged, combine(stacked, 4)))
    with self.assertRaisesRegex(errors.UserError, 'density'):
      merge_rules.dare([1.0], 0.0, jax.random.key(0))

  def test_a_scale_starts_where_it_changes_nothing(self):
    # `methods_test` has the starts of all methods.
    model, tuned = common.make('ia3_inputs[alpha=2]')
    leaves = {path: np.asarray(leaf)[None]
              for path, leaf in trees.flatten(tuned).items()}
    found = merging._starts(model.config.adapters, leaves, {})
    self.assertNotEmpty(found)
    for path, value in found.items():  # A fresh scale doubles.
      np.testing.assert_array_equal(value, 0.5 * leaves[path][0])

  @parameterized.product(
      how=['ties', 'dare'],
      text=['ia3[alpha=2]', 'dora[r=2]', 'vera[r=2]', 'bottleneck[size=2, '
            'ln_before=True, ln_after=True, scaling=channel]'])
  def test_what_is_dropped_returns_to_its_start(self, how, text):
    model, fresh = common.make(text)
    flat, rng = trees.flatten(fresh), np.random.default_rng(0)
    start = {path: np.full_like(leaf, 0.5) if 'ia3' in text else leaf
             for path, leaf in flat.items() if path.endswith(
                 ('/scale', '/scaling', '/d', '/magnitude'))}
    change = {path: rng.uniform(0.1, 0.2, leaf.shape).astype(np.float32)
              for path, leaf in flat.items()}
    made = adapter_lib.Adapter(model.config.adapters, trees.unflatten({
        path: start.get(path, 0) + leaf for path, leaf in change.items()}))
    combine = merge_rules.combination(how, 2, None, 0.5, 0)
    merged = trees.flatten(merging.merge(
        {'a': made, 'b': made}, 'ab', combine, common.base()).tuned)
    # DARE drops or doubles each of the two halves of a change.
    wanted = {0, 1} if how == 'ties' else {0, 1, 2}
    kept = [np.round((merged[path] - value) / change[path], 3)
            for path, value in start.items()]
    self.assertEqual(set(np.unique(np.concatenate(kept))), wanted)

  def test_a_fusion_starts_at_the_identity(self):
    path = 'encoder/layer_1/adapter_fusion_ffn_output_0/value/kernel'
    leaves = {path: jnp.stack([2 * jnp.eye(3)] * 2)}
    np.testing.assert_array_equal(
        merging._starts((), leaves, {})[path], np.eye(3))

  def test_merged_products_are_those_of_the_updates(self):
    bank = {'a': adapter('lora[r=2, alpha=6]'), 'b': adapter('rslora[r=3]', 1)}
    merged = merging.merge_products(
        bank, 'ab', merge_rules.linear([0.5, 2.0]), common.base(), rank=5)
    wanted = sum(
        weight * bank[name].methods[0].scale * np.asarray(
            at(bank[name].tuned)['a'] @ at(bank[name].tuned)['b'])
        for name, weight in (('a', 0.5), ('b', 2.0)))
    self.assertEqual(merged.methods[0].scale, 1)
    found = at(merged.tuned)
    np.testing.assert_allclose(found['a'] @ found['b'], wanted, atol=1e-5)
    small = merging.merge_products(
        bank, 'ab', merge_rules.linear([0.5, 2.0]), common.base(), rank=2)
    best = np.linalg.svd(wanted, compute_uv=False)[2:]
    found = at(small.tuned)
    self.assertAlmostEqual(
        float(np.linalg.norm(found['a'] @ found['b'] - wanted)),
        float(np.linalg.norm(best)), places=4)

  def test_products_are_not_rounded_on_gpu_and_tpu(self):
    bank, seen = {'a': adapter('lora[r=2]'), 'b': adapter('lora[r=2]', 1)}, []

    def noting(owner, name):
      function = getattr(owner, name)

      def noted(*arguments):
        seen.append((name, jax.config.jax_default_matmul_precision))
        return function(*arguments)

      return mock.patch.object(owner, name, noted)

    with noting(merging, 'merge'), noting(merging, 'merge_products'), noting(
        lora.LoRA, 'fold'):
      face.merge(bank)
      face.merge(bank, rank=2)
      folding.fold_tree(common.base(), bank['a'])
    self.assertEqual(set(seen), {(name, 'highest') for name in (
        'merge', 'merge_products', 'fold')})

  def test_what_does_not_merge(self):
    bank = {'a': adapter('lora[r=2]'), 'b': adapter('lora[r=3]'),
            'd': adapter('dora[r=2]')}
    base, mean = common.base(), merge_rules.average(2)
    with self.assertRaisesRegex(errors.UserError, 'another method'):
      merging.merge(bank, 'ab', mean, base)
    with self.assertRaisesRegex(errors.UserError, 'without a gate'):
      merging.merge_products(bank, 'ad', mean, base, 2)
    for rank in (0, 9):
      with self.assertRaisesRegex(errors.UserError, 'give 1 to 8'):
        merging.merge_products(bank, 'a', merge_rules.average(1), base, rank)
    veras = {'e': adapter('vera[r=2]'), 'f': adapter('vera[r=2]', 1)}
    leaf = veras['f'].tuned['encoder']['adapter_shared_0']
    leaf['fixed_a'] = leaf['fixed_a'] + 1
    with self.assertRaisesRegex(errors.UserError, 'different seeds'):
      merging.merge(veras, 'ef', mean, base)
    with self.assertRaisesRegex(errors.UserError, 'name one or more'):
      merging.merge(bank, [], mean, base)
    with self.assertRaisesRegex(errors.UserError, "unknown 'c'"):
      merging.merge(bank, 'ac', mean, base)
