"""Trains adapters of a language or a domain on raw text (masked LM, MAD-X).

  python -m experiments.language_modeling --train_file=lines.txt \\
    --dev_fraction=0.1
  python -m experiments.language_modeling --task=movie_sentiment_texts

A .txt file has one text a line; tables have it in `--text_columns`. The default
is `seq_bn_inv`, an adapter in every layer and an invertible one at the
embeddings. dev and test report the perplexity of masked pieces. Stack a task's
adapter on the result: `stack(domain, task)`.
"""

from adapters_jax.api import flags
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import presets
from adapters_jax.sweeps import grid


def main(config: config_lib.Config, many: grid.Options) -> None:
  """Trains the runs.

  Args:
    config: Settings.
    many: Grid, seeds and pick.
  """
  from adapters_jax.runs.kinds import language_modeling  # Imports JAX.
  outcome = flags.launch(
      [config], 'language_modeling', many, language_modeling.KIND)
  if outcome.failures:
    raise SystemExit(1)


if __name__ == '__main__':
  flags.define(config_lib.Config, **presets.LANGUAGE_MODELING)
  flags.define(grid.Options)
  flags.start(config_lib.Config, main, grid.Options)
