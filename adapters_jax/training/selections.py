"""Selections of tuned leaves by their paths: one for each value of `tune`."""

from collections.abc import Callable
import functools
from typing import Any

from adapters_jax import trees

Select = Callable[[str], bool]  # (path) -> whether the leaf is tuned


def select_adapters(
    layers: int, *, tune_norms: bool = True, norm_layers: Any = None,
    frozen: int = 0, **_: Any
) -> Select:
  """Selects adapters, layer norms and head: the paper's method.

  Args:
    layers: Number of layers of the model; unused.
    tune_norms: Whether to tune the pretrained layer norms as well.
    norm_layers: Layers whose norms are tuned; None for all norms, that of the
      embeddings included.
    frozen: Number of leading methods that belong to frozen adapters.
  """
  del layers

  def select(path):
    role = trees.role(path)
    if role != 'norm':
      method = trees.method_of(path)
      if frozen and (trees.is_fusion(path)
                     or method is not None and method < frozen):
        return False
      # Leaves without a gradient belong to the adapter and are saved with it.
      return role in ('adapter', 'head', *trees.UNTRAINED)
    return tune_norms and (
        norm_layers is None or trees.layer_of(path) in norm_layers)

  return select


def select_top_k(layers: int, *, top_k: int = 1, **_: Any) -> Select:
  """Selects the top k layers, the pooler and the head: variable fine-tuning.

  Args:
    layers: Number of layers of the model.
    top_k: Number of layers to tune.
  """

  def select(path):
    layer = trees.layer_of(path)
    if layer is None:  # Embeddings, distances, pooler or head.
      return not path.startswith(trees.BELOW)
    return layer >= layers - top_k

  return select


def select_fusion(
    layers: int, *, tune_norms: bool = True, norm_layers: Any = None, **_: Any
) -> Select:
  """Selects the attention over frozen adapters, layer norms and head.

  Args:
    layers: Number of layers of the model.
    tune_norms: Whether to tune the layer norms as well.
    norm_layers: Layers whose norms are tuned; None for all.
  """
  others = select_adapters(
      layers, tune_norms=tune_norms, norm_layers=norm_layers)
  return lambda path: trees.is_fusion(path) or (
      trees.role(path) in ('norm', 'head') and others(path))


def _always(select: Select) -> Callable[..., Select]:
  """Returns (layers, **options) -> a selection that depends on no option."""
  return lambda layers, **_: select


# {value of the setting `tune`: (layers, **options) -> Select}
TUNE = {
    'adapters': select_adapters,
    'full': _always(lambda path: True),
    'top_k': select_top_k,
    # Houlsby et al. (2019), section 3.4.
    'norms': _always(lambda path: trees.role(path) in ('norm', 'head')),
    # BitFit (Ben Zaken et al., 2022).
    'bias': _always(lambda path: path.endswith('/bias')
                    or trees.role(path) == 'head'),
    'head': _always(lambda path: trees.role(path) == 'head'),
    'fusion': select_fusion,
    'none': _always(lambda path: False),
}


@functools.lru_cache
def make_select(
    tune: str, layers: int, tune_norms: bool,
    norm_layers: tuple[int, ...] | None, top_k: int, frozen: int = 0,
) -> Select:
  """Returns a selection; equal arguments give the same function.

  Args:
    tune: Key of TUNE.
    layers: Number of layers of the model.
    tune_norms: Option of `select_adapters`.
    norm_layers: Option of `select_adapters`.
    top_k: Option of `select_top_k`.
    frozen: Option of `select_adapters`.
  """
  # Cached: compiled steps have the function in their key (`runs.compiled`).
  return TUNE[tune](
      layers, tune_norms=tune_norms, norm_layers=norm_layers, top_k=top_k,
      frozen=frozen)


def trains(select: Select, path: str) -> bool:
  """Returns whether a leaf is tuned by its gradient.

  Args:
    select: Predicate of the tuned paths.
    path: Path of the leaf.
  """
  return select(path) and trees.role(path) not in trees.UNTRAINED


def label(select: Select, path: str) -> str:
  """Returns the key of a leaf's transformation in `make_optimizer`.

  Args:
    select: Predicate of the tuned paths.
    path: Path of the leaf.
  """
  if trains(select, path):
    return 'trained'
  follows = select(path) and trees.role(path) == 'statistics'
  return 'statistics' if follows else 'frozen'
