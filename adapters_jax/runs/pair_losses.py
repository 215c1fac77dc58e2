"""Settings of the loss of sentence embeddings, and their checks."""

import numpy as np

from adapters_jax import errors
from adapters_jax.data import pairs as pairs_lib
from adapters_jax.model import heads
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options

_LARGEST_COSINE = 1.0


def name_of(config: config_lib.Config, scored: bool) -> str:
  """Returns the name of the loss.

  Args:
    config: Settings.
    scored: Whether the pairs have scores, which decides the default.
  """
  return config.pair_loss or ('cosent' if scored else 'multiple_negatives')


def check(config: config_lib.Config, train: pairs_lib.Pairs) -> None:
  """Raises UserError for a loss that does not fit the pairs."""
  scored = train.scores is not None
  name = name_of(config, scored)
  if name in heads.embedding.SCORED:
    if not scored:
      lack = (f'and {train.where} has no column {config.label_column!r}; name '
              'it with `label_column`' if train.where
              else 'and the pairs have none; give `scores`')
      raise errors.UserError(
          f'`pair_loss={name}`: needs scores, {lack}, or give '
          '`pair_loss=multiple_negatives`')
    if len(train.texts[0]) > 2:
      what, way = (
          (f'`negative_column={config.negative_column}`: is', 'leave it out')
          if config.negative_column else
          ('`texts`: a third text is', 'give two for each pair'))
      raise errors.UserError(
          f'{what} for `pair_loss=multiple_negatives`, and this is {name}; '
          f'{way}')
  elif scored:  # Their labels are scores, not the rows of matching texts.
    raise errors.UserError(
        f'`pair_loss={name}`: is for pairs without scores, and '
        f'{train.where or "training"} has scores; leave the scores out, or '
        'give `pair_loss=cosent`')
  if name == 'cosine' and (
      beyond := np.flatnonzero(np.abs(train.scores) > _LARGEST_COSINE)).size:
    row = int(beyond[0])
    raise errors.UserError(
        f'{train.place(row)}: the score {train.scores[row]:g} is no cosine; '
        'scale scores to -1 to 1, or give `pair_loss=cosent`')
  if name != 'cosine' and config.accumulate > 1:
    raise errors.UserError(
        f'`accumulate={config.accumulate}`: {name} compares all pairs of a '
        'batch; give `accumulate=1`, or a smaller `batch_size`')


def dims_of(config: config_lib.Config, dim: int) -> tuple[int, ...]:
  """Returns the nested sizes of embeddings, descending; () for no nesting.

  Args:
    config: Settings.
    dim: Width of the encoder.

  Raises:
    errors.UserError: a size that is no number from 1 to `dim`, or sizes
      without `dim`.
  """
  found = options.names(config.matryoshka_dims)
  if not all(part.isdecimal() and 1 <= int(part) <= dim for part in found):
    raise errors.UserError(
        f'`matryoshka_dims={config.matryoshka_dims}`: give numbers from 1 to '
        f'{dim} with commas')
  sizes = sorted({*map(int, found)}, reverse=True)
  if sizes and sizes[0] != dim:  # Dev is scored with the whole vector.
    raise errors.UserError(
        f'`matryoshka_dims={config.matryoshka_dims}`: the dimensions beyond '
        f'{sizes[0]} of {dim} would not be trained; give the full width too, '
        f'as in {",".join(map(str, (dim, *sizes)))}')
  return tuple(sizes)
