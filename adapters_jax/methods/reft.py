"""ReFT: low-rank edits of hidden states (Wu et al., 2024)."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import numpy as np

from adapters_jax import errors
from adapters_jax.layers import activations
from adapters_jax.methods import base
from adapters_jax.methods import places
from adapters_jax.methods import reft_module
from adapters_jax.methods import values as values_lib


@dataclasses.dataclass(frozen=True)
class ReFT(base.Method):
  """z + (activation(W z + b) - R z) R at a text's first and last tokens.

  R [r, dim] has orthonormal rows for LoReft: each forward pass orthonormalises
  its parameter, so that weight decay and rounding cannot harm it. (In
  AdapterHub, one step of AdamW sets it to zero.)

  Attributes:
    r: Rank.
    prefix_positions: Number of first tokens to edit.
    suffix_positions: Number of last tokens to edit; they win on overlap.
    layers: Layers with the method, None for all.
    leave_out: Layers without the method.
    orthogonality: Whether the rows of R are orthonormal.
    subtract_projection: Whether to subtract R z; false for DiReft.
    tied_weights: Whether first and last tokens share one edit.
    dropout: Dropout rate of the edited states.
    activation: A name in layers.activations.
  """
  r: int = 1
  prefix_positions: int = 3
  suffix_positions: int = 0
  layers: tuple[int, ...] | None = None
  leave_out: tuple[int, ...] = ()
  orthogonality: bool = True
  subtract_projection: bool = True
  tied_weights: bool = False
  dropout: float = 0.05
  activation: str = 'identity'

  kind: ClassVar[str] = 'layer'
  choices = {'activation': activations.ACTIVATIONS}
  training_fields = ('dropout',)
  sites = ('layer_output',)
  adapterhub_architecture = 'reft'
  adapterhub_fields = (
      'r', 'prefix_positions', 'suffix_positions', 'orthogonality',
      'tied_weights', 'dropout')
  adapterhub_words = {'non_linearity': 'activation'}
  adapterhub_fixed = {'output_reft': (True, 'write no ReFT for none')}
  adapterhub_stem = '{module}.reft_layer.refts.{name}'
  adapterhub_names = (
      (r'^prefix/', 'units.0.'), (r'^suffix/', 'units.1.'),
      (r'\bsource/', 'learned_source.'),
      (r'\bprojection$', 'projection.weight'))
  adapterhub_layouts = {'projection': 'transposed'}

  def __post_init__(self):
    super().__post_init__()
    base.demand(self.r >= 1, 'r', self.r, '1 or more')
    for name in ('prefix_positions', 'suffix_positions'):
      base.demand(getattr(self, name) >= 0, name, getattr(self, name),
                   '0 or more')
    base.demand(self.prefix_positions + self.suffix_positions > 0,
                'prefix_positions', 0,
                '1 or more, or suffix_positions=1 or more')
    base.demand_rate('dropout', self.dropout)

  @property
  def has_prefix(self) -> bool:
    """Whether there is the module 'prefix', which tied weights share."""
    return self.prefix_positions > 0 or self.tied_weights

  def unused(self, path: str) -> bool:
    """Returns whether a leaf is that of an edit of no position."""
    return '/prefix/' in path and not self.has_prefix

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module of one layer.

    Args:
      name: Name of the module in the parameter tree.
      layer: Unused.
    """
    del layer
    return reft_module.Edits(self, name=name)

  @classmethod
  def from_adapterhub(cls, values: Mapping[str, Any], version: str) -> 'ReFT':
    """Returns the method of a config of AdapterHub.

    Args:
      values: Config as JSON has it.
      version: Version of the library that wrote it, '' if unknown.
    """
    layers = values.get('layers', 'all')
    # AdapterHub's files do not distinguish DiReft from NoReft; this package
    # adds the entry 'subtract_projection'.
    return dataclasses.replace(
        super().from_adapterhub(values, version),
        layers=None if layers == 'all' else values_lib.converted(
            layers, tuple[int, ...], '`layers`'),
        subtract_projection=values.get('subtract_projection', True))

  def to_adapterhub(self, shape: Any) -> dict[str, Any]:
    """Returns the config of AdapterHub."""
    values = super().to_adapterhub(shape)
    left = values.pop('leave_out')  # Includes the layers outside `layers`.
    if self.activation == 'identity':
      values['non_linearity'] = None
    return {
        **values, 'output_reft': True, 'dtype': None,
        'subtract_projection': self.subtract_projection,
        'layers': ([n for n in range(shape.layers) if n not in left] if left
                   else 'all')}

  def adapterhub_copies(self, key: str) -> bool:
    """Returns whether a tensor belongs to an edit of no position."""
    return ('.units.0.' in key and not self.has_prefix
            or '.units.1.' in key and not self.suffix_positions)

  def to_adapterhub_tensors(
      self, where: places.Place, key: str, value: np.ndarray
  ) -> dict[str, np.ndarray]:
    """Returns the tensors of a leaf: two for an orthonormal projection.

    Args:
      where: Place of the leaf.
      key: Name of its tensor.
      value: The leaf.
    """
    if where.name == 'projection' and self.orthogonality:
      return dict(zip(_keys(key), parametrized(value), strict=True))
    return super().to_adapterhub_tensors(where, key, value)

  def from_adapterhub_tensors(
      self, where: places.Place, key: str, shape: tuple[int, ...],
      read: Callable[[str], np.ndarray],
  ) -> np.ndarray:
    """Returns a leaf from its tensors.

    Args:
      where: Place of the leaf.
      key: Name of its tensor.
      shape: Shape of the leaf.
      read: (name) -> tensor, or KeyError.
    """
    try:
      return super().from_adapterhub_tensors(where, key, shape, read)
    except KeyError:  # An orthonormal projection has no tensor of its own.
      original, start = map(read, _keys(key))
      return projection_of(original, start, key)

  def neutral(
      self, leaves: Mapping[str, Any]
  ) -> dict[str, Any] | None:
    """Returns leaves with edits of 0.

    Args:
      leaves: {path: leaf} of the module at one site, of numpy.

    Returns:
      Not orthonormal: all leaves 0. Orthonormal without subtraction: W = b = 0.
      LoReft: W = R, b = 0, so that both terms cancel; None if an activation
      stands between them.
    """
    if not self.orthogonality:
      return base.zeroed(leaves, '')
    found = {path: np.zeros_like(leaf) if '/source/' in f'/{path}' else leaf
             for path, leaf in leaves.items()}
    if not self.subtract_projection:
      return found
    if self.activation != 'identity':
      return None
    for path, leaf in leaves.items():
      if path.endswith('projection'):
        kernel = path.replace('projection', 'source/kernel')
        found[kernel] = np.asarray(reft_module.orthonormal(leaf))
    return found

  def adapterhub_notes(self) -> list[str]:
    """Returns warnings for users who load the file with AdapterHub."""
    notes = [] if self.subtract_projection else [
        '`adapters` reads a DiReft from files as a NoReft, its own too, and '
        'computes something else']
    return super().adapterhub_notes() + notes


