"""Schedules of the learning rate, and the optimizer of selected leaves."""

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from adapters_jax.layers import batch_norm
from adapters_jax.training import selections
from adapters_jax import trees


def decays(path: str) -> bool:
  """Returns whether weight decay applies: not to norms, biases and scales."""
  if trees.is_fusion(path) and path.endswith('value/kernel'):
    return False  # Its own regularisation holds it near the identity.
  # '/scaling' is a bottleneck's learned factor, '/magnitude' DoRA's.
  return trees.role(path) != 'norm' and not path.endswith(
      ('/bias', '/scale', '/scaling', '/magnitude'))


def _reciprocal(number: Any, xp: Any) -> Any:
  """Returns 1 / number, at most 1, in float32.

  XLA turns a division by a constant into this product, but not a division by
  data. With it, a rate has the same bits in both cases.

  Args:
    number: Number, may be an array.
    xp: numpy or jax.numpy.
  """
  return 1 / xp.maximum(1.0, xp.asarray(number, xp.float32))


def warmup_linear(steps: int, rising: Any, xp: Any = jnp) -> optax.Schedule:
  """Returns the shape of the rate: 0 to 1 over warm-up, then linearly to 0.

  Args:
    steps: Number of steps of the whole training.
    rising: Number of steps that warm up, from 1; may be an array.
    xp: jax.numpy, or numpy for a float32 that waits for no device.
  """

  def shape(step):
    # step + 1, so that the first update is not lost.
    up = (step + 1) * _reciprocal(rising, xp)
    down = (steps - step) * _reciprocal(steps - rising, xp)
    return xp.clip(xp.minimum(up, down), 0.0, 1.0)

  return shape


def warmup_drop(steps: int, rising: Any, xp: Any = jnp) -> optax.Schedule:
  """Returns the shape of the rate in BERT's released code.

  It rises from 0 at the first step, and at the end of warm-up drops onto the
  line that falls from 1 at the first step to 0 at the last.

  Args:
    steps: Number of steps of the whole training.
    rising: Number of steps that warm up; may be an array.
    xp: As for `warmup_linear`.
  """

  def shape(step):
    # Python divides in float64, an array of steps in float32.
    down = xp.clip(xp.asarray(1 - step / steps, xp.float32), 0.0, 1.0)
    return xp.where(step < rising, step * _reciprocal(rising, xp), down)

  return shape


class MomentsState(NamedTuple):
  """Running means of the gradient and of its square."""
  mu: Any  # Trees with the paths of the parameters.
  nu: Any


def scale_by_uncorrected_adam() -> optax.GradientTransformation:
  """Returns Adam without bias correction, as in BERT's released code."""
  b1, b2, epsilon = 0.9, 0.999, 1e-6

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
    select: selections.Select,
    *,
    learning_rate: float,
    steps: int,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    clip_norm: float = 1.0,
    optimizer: str = 'adam',
) -> optax.GradientTransformation:
  """Returns AdamW for the selected leaves; all others are not updated.

  It takes the tuned tree or a whole parameter tree: leaves that are not
  selected get a zero update, whatever their gradient. (`optax.masked` alone
  would pass their raw gradient through.) Clipping is inside the partition, so
  that frozen gradients do not enter the norm. Peak rate, warm-up and decay are
  data (`opt_state.hyperparams`), so runs that differ in them share a program.

  Args:
    select: Predicate of the tuned paths.
    learning_rate: Peak rate.
    steps: Number of steps of the whole training.
    warmup: Fraction of the steps over which the rate warms up.
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
            lambda path, _: selections.label(select, path), tree))

  # A float: `inject_hyperparams` gives integers no axis of runs.
  return make(
      learning_rate=learning_rate, weight_decay=weight_decay,
      rising=float(rising_steps(optimizer, steps, warmup)))
