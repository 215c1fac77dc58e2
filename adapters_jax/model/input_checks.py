"""Checks the inputs of an encoder while its program is traced."""

from typing import Any

from adapters_jax import errors
from adapters_jax.model import bert_config
from adapters_jax.model import precision


def check(
    config: bert_config.BertConfig, tokens: Any, segments: Any, mask: Any
) -> None:
  """Checks the inputs of an encoder with embeddings.

  Args:
    config: The encoder's config.
    tokens: [batch, length] int32 word pieces, or None.
    segments: [batch, length] int32, or None.
    mask: [batch, length] bool, or None.

  Raises:
    errors.UserError: an input is missing, has another rank, or is longer than
      the encoder reads.
  """
  for name, value in (
      ('tokens', tokens), ('segments', segments), ('mask', mask)):
    if value is None:
      raise errors.UserError(
          f'`{name}`: is missing; give all inputs, as in '
          'model.apply(variables, tokens, segments, mask)')
    if len(value.shape) != 2:
      raise errors.UserError(
          f'`{name}`: its shape is {value.shape}; give [batch, length]')
  room = config.longest - sum(
      method.positions_taken for method in config.adapters)
  if room < 1:
    raise errors.UserError(
        '`adapters`: their prompts or prefixes take all positions of the base, '
        f'which has {config.longest}; give shorter ones')
  length = tokens.shape[1]
  # Padding of the longest text to a round length may pass the table. A symbol,
  # the length of a program for `jax.export`, has no value to compare.
  if isinstance(length, int) and length > precision.rounded_up(room):
    raise errors.UserError(
        f'`tokens`: {length} positions, and the base has {room}; cut texts '
        f'with max_length={room}')
