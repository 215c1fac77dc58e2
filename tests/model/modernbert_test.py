"""ModernBERT's layers: windows, rows, methods, refusals and counts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import folding
from adapters_jax import errors
from adapters_jax.methods import bottleneck
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import modernbert
from adapters_jax.model import shapes
from adapters_jax.training import frozen_cache
from adapters_jax.training import selections
from adapters_jax import trees
from tests import tiny
from tests import tiny_families
from tests.methods import families_test
from tests.methods import methods_test

CASE = 'modernbert'
PREFIX = 'prefix_tuning_flat[prefix_length=3]'


def arguments(case=CASE, length=None):
  """Returns tokens, segments and mask [texts, length] of a case."""
  batch = tiny_families.batch(case)
  return tuple(batch[key][:, :length] for key in ('tokens', 'segments', 'mask'))


def attention(index, text='', **changed):
  """Returns (module, its parameters, prefixes) of a layer's attention."""
  config = dataclasses.replace(
      tiny_families.config(CASE), adapters=strings.parse(text) if text else (),
      **changed)
  params = families_test.base(CASE)['encoder'][f'layer_{index}']['attention']
  rng = np.random.default_rng(1)
  pool = jnp.array(rng.standard_normal((4, 2, 3, 12), np.float32))
  return (modernbert.RotaryAttention(config, index), params,
          (pool,) if text else ())


def inputs(length):
  """Returns x [2, length, 12] and a mask with three positions of padding."""
  rng = np.random.default_rng(0)
  mask = np.ones((2, length), bool)
  mask[1, -3:] = False
  return jnp.array(rng.standard_normal((2, length, 12), np.float32)), mask


@pytest.mark.parametrize('length, text', (
    (9, ''), (15, PREFIX), *(
        pytest.param(*slow, marks=pytest.mark.slow)
        for slow in ((12, ''), (15, ''), (9, PREFIX), (12, PREFIX)))))
def test_blocks_equal_the_masked_form(length, text):
  """The last block has one token, or is full, or lacks one."""
  module, params, shared = attention(1, text)
  x, mask = inputs(length)

  def mixed(params, x, rows):
    out = module.apply(
        {'params': params}, x, mask, shared, rows=rows, train=False)
    return jnp.sum(jnp.sin(out) * mask[..., None]), out

  found, wanted = (
      jax.jit(jax.value_and_grad(mixed, argnums=(0, 1), has_aux=True),
              static_argnums=2)(params, x, rows)
      for rows in (None, length))  # Given rows are computed under a mask.
  np.testing.assert_allclose(found[0][1][mask], wanted[0][1][mask], atol=2e-6)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
      found[1], wanted[1])


@pytest.mark.parametrize('products', ('float32', 'bfloat16'))
def test_blocks_shrink_the_scores(products):
  module, params, shared = attention(1, products=products)
  x, mask = inputs(40)

  def scores(rows):
    jaxpr = jax.make_jaxpr(lambda x: module.apply(
        {'params': params}, x, mask, shared, rows=rows, train=False))(x)
    return str(jaxpr)

  assert '[20,3,4,12]' in scores(None)  # Ten blocks of each of two texts.
  assert '[2,3,40,40]' not in scores(None)
  assert '[2,3,40,40]' in scores(40)


@pytest.mark.parametrize('index, distance, moves', (
    (0, 5, True), (1, 4, True), (1, 5, False)))
@pytest.mark.parametrize('length', (8, 13))
def test_local_layers_see_the_window(index, distance, moves, length):
  module, params, _ = attention(index)
  x, _ = inputs(length)
  mask = np.ones((2, length), bool)

  @jax.jit
  def out(x):
    return module.apply({'params': params}, x, mask, (), rows=None, train=False)

  other = x.at[:, 2 + distance].add(1.0)
  assert (np.abs(out(other) - out(x))[:, 2].max() > 1e-3) == moves


