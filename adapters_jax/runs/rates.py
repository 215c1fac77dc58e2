"""Usual learning rates, and a warning of those that ruin a base."""

from collections.abc import Iterable
import logging

from adapters_jax.runs import config as config_lib

_log = logging.getLogger(__name__)

# {`tune`: (name, usual rates)} of the choices that train weights of the base.
# At three times the highest one, scores fall; at ten times, MiniLM ends near
# the most frequent class on 2,000 film reviews.
USUAL = {
    'full': ('full fine-tuning', (1e-5, 1e-4)),
    'top_k': ('top layers', (3e-5, 3e-4)),
}
_FACTOR = 3.0  # Of the highest usual rate, up to which nothing is said.


def warn(configs: Iterable[config_lib.Config]) -> None:
  """Logs a warning for each rate far above those that are usual.

  The default rate suits adapters, which need higher ones.

  Args:
    configs: Settings of runs.
  """
  lines = {}
  for config in configs:
    name, (low, high) = USUAL.get(config.tune, ('', (0.0, 0.0)))
    # The tolerance is for products of decimal fractions.
    if name and config.learning_rate > _FACTOR * high * 1.001:
      lines[f'`learning_rate={config.learning_rate:g}` is far above the '
            f'{low:g} to {high:g} that are usual for {name}'] = None
  for line in lines:
    _log.warning(line)
