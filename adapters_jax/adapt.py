"""The one place where adapter methods meet the sites of the model."""

from collections.abc import Callable
from typing import Any

import jax


def sublayer_output(
    configs: tuple[Any, ...],
    site: str,
    layer: int,
    residual: jax.Array,
    update: jax.Array,
    norm: Callable[[jax.Array], jax.Array],
) -> jax.Array:
  """Closes a sublayer: adapters, the residual sum and the layer norm.

  Serial adapters read the update before the skip connection is added (Houlsby
  et al., 2019, figure 2). Called inside a compact module, whose parameters
  then hold `adapter_<site>_<index of the config>`.

  Args:
    configs: The model's adapter methods, in order.
    site: 'attention_output' or 'ffn_output'.
    layer: The layer's number.
    residual: [batch, length, dim] What entered the sublayer.
    update: [batch, length, dim] What the sublayer made of it.
    norm: The sublayer's own layer norm.

  Returns:
    [batch, length, dim] The normalised output.
  """
  for index, config in enumerate(configs):
    if config.applies(site, layer):
      update = config.make(f'adapter_{site}_{index}')(update)
  return norm(residual + update)