def test_a_prefix_is_not_rotated_and_seen_from_everywhere():
  module, params, shared = attention(1, PREFIX)
  x, mask = inputs(13)
  params = dict(params)
  zero = jax.tree.map(jnp.zeros_like, params['query'])

  @jax.jit
  def out(params, x):
    return module.apply(
        {'params': params}, x, mask, shared, rows=None, train=False)

  # Without queries all keys in sight weigh the same, learned ones included.
  found = out({**params, 'query': zero}, x)
  keys = np.abs(np.arange(13)[:, None] - np.arange(13)) <= 4
  values = x[0] @ params['value']['kernel']
  mixed = (keys @ values + shared[0][1, 1].sum(0)) / (
      keys.sum(1, keepdims=True) + 3)
  np.testing.assert_allclose(
      found[0], mixed @ params['output']['kernel'], atol=1e-5)
  # Constant queries and keys: scores of the prefix depend on the query's
  # rotation alone, so a query at position 0 sees the keys as they are.
  first = out(params, x)[0, 0]
  query = (x[0, 0] @ params['query']['kernel']).reshape(3, 4) / 2
  cos, sin = modernbert.angles(13, 0, 4, 10000.0)
  text = modernbert.rotate(
      (x[:1] @ params['key']['kernel']).reshape(1, 13, 3, 4), cos, sin)[0, :5]
  key = jnp.concatenate([shared[0][1, 0].reshape(3, 3, 4), text])
  value = jnp.concatenate([shared[0][1, 1], values[:5]]).reshape(8, 3, 4)
  weights = jax.nn.softmax(jnp.einsum('hd,khd->hk', query, key))
  wanted = jnp.einsum('hk,khd->hd', weights, value).reshape(12)
  np.testing.assert_allclose(
      first, wanted @ params['output']['kernel'], atol=1e-5)


def test_rotation_of_a_head():
  cos, sin = modernbert.angles(3, 2, 4, 100.0)
  np.testing.assert_allclose(cos[1, 0], np.cos([3.0, 0.3]), rtol=1e-6)
  x = jnp.zeros((1, 3, 1, 4)).at[0, 1, 0].set(jnp.array([1.0, 2.0, 3.0, 4.0]))
  turned = modernbert.rotate(x, cos, sin)[0, 1, 0]
  first, second = (1 + 3j) * np.exp(3j), (2 + 4j) * np.exp(0.3j)
  np.testing.assert_allclose(
      turned, [first.real, second.real, first.imag, second.imag], rtol=1e-5)


@pytest.mark.parametrize('case, name', (
    ('modernbert-128', 'houlsby'), *(
        pytest.param(*slow, marks=pytest.mark.slow) for slow in (
            (CASE, 'houlsby'), (CASE, 'prefix_tuning'), (CASE, 'prompt words'),
            ('modernbert-128', 'prefix_tuning'),
            ('modernbert-128', 'prompt words')))))
def test_uncomputed_rows_change_nothing(case, name):
  """Also where the last layer is local, as in the second case."""
  model, tuned = families_test.make(case, families_test.TEXTS[name])
  params = trees.overlay(
      families_test.base(case), methods_test.perturbed(tuned))
  found, whole = (
      tiny.apply(one, params, *arguments(case, 30))
      for one in (model, encoder.Bert(model.config)))
  head = params['head']
  np.testing.assert_allclose(
      whole[-1][:, 0] @ head['kernel'] + head['bias'], found, atol=1e-5)


def test_a_method_trains(tmp_path):
  families_test.check_training(CASE, ['houlsby'], tmp_path)


def refused(name):
  return any(config.kind == 'sublayer' and (
      config.original_ln_before or not config.original_ln_after)
             for config in strings.parse(families_test.TEXTS[name]))


@pytest.mark.parametrize(
    'name', [name for name in families_test.NAMES if refused(name)])
def test_methods_that_are_refused(name):
  with pytest.raises(errors.UserError, match='original_ln_before'):
    families_test.make(CASE, families_test.TEXTS[name])


@pytest.mark.slow
@pytest.mark.parametrize('names', [
    kept for names in families_test.UNIONS
    if (kept := [name for name in names if not refused(name)])], ids='+'.join)
def test_unions_of_the_other_methods_train(names, tmp_path):
  families_test.check_training(CASE, names, tmp_path)


@pytest.mark.parametrize('changed', (
    {'original_ln_before': True}, {'original_ln_after': False}))
def test_methods_that_read_the_norm_of_a_sublayer(changed):
  config = dataclasses.replace(
      tiny_families.config(CASE), adapters=(
          bottleneck.Bottleneck(5, **changed),))
  with pytest.raises(errors.UserError, match='modernbert end without a norm'):
    shapes.of(encoder.Bert(config))


