"""Places of methods' leaves, by the names of Hugging Face's BERT."""

import dataclasses

import jax

from adapters_jax import trees
from adapters_jax.methods import base
from adapters_jax.methods import places
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import families


def leaf_shapes(
    configs: tuple[base.Method, ...], shape: encoder.BertConfig
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns {path: shape} of the leaves that methods add to an encoder.

  Args:
    configs: Methods of an adapter.
    shape: Shape of the base.
  """
  # Any head: its leaves are dropped below.
  model = heads.Classifier(dataclasses.replace(shape, adapters=configs), 1)
  tree = encoder.shapes(model)
  return {path: leaf for path, leaf in trees.flatten(tree).items()
          if trees.role(path) in ('adapter', 'fixed')}


def find(
    path: str, configs: tuple[base.Method, ...]
) -> tuple[base.Method, places.Place]:
  """Returns (method, place) of a leaf.

  Args:
    path: Path of the leaf.
    configs: Methods of the adapter.

  Returns:
    (method, place with the name of its module in Hugging Face's BERT)
  """
  where = places.parse_name(path)
  config = configs[where.index]
  if where.layer is None:
    return config, where  # Embeddings and shared leaves have no such module.
  module = families.their_site(where.site, where.layer)
  if config.kind == 'sublayer':  # The linear layer is only its end.
    module = module.removesuffix('.dense')
  return config, dataclasses.replace(where, module=module)
