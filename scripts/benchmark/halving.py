"""Replays successive halving on the records of an exhaustive sweep.

  python -m experiments.sweep --experiment=glue --task=movie_sentiment \\
    --train_examples=1000 --epochs=6 --group=1 --records=DIR \\
    --grid='adapter_size=4,16,64,256 learning_rate=1e-4,3e-4,1e-3,3e-3 seed=0-3'
  python -m scripts.benchmark.halving --records=DIR/glue/movie_sentiment \\
    --out=experiments/results/halving.json

A run that reaches its end in a halved sweep is bit-equal to its undisturbed
run, so the histories of the exhaustive sweep show the result of halving, and
the steps it takes.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np

from adapters_jax import errors
from adapters_jax.analysis import halving_replay
from adapters_jax.api import flags
from adapters_jax.runs import records as records_lib
from adapters_jax.runs.options import option
from scripts.benchmark import results


@dataclasses.dataclass(frozen=True)
class Config:
  """Sweep to replay."""
  records: str = option('', 'Folder of the records of the exhaustive sweep.')
  factor: int = option(3, 'Settings at a rung for each that trains further.')
  first: float = option(1.0, 'Epochs before the first rung.')
  settings: int = option(8, 'Settings of each resampled sweep.')
  draws: int = option(1000, 'Number of resampled sweeps.')
  out: str = option('', 'File for the result.')


def summary(replays: Sequence[halving_replay.Replay]) -> dict[str, float]:
  """Returns statistics of resampled sweeps, in points and shares."""
  regrets = 100 * np.array([one.regret for one in replays])
  return {
      'mean_regret': float(regrets.mean()),
      'regret_90th_percentile': float(np.percentile(regrets, 90)),
      'best_found': float((regrets == 0).mean()),
      'mean_share': float(np.mean([one.share for one in replays]))}


def main(config: Config) -> None:
  """Prints the replay of the whole sweep, and of resampled parts.

  Args:
    config: Sweep to replay.
  """
  records = list(records_lib.read_all(config.records))
  if not records:
    raise errors.UserError(f'`records`: {config.records!r} holds no record')
  whole = halving_replay.replay(records, config.factor, config.first)
  parts = summary(halving_replay.resampled(
      records, config.factor, config.first, settings=config.settings,
      draws=config.draws))
  print(f'{whole.kept} of {whole.settings} settings reach the end, for '
        f'{100 * whole.share:.1f} % of the steps: dev '
        f'{100 * whole.found:.2f}, exhaustive {100 * whole.best:.2f} +- '
        f'{100 * whole.sem:.2f} (standard error over the seeds)')
  print(f'{config.draws} draws of {config.settings} settings: regret '
        f'{parts["mean_regret"]:.2f} points on average, '
        f'{parts["regret_90th_percentile"]:.2f} at the 90th percentile; the '
        f'best setting is found in {100 * parts["best_found"]:.0f} %')
  results.write(config, whole=dataclasses.asdict(whole), resampled=parts)


if __name__ == '__main__':
  flags.start(Config, main)
