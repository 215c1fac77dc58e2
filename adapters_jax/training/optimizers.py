"""Selections of tuned leaves, schedules of the rate, and the optimizer."""

from collections.abc import Callable
import functools
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from adapters_jax.layers import batch_norm
from adapters_jax import trees

Select = Callable[[str], bool]  # (path) -> whether the leaf is tuned


def select_adapters(
    layers: int, *, tune_norms: bool = True, norm_layers: Any = None,
    frozen: int = 0, **_: Any
) -> Select:
  """Adapters, layer norms and head: the paper's method.

  Args:
    layers: Number of layers of the model; unused.
    tune_norms: Whether to tune the pretrained layer norms as well.
    norm_layers: Layers whose norms are tuned; None for all norms, that of the
      embeddings included.
    frozen: Number of methods, the first ones, of adapters that stay frozen.
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


def select_full(layers: int, **_: Any) -> Select:
  """Everything: full fine-tuning.

  Args:
    layers: Number of layers of the model; unused.
  """
  del layers
  return lambda path: True


def select_top_k(layers: int, *, top_k: int = 1, **_: Any) -> Select:
  """The top k layers, the pooler and the head: variable fine-tuning.

  Args:
    layers: Number of layers of the model.
    top_k: Number of layers to tune.
  """

  def select(path):
    layer = trees.layer_of(path)
    if layer is None:  # Embeddings, pooler or head.
      # A bias of distances acts in the layers below, too.
      return not path.startswith(('embeddings/', 'encoder/relative_'))
    return layer >= layers - top_k

  return select


def select_norms(layers: int, **_: Any) -> Select:
  """Layer norms and head (Houlsby et al., 2019, section 3.4).

  Args:
    layers: Number of layers of the model; unused.
  """
  del layers
  return lambda path: trees.role(path) in ('norm', 'head')


def select_bias(layers: int, **_: Any) -> Select:
  """Bias vectors and head: BitFit (Ben Zaken et al., 2022).

  Args:
    layers: Number of layers of the model; unused.
  """
  del layers
  return lambda path: path.endswith('/bias') or trees.role(path) == 'head'


def select_head(layers: int, **_: Any) -> Select:
  """The head alone.

  Args:
    layers: Number of layers of the model; unused.
  """
  del layers
  return lambda path: trees.role(path) == 'head'


def select_none(layers: int, **_: Any) -> Select:
  """Nothing: the base as it is.

  Args:
    layers: Number of layers of the model; unused.
  """
  del layers
  return lambda path: False


def select_fusion(
    layers: int, *, tune_norms: bool = True, norm_layers: Any = None, **_: Any
) -> Select:
  """The attention over frozen adapters, layer norms and head.

  Args:
    layers: Number of layers of the model.
    tune_norms: Whether to tune the layer norms as well.
    norm_layers: Layers whose norms are tuned; None for all.
  """
  others = select_adapters(
      layers, tune_norms=tune_norms, norm_layers=norm_layers)
  return lambda path: trees.is_fusion(path) or (
      trees.role(path) in ('norm', 'head') and others(path))


# {value of the setting `tune`: (layers, **options) -> Select}
TUNE = {
    'adapters': select_adapters,
    'full': select_full,
    'top_k': select_top_k,
    'norms': select_norms,
    'bias': select_bias,
    'head': select_head,
    'fusion': select_fusion,
    'none': select_none,
}


@functools.lru_cache
def make_select(
    tune: str, layers: int, tune_norms: bool,
    norm_layers: tuple[int, ...] | None, top_k: int, frozen: int = 0,
) -> Select:
  """Returns a selection; the same function for the same arguments.

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


def decays(path: str) -> bool:
  """Returns whether weight decay applies: not to norms, biases and scales."""
  if trees.is_fusion(path) and path.endswith('value/kernel'):
    return False  # Its own regularisation holds it near the identity.
  # '/scaling' is a bottleneck's learned factor, '/magnitude' DoRA's.
  return trees.role(path) != 'norm' and not path.endswith(
      ('/bias', '/scale', '/scaling', '/magnitude'))


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


def _reciprocal(number: Any) -> jax.Array:
  """Returns 1 / number, at most 1.

  XLA divides by a constant in this way, and by data otherwise: with it a rate
  has the same bits, whether its warm-up is a constant or data.
  """
  return 1 / jnp.maximum(1.0, jnp.asarray(number, jnp.float32))


