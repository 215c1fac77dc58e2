"""Measures sides in several settings, and compares them at their best ones."""

from collections.abc import Mapping
import contextlib
from typing import Any

from scripts.benchmark import sides as sides_lib
from scripts.benchmark import workers

TIMES = 'seconds', 'cpu_seconds'
# {side: (module of its worker, {setting: arguments of `begin`})}
Sides = Mapping[str, tuple[str, Mapping[str, Mapping[str, Any]]]]
# {'side setting': {time: minimum and median in seconds, further facts}}
Found = dict[str, dict[str, Any]]


def measure(
    sides: Sides, turns: int, call: tuple[str, dict[str, Any]], *,
    awaken: bool = False,
) -> Found:
  """Returns the times of a call on every side, in turns.

  Args:
    sides: Sides, a worker for each setting.
    turns: Calls that count, after one that warms up.
    call: Method of the workers and its arguments.
    awaken: Whether an untimed call comes before each of them.

  Raises:
    RuntimeError: the sides train different numbers of parameters.
  """
  with contextlib.ExitStack() as stack:
    started, trained = {}, set()
    for side, (module, settings) in sides.items():
      for name, arguments in settings.items():
        worker = stack.enter_context(workers.Worker(('-m', module)))
        worker.ask('begin', **arguments)
        trained.add(worker.ask('trained').value)
        started[f'{side} {name}'] = worker
    if len(trained) > 1:
      raise RuntimeError(f'the sides train {sorted(trained)} parameters')
    answers = workers.in_turns(
        started, turns, dict.fromkeys(started, call),
        awaken=call if awaken else None)
    return {name: {
        **{time: sides_lib.column([getattr(answer, time) for answer in some])
           for time in TIMES},
        **started[name].ask('about').value} for name, some in answers.items()}


def ratios(found: Found) -> dict[str, dict[str, float]]:
  """Returns {time: {statistic: best of the peer / best of ours}}."""

  def best(side, time, statistic):
    return min(row[time][statistic] for name, row in found.items()
               if name.startswith(side))

  return {time: {
      statistic: best('peer', time, statistic) / best('ours', time, statistic)
      for statistic in ('min', 'median')} for time in TIMES}


def report(found: Found) -> str:
  """Returns the times and ratios as lines of text."""
  kinds = dict(zip(TIMES, ('wall', 'processor'), strict=True))
  lines = [f'{name}: ' + '; '.join(
      f'{row[time]["min"]:.2f} s ({row[time]["median"]:.2f}) of {kind}'
      for time, kind in kinds.items()) for name, row in found.items()]
  compared = ratios(found)
  lines += [f'{kind} time of the best setting, peer / ours: '
            f'{compared[time]["min"]:.2f} of minima, '
            f'{compared[time]["median"]:.2f} of medians'
            for time, kind in kinds.items()]
  return '\n'.join(lines)
