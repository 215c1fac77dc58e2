"""Tests of modules that read existing parameters without initialisers."""

from flax import errors
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax.layers import parameters

X = jnp.ones((2, 3))


def counted(calls):
  def init(key, shape, dtype=jnp.float32):
    calls.append(shape)
    return jax.random.normal(key, shape, dtype)
  return init


class Scale(parameters.Module):

  @nn.compact
  def __call__(self, x):
    return x * self.param('scale', nn.initializers.ones, x.shape[-1:])


def test_values_are_those_of_flax():
  ours = parameters.Dense(4, kernel_init=nn.initializers.normal(0.1))
  flax = nn.Dense(4, kernel_init=nn.initializers.normal(0.1))
  variables = flax.init(jax.random.key(0), X)
  jax.tree.map(np.testing.assert_array_equal,
               ours.init(jax.random.key(0), X), variables)
  np.testing.assert_array_equal(
      ours.apply(variables, X), flax.apply(variables, X))
  assert (str(jax.make_jaxpr(ours.apply)(variables, X))
          == str(jax.make_jaxpr(flax.apply)(variables, X)))


def test_existing_parameters_are_not_initialised():
  calls = []
  module = parameters.Dense(4, kernel_init=counted(calls))
  variables = module.init(jax.random.key(0), X)
  assert calls == [(3, 4)]
  module.apply(variables, X)
  assert len(calls) == 1
  # Those that are missing are, and the others keep their values.
  kept = {'params': {'bias': variables['params']['bias'] + 1}}
  _, found = module.apply(
      kept, X, rngs={'params': jax.random.key(0)}, mutable=['params'])
  assert len(calls) == 2
  np.testing.assert_array_equal(found['params']['bias'], 1)


@pytest.mark.parametrize('module, name', (
    (parameters.Dense(4, name='up'), 'kernel'),
    (parameters.LayerNorm(), 'scale'), (Scale(), 'scale')))
def test_other_shapes_are_refused(module, name):
  variables = module.init(jax.random.key(0), X)
  with pytest.raises(errors.ScopeParamShapeError, match=name):
    module.apply(variables, jnp.ones((2, 5)))


def test_new_parameters_are_float32_with_64_bits():
  class Drawn(parameters.Module):
    dtypes: tuple = ()

    @nn.compact
    def __call__(self):
      return self.param('drawn', nn.initializers.normal(), (3,), *self.dtypes)

  def draw(*dtypes):
    return Drawn(dtypes).init_with_output(jax.random.key(0))[0]

  wanted = draw()
  with jax.enable_x64(True):
    found, wide = draw(), draw(jnp.float64)
  assert (found.dtype, wide.dtype) == (jnp.float32, jnp.float64)
  np.testing.assert_array_equal(found, wanted)


def test_tables():
  module = parameters.Embed(5, 3)
  variables = module.init(jax.random.key(0), jnp.array([1]))
  np.testing.assert_array_equal(
      module.apply(variables, jnp.array([4]))[0],
      variables['params']['embedding'][4])
