"""Trains adapters (or a baseline) for sentence embeddings on pairs of texts.

  python -m experiments.embeddings --train_file=pairs.tsv --dev_fraction=0.1
  python -m experiments.embeddings --train_file=scored.csv --dev_file=dev.csv \\
    --text_columns=sentence1,sentence2 --label_column=score

Pairs without scores are trained with in-batch negatives and scored by
retrieval; a .json file in SQuAD's format has questions and paragraphs. Pairs
with scores are trained and scored by the order of their cosines. `--tune=none`
scores the base as it is.
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
  from adapters_jax.runs.kinds import embeddings  # Imports JAX.
  outcome = flags.launch([config], 'embeddings', many, embeddings.KIND)
  if outcome.failures:
    raise SystemExit(1)


if __name__ == '__main__':
  flags.define(config_lib.Config, **presets.EMBEDDINGS)
  flags.define(grid.Options)
  flags.start(config_lib.Config, main, grid.Options)
