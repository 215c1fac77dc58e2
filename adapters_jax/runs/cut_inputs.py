"""Logs how many inputs are cut to `max_length`."""

from collections.abc import Sequence
import logging

import numpy as np
import tokenizers

from adapters_jax.data import tokenization
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib

_log = logging.getLogger(__name__)

_MANY = 0.1  # Share of the training inputs above which the limit is too low.


def log(
    config: config_lib.Config, tokenizer: tokenizers.Tokenizer, split: str,
    texts: Sequence[tuple[str, ...]], lengths: np.ndarray,
) -> None:
  """Logs how many inputs are cut; a warning if many are that can be longer.

  Args:
    config: Settings.
    tokenizer: Tokenizer.
    split: Name of the split; the warning is on 'train' alone.
    texts: One or two texts for each input.
    lengths: [inputs] Number of tokens that are read.
  """
  limit = config.max_length
  # Only inputs of the full length can have lost tokens.
  full = [texts[row] for row in np.flatnonzero(lengths == limit)]
  cut = tokenization.count_truncated(tokenizer, full, limit)
  if not cut:
    return
  many = (split == 'train' and cut > _MANY * len(texts)
          and limit < pretrained.config_of(config.checkpoint).longest)
  _log.log(
      logging.WARNING if many else logging.INFO,
      '%s: %d of %d inputs are cut to %d tokens%s', split, cut, len(texts),
      limit, '; `max_length` raises this limit' if many else '')