def _keys(key):
  """Returns the names of torch's parametrization of a tensor."""
  stem = key.removesuffix('weight') + 'parametrizations.weight.'
  return f'{stem}original', f'{stem}0.base'


def projection_of(
    original: np.ndarray, start: np.ndarray, key: str
) -> np.ndarray:
  """Returns the projection of torch's orthogonal parametrization.

  Torch stores the Householder vectors of a product of reflections, below a
  diagonal of signs, and a base that multiplies the product. A square matrix has
  another form: base @ exp(lower triangle - its transpose), not transposed.

  Args:
    original: [r, dim] Householder vectors, or the lower triangle.
    start: [dim, dim] Base.
    key: Name of the tensor, for the message.

  Returns:
    [dim, r] Orthonormal columns.

  Raises:
    errors.UserError: the signs have decayed to zero.
  """
  if original.shape == start.shape:
    import scipy.linalg  # Slow to import, and rarely needed.
    lower = np.tril(original.astype(np.float64))
    rows = start.astype(np.float64) @ scipy.linalg.expm(lower - lower.T)
    return rows.T.astype(np.float32)
  vectors = original.astype(np.float64).T  # [dim, r]
  lower = np.tril(vectors, -1)
  product = np.eye(len(vectors))
  for column in range(vectors.shape[1]):
    reflector = lower[:, column].copy()
    factor = 2 / (1 + reflector @ reflector)
    reflector[column] = 1  # Implicit, since the diagonal holds the signs.
    product -= factor * np.outer(product @ reflector, reflector)
  signs = np.diagonal(vectors).astype(int)  # As in torch: 0.999 becomes 0.
  if not signs.all():
    raise errors.UserError(
        f'{key}: weight decay has made the projection zero, as it does in the '
        'adapters library; train it again without')
  columns = product[:, :vectors.shape[1]] * signs
  return (start.astype(np.float64) @ columns).astype(np.float32)


def parametrized(projection: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns torch's parametrization of the span of a projection [dim, r].

  The reflections are those of the coordinate axes, and the signs undo them: the
  base alone determines the projection.

  Returns:
    (Householder vectors [r, dim], base [dim, dim])
  """
  dim, rank = projection.shape
  q, r = np.linalg.qr(projection.astype(np.float64))
  q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
  # Completes q to a whole basis [dim, dim].
  start, found = np.linalg.qr(np.concatenate([q, np.eye(dim)], axis=1))
  start = start * np.where(np.diagonal(found) < 0, -1.0, 1.0)
  if dim == rank:  # Torch's square matrix, which is not transposed.
    start = start.T
  return -np.eye(rank, dim, dtype=np.float32), start.astype(np.float32)


LOREFT = ReFT()
NOREFT = ReFT(orthogonality=False)
DIREFT = ReFT(orthogonality=False, subtract_projection=False)