def test_scan_is_refused():
  config = dataclasses.replace(tiny_families.config(CASE), scan=True)
  with pytest.raises(errors.UserError, match='`scan`: the layers.*differ'):
    shapes.of(encoder.Bert(config))


def test_an_adapter_that_adds_nothing_is_the_identity():
  config = dataclasses.replace(tiny_families.config(CASE), adapters=(
      bottleneck.Bottleneck(5, init_scale=0.0),))
  params = families_test.base(CASE)
  whole = encoder.init(encoder.Bert(config), jax.random.key(0), params)
  plain = dataclasses.replace(config, adapters=())
  for found, wanted in zip(
      tiny.apply(encoder.Bert(config), whole, *arguments()),
      tiny.apply(encoder.Bert(plain), params, *arguments()),
      strict=True):
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize('changed', (
    pytest.param({'remat': True}, marks=pytest.mark.slow),
    {'attention': 'xla'}))
def test_other_ways_to_compute(changed):
  params = families_test.base(CASE)
  config = tiny_families.config(CASE)

  def value(params, config):
    hidden = encoder.Bert(config).apply({'params': params}, *arguments())
    return jnp.square(hidden[-1][arguments()[2]]).sum()

  found, wanted = (
      jax.jit(jax.value_and_grad(value), static_argnums=1)(params, one)
      for one in (dataclasses.replace(config, **changed), config))
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3),
      found, wanted)


@pytest.mark.parametrize('changed, atol', (
    ({'products': 'bfloat16'}, 0.1), ({'dtype': 'bfloat16'}, 0.25)))
def test_bfloat16(changed, atol):
  params, config = families_test.base(CASE), tiny_families.config(CASE)
  found, wanted = (
      tiny.apply(encoder.Bert(one), params, *arguments())[-1]
      for one in (dataclasses.replace(config, **changed), config))
  assert found.dtype == changed.get('dtype', 'float32')
  difference = np.abs(found.astype(jnp.float32) - wanted)[arguments()[2]]
  assert 1e-5 < difference.max() < atol


@pytest.mark.parametrize('first', (1, 2, 4))
def test_kept_hidden_states(first):
  """The final norm is applied once, and never to an inner layer's output."""
  model = heads.Classifier(tiny_families.config(CASE), 2)
  params = tiny.drawn(model, families_test.base(CASE))
  hidden = tiny.apply(
      encoder.Bert(model.config), params, *arguments())[first]
  found = tiny.apply(
      frozen_cache.above(model, first), params, hidden=hidden,
      mask=arguments()[2])
  np.testing.assert_allclose(
      found, tiny.apply(model, params, *arguments()), atol=1e-5)


@pytest.mark.parametrize('text', (
    'lora', 'ia3', *(pytest.param(text, marks=pytest.mark.slow)
                     for text in ('vera', 'dora'))))
@pytest.mark.parametrize('case', (CASE, 'modernbert-128'))
def test_methods_fold_with_and_without_biases(case, text):
  sites = 'query', 'attention_output', 'intermediate', 'gate', 'ffn_output'
  methods = tuple(
      method if text == 'ia3' else dataclasses.replace(method, sites=sites)
      for method in strings.parse(text))
  model = heads.Classifier(dataclasses.replace(
      tiny_families.config(case), adapters=methods), 2)
  tuned, _ = trees.split(
      tiny.drawn(model, families_test.base(case)),
      selections.select_adapters(4, tune_norms=False))
  base = families_test.base(case)
  folded, _ = folding.fold_tree(base, adapter_lib.Adapter(
      model.config.adapters, tuned))
  plain = model.clone(config=dataclasses.replace(model.config, adapters=()))
  assert trees.flatten(folded).keys() == {
      *trees.flatten(base), 'head/bias', 'head/kernel'}
  found, wanted = (
      tiny.apply(one, params, *arguments(case, 20))
      for one, params in (
          (plain, folded), (model, trees.overlay(base, tuned))))
  np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_heads_of_tokens_have_the_final_norm():
  model = heads.make(tiny_families.config(CASE), (), 2, 'tokens')
  assert 'final_norm' in shapes.of(model)['encoder']
