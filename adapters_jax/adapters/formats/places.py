"""Maps leaves of methods to Hugging Face's names of modules."""

from collections.abc import Iterator
import contextlib
import dataclasses
from typing import Any

import jax

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import models
from adapters_jax.methods import base
from adapters_jax.methods import places
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import heads
from adapters_jax.model import shapes as shapes_lib


def leaf_shapes(
    configs: tuple[base.Method, ...], shape: encoder.BertConfig,
    composition: Any = None,
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns {path: shape} of the leaves that methods add to an encoder.

  Args:
    configs: Methods of an adapter.
    shape: Shape of the base.
    composition: Tree over the methods, see `Adapter.composition`.
  """
  tree = shapes_lib.of(encoder.Bert(dataclasses.replace(
      shape, adapters=configs, composition=composition)))
  return {path: leaf for path, leaf in trees.flatten(tree).items()
          if trees.role(path) in ('adapter', 'fixed')}


@contextlib.contextmanager
def on_base(shape: encoder.BertConfig) -> Iterator[None]:
  """Ends messages about leaves that do not fit with the base they should fit.

  Args:
    shape: Shape of the given base.
  """
  try:
    yield
  except errors.UserError as error:
    raise errors.UserError(
        f'{error}; the given base is a {shape.family} of {shape.layers} '
        f'layers, width {shape.dim}: give another base if the adapter is for '
        'one') from error.__cause__


def check_shapes(
    adapter: adapter_lib.Adapter, shape: encoder.BertConfig, what: str
) -> None:
  """Checks the shapes of leaves outside the methods: a head, norms, a pooler.

  Otherwise a norm of size 1 would be broadcast to any width.

  Args:
    adapter: Adapter of another library.
    shape: Shape of the base.
    what: Name of the adapter; starts the message.

  Raises:
    errors.UserError: lists unknown and misshapen paths.
  """
  model = heads.make(shape, (), adapter.outputs or 1, adapter.head_input)
  wanted = trees.flatten(shapes_lib.of(model))
  # PEFT may save a pooler that the adapter's head does not read.
  wanted |= {f'pooler/{leaf}': jax.ShapeDtypeStruct(dims, 'float32')
             for leaf, dims in (('kernel', (shape.dim,) * 2),
                                ('bias', (shape.dim,)))}
  found = {path: leaf for path, leaf in trees.flatten(adapter.tuned).items()
           if trees.role(path) in ('head', 'norm', 'encoder')}
  with on_base(shape):
    trees.check_same(
        trees.unflatten(found), trees.unflatten({
            path: wanted[path] for path in found if path in wanted}), what)


def find(
    path: str, configs: tuple[base.Method, ...], family: str = 'bert'
) -> tuple[base.Method, places.Place]:
  """Returns (method, place) of a leaf.

  Args:
    path: Path of the leaf.
    configs: Methods of the adapter.
    family: Key of models.FOREIGN.

  Returns:
    (method, place with Hugging Face's name of its module, without the prefix of
    the family)
  """
  where = places.parse_name(path)
  config = configs[where.index]
  if where.layer is None:
    return config, where  # Embeddings and shared leaves have no such module.
  name = (sublayer_module if config.kind == 'sublayer'
          else families.their_site)(where.site, where.layer, family)
  return config, dataclasses.replace(where, module=name)


def sublayer_module(site: str, layer: int, family: str) -> str:
  """Returns Hugging Face's name of a sublayer's end.

  Args:
    site: 'attention_output' or 'ffn_output'.
    layer: Index of the layer.
    family: Key of models.FOREIGN.
  """
  named = models.FOREIGN[family].sublayers
  if site in named:
    whole = families.their_site('layer_output', layer, family)
    return f'{whole}.{named[site]}'
  # The linear layer is only the sublayer's end.
  return families.their_site(site, layer, family).removesuffix('.dense')
