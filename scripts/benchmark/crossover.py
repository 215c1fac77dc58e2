"""Measures at which sizes training several runs as one program pays.

  python -m scripts.benchmark.crossover --out=experiments/results/crossover.json

Times a training step on batches of several lengths and sizes, for one run and
for groups of runs that share a base and are vmapped over their tuned trees
(`adapters_jax.runs.group`). All group sizes take turns; the result is the time
of a step divided by the runs. Measure on an idle machine.
"""

import dataclasses
import time
from typing import Any

from adapters_jax.api import flags
from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.options import option
from scripts.benchmark import results
from scripts.benchmark import sides


@dataclasses.dataclass(frozen=True)
class Config:
  """Steps to measure."""
  task: str = option('movie_sentiment', 'Task of the sentences.')
  checkpoint: str = option('minilm-l6', 'Checkpoint of the runs.')
  adapter_size: int = option(64, "Width of the adapters' bottleneck.")
  batch_sizes: str = option('4,8,32', 'Examples a step, with commas.')
  groups: str = option('1,2,4,8', 'Runs a group, with commas; 1 first.')
  turns: int = option(7, 'How often each is timed, in turns.')
  train_examples: int = option(1000, 'Sentences to make batches of.')
  out: str = option('', 'File for the result.')


def numbers(text: str, flag: str) -> list[int]:
  """Parses comma-separated whole numbers of at least 1, and sorts them.

  Args:
    text: Comma-separated numbers, like '1,2,4'.
    flag: Name of the flag, for the message.

  Raises:
    errors.UserError: `text` has another form.
  """
  found = [int(part) if part.strip().isdecimal() else 0
           for part in text.split(',')]
  # 0 stands for a part that is no number; a set drops repetitions.
  if found != sorted({max(1, n) for n in found}):
    raise errors.UserError(
        f'{flag}={text}: give ascending whole numbers with commas, like 1,2,4')
  return found


def some_steps(schedule: Any) -> list[int]:
  """Returns a step of the shortest, the median and the longest batch."""
  ordered = sorted(range(schedule.steps_per_epoch),
                   key=lambda step: schedule.at(step).length)
  chosen = (ordered[0], ordered[len(ordered) // 2], ordered[-1])
  # By length: few buckets may give one length twice.
  return list({schedule.at(step).length: step for step in chosen}.values())


def in_turns(
    timed: dict[int, tuple[Any, Any]], turns: int
) -> dict[str, dict[str, float]]:
  """Returns {runs: {'min' and 'median': seconds of a step / runs}}.

  Args:
    timed: {runs: (step, batch)} from `forecast.make_group_step`.
    turns: Timed steps of each, after one untimed step every turn.
  """
  import jax
  times = {runs: [] for runs in timed}
  for _ in range(turns):
    for runs, (step, batch) in timed.items():
      jax.block_until_ready(step(batch))
      # The step before compiles, and refills the caches that the others used.
      start = time.perf_counter()
      jax.block_until_ready(step(batch))
      times[runs].append((time.perf_counter() - start) / runs)
  return {str(runs): sides.column(found) for runs, found in times.items()}


def measure(config: Config) -> list[dict[str, Any]]:
  """Returns the times of all group sizes, by batch size and length."""
  from adapters_jax.runs.kinds import classification  # Imports JAX.
  from adapters_jax.sweeps import forecast
  sizes = numbers(config.groups, '--groups')
  rows = []
  for batch_size in numbers(config.batch_sizes, '--batch_sizes'):
    configs = [
        config_lib.Config(
            task=config.task, checkpoint=config.checkpoint, seed=seed,
            adapter_size=config.adapter_size, batch_size=batch_size,
            train_examples=config.train_examples)
        for seed in range(sizes[-1])]
    # The largest group; `first` cuts the smaller ones from it.
    with forecast.assembled(configs, classification.KIND) as group:
      schedule = group.members[0].schedule
      for index in some_steps(schedule):
        length = schedule.at(index).length
        found = in_turns({
            size: forecast.make_group_step(
                group.first(size), classification.KIND, index)
            for size in sizes}, config.turns)
        rows.append({'batch_size': batch_size, 'length': length,
                     'seconds_a_run': found})
        print(describe(rows[-1]), flush=True)
  return rows


def describe(row: dict[str, Any]) -> str:
  """Returns a measurement as a line: minima (medians, speed-ups)."""
  alone = row['seconds_a_run']['1']['min']
  texts = []
  for runs, seconds in row['seconds_a_run'].items():
    ratio = '' if runs == '1' else f', {alone / seconds["min"]:.2f}x'
    texts.append(f'{runs}: {1e3 * seconds["min"]:.1f} ms '
                 f'({1e3 * seconds["median"]:.1f}{ratio})')
  return (f'{row["batch_size"]} x {row["length"]}: a step takes each run, by '
          f'the size of its group: {"; ".join(texts)}')


def check(config: Config) -> None:
  """Raises UserError for a wrong flag."""
  numbers(config.batch_sizes, '--batch_sizes')
  # `describe` compares with a run alone.
  if numbers(config.groups, '--groups')[0] != 1:
    raise errors.UserError(
        f'--groups={config.groups}: begin with 1, a run alone')
  for name in ('turns', 'adapter_size', 'train_examples'):
    value = getattr(config, name)
    if value < 1:
      raise errors.UserError(f'--{name}={value}: give 1 or more')


def main(config: Config) -> None:
  """Measures, prints and writes."""
  check(config)
  results.write(config, steps=measure(config))


if __name__ == '__main__':
  flags.start(Config, main)
