"""Adapters of tiny BERT, for the tests of files of other libraries."""

import numpy as np

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapter_bert
from adapters_jax.adapters.formats import places
from adapters_jax.methods import strings
from adapters_jax import trees
from tests.methods import method_cases

SHAPE = method_cases.SHAPE


def make(text, norms=False, head_input='pooler', seed=0):
  """Returns an adapter with random leaves and a head."""
  configs = strings.parse(text) if text else ()
  shapes = places.leaf_shapes(configs, SHAPE)
  rng = np.random.default_rng(seed)

  def draw(shape):
    return 0.3 * rng.standard_normal(shape, np.float32)

  flat = {path: draw(leaf.shape) for path, leaf in shapes.items()}
  outputs = 2 if head_input == 'tokens' else 3
  flat |= {'head/kernel': draw((32, outputs)), 'head/bias': draw(outputs)}
  if norms:
    for path in adapter_bert.norm_paths(SHAPE):
      flat[path] = 1 + draw(32)
  return adapter_lib.Adapter(configs, trees.unflatten(flat), head_input)
