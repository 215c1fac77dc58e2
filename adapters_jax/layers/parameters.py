"""Flax modules that read their parameters without tracing initialisers.

For a parameter that exists, `nn.Module.param` traces the initialiser just to
compare shapes, which takes up to a quarter of the time to trace a training
step. These modules compare the shapes directly; values and programs are those
of Flax. Where only shapes are wanted, they trace no initialiser at all. Types
default to float32 also with `jax_enable_x64`, where Flax's initialisers would
draw other numbers for the same key.
"""

from collections.abc import Callable
from typing import Any

from flax import errors
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax.layers import shape_trace


class Module(nn.Module):
  """A module whose `param` traces initialisers only for new parameters."""

  @nn.nowrap
  def param(  # type: ignore[override]  # One signature, not Flax's overloads.
      self, name: str, init_fn: Callable[..., Any], *init_args: Any,
      **keywords: Any,
  ) -> jax.Array:
    """Returns a parameter, initialised if there is none.

    Args:
      name: Name of the parameter.
      init_fn: Initialiser, called with a random key, the shape, the type and
        the further arguments; with the key alone if there is no shape.
      *init_args: The shape, the type if it is not float32, and further
        arguments. Without a shape the initialiser is traced as in Flax.
      **keywords: Further arguments of `nn.Module.param`.

    Raises:
      flax.errors.ScopeParamShapeError: the parameter has another shape.
    """
    if not init_args or not self.has_variable('params', name):
      if len(init_args) == 1:
        init_args = *init_args, jnp.float32
      if init_args and shape_trace.current():
        return self.variable(
            'params', name, jax.lax.full, init_args[0], 0, init_args[1]).value
      return super().param(name, init_fn, *init_args, **keywords)
    value, shape = self.get_variable('params', name), tuple(init_args[0])
    if np.shape(value) != shape:
      raise errors.ScopeParamShapeError(
          name, '/'.join(self.path), np.shape(value), shape)
    return value


class Dense(Module, nn.Dense):
  """Flax's linear layer."""


class Embed(Module, nn.Embed):
  """Flax's table of embeddings."""


class LayerNorm(Module, nn.LayerNorm):
  """Flax's layer norm."""
