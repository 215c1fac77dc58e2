"""Measures the time of a grid of runs: one by one, vmapped, on Ray.

  python -m scripts.benchmark.makespan --out=experiments/results/makespan.json

Each way is `experiments.sweep` in a process of its own, timed from its start to
its table, with its workdir in a fresh folder. Measure on an idle machine.
Before each way, a sweep of as many runs as train at a time fills the cache of
compiled programs (not with `--nowarm`).
"""

from collections.abc import Sequence
import dataclasses
import os
import subprocess
import sys
import tempfile
import time

from adapters_jax.api import flags
from adapters_jax import errors
from adapters_jax.runs.options import option
from adapters_jax.sweeps import grid
from scripts.benchmark import results

_HERE = os.path.abspath(os.path.join(
    os.path.dirname(__file__), os.pardir, os.pardir))


@dataclasses.dataclass(frozen=True)
class Config:
  """Runs to measure; every field is a flag."""
  task: str = option('movie_sentiment', 'Task of the runs.')
  checkpoint: str = option('minilm-l6', 'Checkpoint of the runs.')
  rates: str = option('3e-4,1e-3', 'Learning rates, each with every seed.')
  seeds: int = option(4, 'How many seeds.')
  lengths: str = option('16,128', 'Values of --max_length, with commas.')
  train_examples: int = option(500, 'Examples that a run trains on.')
  epochs: float = option(1.0, 'Passes over them.')
  warm: bool = option(True, 'Compile before the time is taken.')
  out: str = option('', 'File for the result.')


def ways(runs: int) -> dict[str, tuple[list[str], int]]:
  """Returns {name: (flags, runs that train at a time)} for a grid of runs."""
  return {
      'sequential': (['--group=1'], 1),  # One run in each program.
      'vmapped': ([f'--group={runs}'], runs),
      'two Ray workers': (
          ['--launcher=ray', '--workers=2', '--group=1'], 2),
  }


def seconds_of(config: Config, crossed: str, flag_list: Sequence[str]) -> float:
  """Returns the wall seconds of a sweep over a grid, in its own process.

  Args:
    config: Runs to measure.
    crossed: Grid, as `--grid` takes it.
    flag_list: Further flags of the sweep.

  Raises:
    errors.UserError: the sweep failed.
  """
  with tempfile.TemporaryDirectory() as folder:
    command = [
        sys.executable, '-m', 'experiments.sweep', f'--task={config.task}',
        f'--checkpoint={config.checkpoint}', f'--grid={crossed}',
        f'--train_examples={config.train_examples}',
        f'--epochs={config.epochs}', f'--workdir={folder}', *flag_list]
    start = time.monotonic()
    # The folder is new: no finished run is skipped.
    done = subprocess.run(command, cwd=_HERE, capture_output=True, text=True)
    seconds = time.monotonic() - start
  if done.returncode:
    raise errors.UserError(f'{" ".join(command)}: {done.stderr[-2000:]}')
  return seconds


def grid_of(config: Config, runs: int) -> str:
  """Returns a grid, of seeds first and then of rates.

  Args:
    config: Runs to measure.
    runs: Number of runs; above the number of seeds, the whole grid.
  """
  rates = config.rates.split(',')
  if runs > config.seeds:
    return f'learning_rate={config.rates} seed=0-{config.seeds - 1}'
  return f'learning_rate={rates[0]} seed=0-{runs - 1}'


def measure(config: Config) -> dict[str, dict[str, float]]:
  """Returns {length: {way: seconds}}."""
  runs = config.seeds * len(config.rates.split(','))
  found = {}
  for length in config.lengths.split(','):
    found[length] = {}
    for name, (flag_list, at_a_time) in ways(runs).items():
      flag_list = [*flag_list, f'--max_length={length}']
      if config.warm:
        # A vmapped program is compiled for its number of runs.
        seconds_of(config, grid_of(config, at_a_time), flag_list)
      seconds = seconds_of(config, grid_of(config, runs), flag_list)
      found[length][name] = round(seconds, 1)
      print(f'{runs} runs, length {length}, {name}: {seconds:.1f} s',
            flush=True)
  return found


def main(config: Config) -> None:
  """Measures, prints and writes."""
  if config.seeds < 1:
    raise errors.UserError('--seeds: give 1 or more')
  grid.parse_grid(grid_of(config, config.seeds + 1))  # Raises for bad rates.
  results.write(config, makespan_seconds=measure(config))


if __name__ == '__main__':
  flags.start(Config, main)
