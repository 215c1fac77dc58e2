"""Selections of tuned leaves by their paths: one for each value of `tune`."""

from collections.abc import Callable
import functools

from adapters_jax import trees

Select = Callable[[str], bool]  # (path) -> whether the leaf is tuned


# Cached: compiled steps have the function in their key (`runs.compiled`).
@functools.lru_cache
def make_select(
    tune: str, layers: int, tune_norms: bool = True,
    norm_layers: tuple[int, ...] | None = None, top_k: int = 1, frozen: int = 0,
) -> Select:
  """Returns a selection; equal arguments give the same function.

  Args:
    tune: Key of TUNE.
    layers: Number of layers of the model.
    tune_norms: Whether 'adapters' and 'fusion' tune the layer norms as well.
    norm_layers: Layers whose norms they tune; None for all norms, that of the
      embeddings included.
    top_k: Number of layers that 'top_k' tunes.
    frozen: Number of leading methods that belong to frozen adapters.
  """

  def adapters(path):  # The paper's method.
    role = trees.role(path)
    if role == 'norm':
      return tune_norms and (
          norm_layers is None or trees.layer_of(path) in norm_layers)
    method = trees.method_of(path)
    if frozen and (trees.is_fusion(path)
                   or method is not None and method < frozen):
      return False
    # Leaves without a gradient belong to the adapter and are saved with it.
    return role in ('adapter', 'head', *trees.UNTRAINED)

  def top(path):  # Variable fine-tuning.
    layer = trees.layer_of(path)
    if layer is None:  # Embeddings, distances, pooler or head.
      return not path.startswith(trees.BELOW)
    return layer >= layers - top_k

  def fusion(path):  # The attention over frozen adapters.
    return trees.is_fusion(path) or (
        trees.role(path) in ('norm', 'head') and adapters(path))

  return {
      'adapters': adapters, 'full': lambda path: True, 'top_k': top,
      # Houlsby et al. (2019), section 3.4.
      'norms': lambda path: trees.role(path) in ('norm', 'head'),
      # BitFit (Ben Zaken et al., 2022).
      'bias': lambda path: (path.endswith('/bias')
                            or trees.role(path) == 'head'),
      'head': lambda path: trees.role(path) == 'head',
      'fusion': fusion, 'none': lambda path: False}[tune]


# {value of the setting `tune`: (layers, **options) -> Select}
TUNE = {tune: functools.partial(make_select, tune) for tune in (
    'adapters', 'full', 'top_k', 'norms', 'bias', 'head', 'fusion', 'none')}
select_adapters = TUNE['adapters']


def label(select: Select, path: str) -> str:
  """Returns the key of a leaf's transformation in `make_optimizer`.

  Args:
    select: Predicate of the tuned paths.
    path: Path of the leaf.
  """
  if not select(path):
    return 'frozen'
  role = trees.role(path)
  if role in trees.UNTRAINED:
    return role if role == 'statistics' else 'frozen'
  return 'trained'
