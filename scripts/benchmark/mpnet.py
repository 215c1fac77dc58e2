"""Measures MPNet's training step against transformers' on torch.

  pip install -e '.[bench]'
  python -m scripts.benchmark.mpnet --length=32 --out=MPNET.json

Both sides train adapters, layer norms and a linear head of `mpnet-base` on 32
texts of random words, in float32 and with bfloat16 products (autocast in
torch). Each setting is a process; all take turns. The result compares the best
setting of each side. Measure on an idle machine, or compare processor times.
"""

import contextlib
import dataclasses
from typing import Any

from adapters_jax.api import flags
from adapters_jax import errors
from adapters_jax.runs.options import option
from adapters_jax.runs import records
from scripts.benchmark import sides
from scripts.benchmark import workers

# {side: (module of its worker, {setting: arguments of `begin`})}
SIDES = {
    'ours': ('scripts.benchmark.ours', {
        name: {'task': 'movie_sentiment', 'tune': 'adapters', 'data_dir': '',
               'checkpoint': 'mpnet-base', 'precision': name,
               'train_examples': 64}
        for name in ('float32', 'bfloat16_products')}),
    'peer': ('scripts.benchmark.mpnet_peer', {
        name: {'precision': name, 'size': 64}
        for name in ('float32', 'bfloat16')}),
}
TIMES = 'seconds', 'cpu_seconds'


@dataclasses.dataclass(frozen=True)
class Config:
  """Steps to measure."""
  length: int = option(64, 'Words of each of the 32 texts.')
  turns: int = option(7, 'Timed steps of each setting, in turns.')
  out: str = option('', 'File for the result.')


def measure(config: Config) -> dict[str, dict[str, Any]]:
  """Returns {'side setting': {time: minimum and median in seconds}}."""
  with contextlib.ExitStack() as stack:
    started, trained = {}, set()
    for side, (module, settings) in SIDES.items():
      for name, arguments in settings.items():
        worker = stack.enter_context(workers.Worker(('-m', module)))
        worker.ask('begin', **arguments)
        trained.add(worker.ask('trained').value)
        started[f'{side} {name}'] = worker
    if len(trained) > 1:
      raise RuntimeError(f'the sides train {sorted(trained)} parameters')
    call = 'step', {'length': config.length}
    answers = workers.in_turns(
        started, config.turns, dict.fromkeys(started, call), awaken=call)
    return {name: {
        **{time: sides.column([getattr(answer, time) for answer in some])
           for time in TIMES},
        **started[name].ask('about').value} for name, some in answers.items()}


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
  """Returns {time: {statistic: best of the peer / best of ours}}."""

  def best(side, time, statistic):
    return min(row[time][statistic] for name, row in found.items()
               if name.startswith(side))

  return {time: {
      statistic: best('peer', time, statistic) / best('ours', time, statistic)
      for statistic in ('min', 'median')} for time in TIMES}


def main(config: Config) -> None:
  """Measures, prints and writes."""
  for name, largest in (('length', 512), ('turns', 10**6)):
    value = getattr(config, name)
    if not 1 <= value <= largest:
      raise errors.UserError(f'--{name}={value}: give 1 to {largest:,}')
  found = measure(config)
  for name, row in found.items():
    print(f'{name}: ' + '; '.join(
        f'{row[time]["min"]:.2f} s ({row[time]["median"]:.2f}) of {kind}'
        for time, kind in zip(TIMES, ('wall', 'processor'), strict=True)))
  compared = ratios(found)
  for time, kind in zip(TIMES, ('wall', 'processor'), strict=True):
    print(f'{kind} time of the best setting, peer / ours: '
          f'{compared[time]["min"]:.2f} of minima, '
          f'{compared[time]["median"]:.2f} of medians')
  records.write_measured(config, settings=found, ratios=compared)


if __name__ == '__main__':
  flags.define(Config)
  flags.start(Config, main)
