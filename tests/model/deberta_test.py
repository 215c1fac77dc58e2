"""Disentangled attention: buckets, sliding products, adapters, its cost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.methods import strings
from adapters_jax.model import deberta
from adapters_jax.model import setups
from adapters_jax import trees
from tests import tiny
from tests import tiny_families
from tests.methods import families_test

CASE = 'deberta'
CONFIG = tiny_families.config(CASE)


def attention(text='', **changed):
  """Returns (module, its parameters, table of distances)."""
  config = dataclasses.replace(
      CONFIG, adapters=strings.parse(text) if text else (), **changed)
  params = families_test.base(CASE)['encoder']['layer_0']['attention']
  table = np.random.default_rng(2).standard_normal((16, 12), np.float32)
  return deberta.DisentangledAttention(config, 0), params, table


def test_buckets_of_the_published_models():
  # The first distances of buckets 128 to 131, and the last one of each side.
  found = deberta.buckets(np.arange(512), 256, 512)
  assert found[:131].tolist() == [*range(129), 129, 130]
  assert found[-1] == 255 and (np.diff(found) >= 0).all()
  assert (found == -deberta.buckets(-np.arange(512), 256, 512)).all()
  rows = deberta.distance_rows(tiny_families.config('deberta-256'), 512, 512)
  assert rows[0] == 1 and rows[511] == 256 and rows[-1] == 511
  # A prompt may lead beyond the positions: the ends of the table.
  rows = deberta.distance_rows(tiny_families.config('deberta'), 60, 60)
  assert rows[0] == 0 and rows[-1] == 15


@pytest.mark.interop
@pytest.mark.parametrize('count, longest', ((256, 512), (8, 38), (3, 9)))
def test_buckets_live(count, longest):
  import torch
  from transformers.models.deberta_v2 import modeling_deberta_v2
  distances = np.arange(-longest, longest + 1)
  wanted = modeling_deberta_v2.make_log_bucket_position(
      torch.from_numpy(distances), count, longest)
  assert (deberta.buckets(distances, count, longest)
          == wanted.numpy().astype(int)).all()


@pytest.mark.parametrize('count, others, block', (
    (4, 7, 64), (1, 7, 64), (4, 1, 64), (7, 4, 3), (6, 5, 2), (3, 5, 1)))
def test_slide(count, others, block):
  rng = np.random.default_rng(0)
  x = rng.standard_normal((2, count, 3, 5), np.float32)
  table = rng.standard_normal((count + others - 1, 3, 5), np.float32)
  found = deberta.slide(CONFIG, x, table, block)
  assert found.shape == (2, 3, count, others)
  for i in range(count):
    for j in range(others):
      np.testing.assert_allclose(
          found[:, :, i, j], (x[:, i] * table[count - 1 - i + j]).sum(-1),
          atol=1e-5)


@pytest.mark.slow
def test_an_adapter_of_the_key_acts_on_the_distances():
  """As in PEFT and AdapterHub, whose adapters wrap the linear layer."""
  module, params, table = attention('lora[r=2, sites=["query", "key"]]')
  x = np.random.default_rng(1).standard_normal((2, 9, 12), np.float32)
  mask = np.arange(9) < np.array([[9], [6]])
  draw = np.random.default_rng(3).standard_normal
  own = {f'adapter_{site}_0': {'a': draw((12, 2), np.float32),
                               'b': draw((2, 12), np.float32)}
         for site in ('query', 'key')}
  arguments = x, mask, (None,), table
  found = tiny.apply(
      module, params | own, *arguments, rows=None, train=False)
  merged = dict(params)
  for site in ('query', 'key'):
    update = own[f'adapter_{site}_0']
    merged[site] = {**params[site], 'kernel': params[site]['kernel'] + (
        8 / 2 * update['a'] @ update['b'])}
  plain = attention()[0]
  wanted = tiny.apply(plain, merged, *arguments, rows=None, train=False)
  np.testing.assert_allclose(found[mask], wanted[mask], atol=1e-4)
  first = tiny.apply(plain, merged, *arguments, rows=1, train=False)
  np.testing.assert_allclose(first, wanted[:, :1], atol=1e-5)


@pytest.mark.parametrize('method', (
    'ia3[{}]', pytest.param('lora[r=2, {}]', marks=pytest.mark.slow)))
def test_padding_changes_no_gate_of_the_distances(method):
  fields = 'use_gating=True, sites=["query", "key"]'
  module, params, table = attention(method.format(fields))
  x = np.random.default_rng(1).standard_normal((1, 9, 12), np.float32)
  mask = np.arange(9)[None] < 3
  options = {'rows': None, 'train': False}
  shapes = jax.eval_shape(lambda: module.init(
      jax.random.key(0), x, mask, (None,), table, **options))['params']
  draw = np.random.default_rng(3).standard_normal
  own = trees.map_with_path(
      lambda path, leaf: draw(leaf.shape, np.float32), {
          name: leaves for name, leaves in shapes.items()
          if name not in params})
  assert 'gating/gate/kernel' in '|'.join(trees.flatten(own))
  tree = params | own
  found = tiny.apply(module, tree, x, mask, (None,), table, **options)
  alone = tiny.apply(
      module, tree, x[:, :3], mask[:, :3], (None,), table, **options)
  np.testing.assert_allclose(found[:, :3], alone, atol=1e-5)


def test_a_setup_weighs_adapters_of_the_distances():
  """The same ones act on the projections of the table and of the text."""
  x = np.random.default_rng(1).standard_normal((2, 9, 12), np.float32)
  arguments = x, np.ones((2, 9), bool), (None, None), attention()[2]
  draw = np.random.default_rng(3).standard_normal
  leaves = [{'a': 0.3 * draw((12, 2), np.float32),
             'b': 0.3 * draw((2, 12), np.float32)} for _ in range(2)]
  fields = 'r=2, sites=["query", "key", "value"]'

  def outputs(text, setup):
    tree = setup and setups.over_methods(
        setups.parse(setup), {'a': 1, 'b': 1})[0]
    module, params, _ = attention(text, composition=tree)
    own = {f'adapter_{site}_{index}': leaves[index]
           for site in ('query', 'key', 'value') for index in range(2)}
    return module.apply(
        {'params': params | own}, *arguments, rows=None, train=False)

  both = f'lora[{fields}]|lora[{fields}]'
  mean = outputs(both, 'average(a, b, weights=[3, 1])')
  # The scale alpha / r is 8 / 2 without weights.
  wanted = outputs(f'lora[{fields}, alpha=6]|lora[{fields}, alpha=2]', None)
  np.testing.assert_allclose(mean, wanted, atol=1e-5)
  with pytest.raises(errors.UserError, match='split: .* of distances'):
    outputs(both, 'split(a, b, splits=[4])')


@pytest.mark.parametrize('products', ('float32', 'bfloat16'))
def test_no_array_holds_all_pairs_of_tokens_and_buckets(products):
  """Products of 9 tokens need 17 distances each, not 2 * 8 buckets in copies
  of [batch, heads, 9, 16]; and no gradient is a scatter over pairs."""
  module, params, table = attention(products=products)
  x, mask = jnp.ones((2, 9, 12)), np.ones((2, 9), bool)

  def loss(params):
    return module.apply(
        {'params': params}, x, mask, (), table, rows=None, train=False).sum()

  text = str(jax.make_jaxpr(jax.grad(loss))(params))
  assert '[1,3,18,17]' in text  # [1, heads, batch * tokens, distances]
  assert '[2,3,9,17]' not in text
  scatters = [line for line in text.splitlines() if 'scatter' in line]
  assert all('[2,' not in line.partition('=')[0] for line in scatters)


def test_the_norm_of_the_table_is_a_norm():
  paths = [path for path in trees.flatten(families_test.base(CASE))
           if 'relative' in path]
  assert [trees.role(path) for path in paths] == ['encoder', 'norm', 'norm']
