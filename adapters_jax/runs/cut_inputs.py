"""Logs how many inputs are cut to `max_length`."""

import logging

from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib

_log = logging.getLogger(__name__)

_MANY = 0.1  # Share of the training inputs above which the limit is too low.


def log(config: config_lib.Config, split: str, cut: int, total: int) -> None:
  """Logs how many inputs are cut; a warning if many are that can be longer.

  Args:
    config: Settings.
    split: Name of the split; the warning is on 'train' alone.
    cut: Number of inputs that are cut.
    total: Number of all inputs.
  """
  if not cut:
    return
  limit = config.max_length
  many = (split == 'train' and cut > _MANY * total
          and limit < pretrained.config_of(config.checkpoint).longest)
  _log.log(
      logging.WARNING if many else logging.INFO,
      '%s: %d of %d inputs are cut to %d tokens%s', split, cut, total, limit,
      '; `max_length` raises this limit' if many else '')