def warmup_linear(steps: int, rising: Any) -> optax.Schedule:
  """Returns the shape of the rate: 0 to 1 over warm-up, then linearly to 0.

  Args:
    steps: Number of steps of the whole training.
    rising: Number of steps that warm up, from 1; may be an array.
  """

  def shape(step):
    # Above 0 at the first step: no update is lost.
    up = (step + 1) * _reciprocal(rising)
    down = (steps - step) * _reciprocal(steps - rising)
    return jnp.clip(jnp.minimum(up, down), 0.0, 1.0)

  return shape


def warmup_drop(steps: int, rising: Any) -> optax.Schedule:
  """Returns the shape of the rate in BERT's released code.

  It rises from 0 at the first step, and at the end of warm-up drops onto the
  line that falls from 1 at the first step to 0 at the last.

  Args:
    steps: Number of steps of the whole training.
    rising: Number of steps that warm up; may be an array.
  """

  def shape(step):
    down = jnp.clip(1 - step / steps, 0.0, 1.0)
    return jnp.where(step < rising, step * _reciprocal(rising), down)

  return shape


class MomentsState(NamedTuple):
  """Running means of the gradient and of its square."""
  mu: Any  # Trees with the paths of the parameters.
  nu: Any


def scale_by_uncorrected_adam(
    b1: float = 0.9, b2: float = 0.999, epsilon: float = 1e-6
) -> optax.GradientTransformation:
  """Returns Adam without bias correction, as in BERT's released code.

  Args:
    b1: Decay of the mean gradient.
    b2: Decay of the mean squared gradient.
    epsilon: Addend to the root of the mean square.
  """

  def init(params):
    return MomentsState(*(jax.tree.map(jnp.zeros_like, params)
                          for _ in range(2)))

  def update(grads, state, params=None):
    del params
    mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, grads)
    nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.nu, grads)
    updates = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + epsilon), mu, nu)
    return updates, MomentsState(mu, nu)

  return optax.GradientTransformation(init, update)


# {value of the setting `optimizer`: (scaling of gradients, shape of the rate)}
OPTIMIZERS = {
    'adam': (optax.scale_by_adam, warmup_linear),
    'adapter_bert': (scale_by_uncorrected_adam, warmup_drop),
}


def rising_steps(optimizer: str, steps: int, warmup: float) -> int:
  """Returns the number of steps that warm up.

  Args:
    optimizer: Key of OPTIMIZERS.
    steps: Number of steps of the whole training.
    warmup: Share of `steps` that warms up; the paper's is 0.1.
  """
  if optimizer == 'adapter_bert':  # As its code does.
    return int(steps * warmup)
  return max(1, round(steps * warmup))


def make_optimizer(
    select: Select,
    *,
    learning_rate: float,
    steps: int,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    clip_norm: float = 1.0,
    optimizer: str = 'adam',
) -> optax.GradientTransformation:
  """Returns AdamW on the selected leaves and nothing on all others.

  It takes the tuned tree or a whole parameter tree: leaves that are not
  selected get a zero update, whatever their gradient. (`optax.masked` alone
  would pass their raw gradient through.) The clip is inside the partition, so
  that frozen gradients do not enter the norm. Peak rate, warm-up and decay are
  data (`opt_state.hyperparams`), so runs that differ in them share a program.

  Args:
    select: Predicate of the tuned paths.
    learning_rate: Peak rate.
    steps: Number of steps of the whole training.
    warmup: Share of the steps with a rising rate.
    weight_decay: Decay per step, relative to the rate.
    clip_norm: Largest global norm of the trained leaves' gradient.
    optimizer: Key of OPTIMIZERS.
  """
  scale, schedule = OPTIMIZERS[optimizer]

  @optax.inject_hyperparams
  def make(learning_rate, weight_decay, rising):
    trained = optax.chain(
        optax.clip_by_global_norm(clip_norm),
        scale(),
        # After the scaling: decoupled from the moments, as in AdamW.
        optax.add_decayed_weights(
            weight_decay,
            mask=lambda tree: trees.map_with_path(
                lambda path, _: decays(path), tree)),
        optax.scale_by_schedule(schedule(steps, rising)),
        optax.scale_by_learning_rate(learning_rate),
    )
    return optax.partition(
        {'trained': trained, 'frozen': optax.set_to_zero(),
         # Their 'gradient' is running - batch, so this is a moving average.
         'statistics': optax.sgd(1 - batch_norm.MOMENTUM)},
        lambda tree: trees.map_with_path(
            lambda path, _: label(select, path), tree))

  # A float: `inject_hyperparams` gives integers no axis of runs.
  return make(
      learning_rate=learning_rate, weight_decay=weight_decay,
      rising=float(rising_steps(optimizer, steps, warmup)))
