from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees

TREE = {'a': {'x': jnp.arange(3.0), 'y': jnp.ones((2, 5))}, 'b': jnp.zeros(4)}


class TreesTest(parameterized.TestCase):

  def test_flatten_and_back(self):
    flat = trees.flatten(TREE)
    self.assertEqual(list(flat), ['a/x', 'a/y', 'b'])
    self.assertEqual(
        jax.tree.structure(trees.unflatten(flat)), jax.tree.structure(TREE))

  def test_unflatten_refuses_a_leaf_that_is_a_subtree(self):
    for flat in ({'a': 1, 'a/b': 2}, {'a/b': 2, 'a': 1},
                 {'a': 1, 'a/b/c': 2}):
      with self.assertRaisesRegex(errors.UserError, 'is a leaf too'):
        trees.unflatten(flat)

  def test_not_finite_leaves_are_listed(self):
    trees.check_finite({'a': np.arange(3), 'b': np.ones(2)}, 'x')
    with self.assertRaisesRegex(errors.UserError, '^x has NaN.* in: a, b/c$'):
      trees.check_finite(
          {'a': np.array([1, np.nan]), 'b': {'c': np.array(-np.inf)},
           'd': np.ones(2)}, 'x')

  def test_split_and_overlay_are_inverse(self):
    selected, rest = trees.split(TREE, lambda path: path.startswith('a/'))
    self.assertEqual(list(trees.flatten(selected)), ['a/x', 'a/y'])
    self.assertEqual(list(trees.flatten(rest)), ['b'])
    merged = trees.overlay(rest, selected)
    self.assertIs(merged['a']['x'], TREE['a']['x'])
    self.assertIs(merged['b'], TREE['b'])

  def test_overlay_replaces_and_leaves_its_arguments_alone(self):
    new = jnp.full(3, 7.0)
    merged = trees.overlay(TREE, {'a': {'x': new, 'z': new}})
    self.assertIs(merged['a']['x'], new)
    self.assertIs(merged['a']['y'], TREE['a']['y'])
    self.assertNotIn('z', TREE['a'])
    self.assertEqual(float(TREE['a']['x'][1]), 1.0)

  def test_overlay_refuses_a_leaf_over_a_subtree(self):
    with self.assertRaisesRegex(ValueError, 'a is a leaf'):
      trees.overlay(TREE, {'a': jnp.ones(2)})

  def test_stack_and_take(self):
    other = jax.tree.map(lambda leaf: leaf + 10, TREE)
    stacked = trees.stack([TREE, other])
    self.assertEqual(stacked['a']['y'].shape, (2, 2, 5))
    taken = trees.take(stacked, jnp.array([1, 0, 1]))
    self.assertEqual(taken['a']['y'].shape, (3, 2, 5))
    np.testing.assert_array_equal(taken['b'][:, 0], [10, 0, 10])

  def test_rename(self):
    renamed = trees.rename(TREE, lambda path: path.replace('a/', 'c/'))
    self.assertEqual(list(trees.flatten(renamed)), ['b', 'c/x', 'c/y'])
    with self.assertRaisesRegex(ValueError, 'same name'):
      trees.rename(TREE, lambda path: 'one')

  @parameterized.parameters(
      ('encoder/layer_0/adapter_ffn_output_0/down/kernel', 'adapter'),
      ('encoder/layer_0/adapter_ffn_output_0/norm/scale', 'adapter'),
      ('encoder/layer_3/attention_norm/scale', 'norm'),
      ('embeddings/norm/bias', 'norm'),
      ('head/kernel', 'head'),
      ('pooler/kernel', 'encoder'),
      ('encoder/layer_11/ffn_output/bias', 'encoder'))
  def test_role(self, path, role):
    self.assertEqual(trees.role(path), role)

  def test_layer_of(self):
    self.assertEqual(trees.layer_of('encoder/layer_11/ffn_norm/bias'), 11)
    self.assertIsNone(trees.layer_of('embeddings/norm/bias'))

  def test_count_of_a_part(self):
    selected, _ = trees.split(TREE, lambda path: path in ('a/y', 'b'))
    self.assertEqual(trees.count(selected), 14)

  def test_check_same_lists_every_kind_of_problem(self):
    found = {'a': {'x': np.zeros(4), 'q': np.zeros(1)}, 'b': np.zeros(4)}
    with pytest.raises(ValueError) as error:
      trees.check_same(found, TREE, 'it')
    self.assertIn('missing: a/y', str(error.value))
    self.assertIn('unknown: a/q', str(error.value))
    self.assertIn('misshapen: a/x is (4,), not (3,)', str(error.value))
