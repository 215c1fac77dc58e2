"""Places of methods' leaves in a parameter tree, and their layouts in files.

The leaves of a method are below `adapter_<site>_<index>`, with the index of the
method in the adapter.
"""

import dataclasses
import re

import numpy as np

from adapters_jax import errors

# Linear layers of a Transformer layer, in the order that configs list them.
# Only gated feed-forward sublayers have a 'gate'.
LINEARS = ('query', 'key', 'value', 'attention_output', 'intermediate',
           'gate', 'ffn_output')
# {kind of methods: the sites that call their modules}; `model.sites` has the
# signatures.
SITES_OF = {
    'linear': LINEARS, 'input': LINEARS,
    'sublayer': ('attention_output', 'ffn_output'),
    'key_value': ('key_value',), 'layer': ('layer_output',),
    'embedding': ('words', 'embedding')}

_PATH = re.compile(
    r'(?:encoder/(?:layer_(?P<layer>\d+)/(?:attention/)?)?|embeddings/)?'
    r'adapter_(?P<site>[a-z_]+)_(?P<index>\d+)/(?P<leaf>.+)')
# Linear layers inside the submodule 'attention'.
_INNER = {'query': 'attention/', 'key': 'attention/', 'value': 'attention/',
          'attention_output': 'attention/'}


@dataclasses.dataclass(frozen=True)
class Place:
  """Place of one leaf of a method.

  Attributes:
    site: Site of its module, or 'shared'.
    layer: Layer of the module, None outside the layers.
    index: Index of the method in the adapter.
    leaf: Path of the leaf below its module, such as 'down/kernel'.
    module: Name of the adapted module in the other library, such as
      'encoder.layer.0.attention.self.query'; '' outside the layers.
  """
  site: str
  layer: int | None
  index: int
  leaf: str
  module: str = ''

  @property
  def name(self) -> str:
    """Last part of `leaf`."""
    return self.leaf.rpartition('/')[2]


def parse_name(path: str) -> Place:
  """Returns the place of a leaf by its path, without the module's name."""
  found = _PATH.fullmatch(path)
  if found is None:
    raise errors.UserError(f'{path} is not a leaf of an adapter')
  layer = None if found['layer'] is None else int(found['layer'])
  return Place(found['site'], layer, int(found['index']), found['leaf'])


def linear_path(site: str, layer: int, index: int) -> str:
  """Returns the path of a method's module at a linear layer.

  Args:
    site: One of LINEARS.
    layer: Index of the Transformer layer.
    index: Index of the method in the adapter.
  """
  return f'encoder/layer_{layer}/{_INNER.get(site, "")}adapter_{site}_{index}'


def to_layout(layout: str | None, value: np.ndarray) -> np.ndarray:
  """Returns a leaf in the layout of another library.

  Args:
    layout: 'transposed', 'column', 'row', 'flat', or None for no change.
    value: The leaf.
  """
  if layout == 'transposed':
    return value.T if value.ndim == 2 else value  # VeRA's d and b: vectors.
  if layout == 'column':
    return value[:, None]
  if layout == 'row':
    return value[None]
  return value.reshape(-1) if layout == 'flat' else value


def from_layout(
    layout: str | None, tensor: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
  """Returns a leaf from its layout; a tensor of another size is left as it is.

  Args:
    layout: As for `to_layout`.
    tensor: The stored tensor.
    shape: Shape of the leaf.
  """
  if layout == 'transposed' and tensor.ndim == 2:
    return tensor.T
  # Another size means a damaged file; the later check of shapes reports it.
  if layout in ('column', 'row', 'flat') and tensor.size == np.prod(shape):
    return tensor.reshape(shape)
  return tensor
