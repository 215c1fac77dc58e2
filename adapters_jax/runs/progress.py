"""Progress of a training: a bar on a terminal, lines elsewhere."""

import collections
from collections.abc import Callable, Iterator
import contextlib
import logging
import math
import sys
import time

import tqdm

from adapters_jax.runs import console
from adapters_jax.runs import setup as setup_lib

_log = logging.getLogger(__name__)

_LINES = 30.0  # Seconds between lines where there is no terminal.
_FIRST = 10.0  # Seconds before the first forecast.
_FEWEST = 5  # Timed steps before the first forecast, none of which compiled.


def plan_line(setup: setup_lib.Setup, runs: int = 1) -> str:
  """Returns one line on the work ahead: examples, steps, tokens.

  Args:
    setup: Setup of the run, or of a group.
    runs: Number of runs in the group.
  """
  # Long sentences and paragraphs become several rows, called windows.
  given = {name: setup.data[name]['examples'] for name in setup.splits}
  cut = any(len(setup.splits[name]) != count for name, count in given.items())
  splits = ', '.join(
      f'{name} {count:,}'
      + (f' in {len(setup.splits[name]):,} windows' if cut else '')
      for name, count in given.items())
  schedule = setup.schedule
  some = min(setup.steps, schedule.steps_per_epoch)
  padded, real = (count * setup.steps // some
                  for count in schedule.tokens(0, some))
  epochs = setup.steps / schedule.steps_per_epoch
  return (
      f'examples: {splits}; {setup.steps:,} steps of {schedule.batch_size} '
      f'{"windows" if cut else "examples"} '
      f'({epochs:.3g} epoch{"s" * (epochs != 1)}'
      f'{f" of {runs} runs" if runs > 1 else ""}), about {real:,} tokens '
      f'({padded:,} with padding); evaluated every {setup.eval_every:,} steps')


def duration(seconds: float) -> str:
  """Returns '40 s', '12 min' or '3.5 h'."""
  if seconds < 90:
    return f'{seconds:.0f} s'
  if seconds < 90 * 60:
    return f'{seconds / 60:.0f} min'
  return f'{seconds / 3600:.1f} h'


class Meter:
  """Progress of a training, shown if `console.show` was called."""

  def __init__(
      self, steps: int, done: int, batch_size: int, eval_every: int,
      evaluated: int = 0):
    """Starts the clock.

    Args:
      steps: Steps of the whole training.
      done: Steps taken before.
      batch_size: Examples a step, over all runs.
      eval_every: Steps between evaluations; the last step is evaluated too.
      evaluated: Steps taken at the last evaluation.
    """
    self._steps, self._done, self._size = steps, done, batch_size
    self._eval_every, self._evaluated = eval_every, evaluated
    self._evaluations: list[float] = []  # Seconds of each.
    shown = console.is_shown()
    terminal = shown and console.is_terminal(sys.stderr)
    self._lines = shown and not console.is_terminal(sys.stdout)
    self._bar = tqdm.tqdm(
        total=steps, initial=done, unit='step', leave=False,
        disable=not terminal, dynamic_ncols=True)
    self._forecast = not shown  # Whether it was made.
    self._start = self._before = self._line = time.monotonic()
    # Seconds of the last steps.
    self._recent: collections.deque[float] = collections.deque(maxlen=100)

  def _usual(self) -> list[float]:
    """Returns the seconds of recent steps without evaluations."""
    if not self._recent:
      return []
    middle = sorted(self._recent)[len(self._recent) // 2]
    return [seconds for seconds in self._recent if seconds <= 5 * middle]

  @contextlib.contextmanager
  def evaluation(self, step: int) -> Iterator[None]:
    """Times an evaluation.

    Args:
      step: Steps taken.
    """
    start = time.monotonic()
    yield
    self._before = time.monotonic()
    self._evaluations.append(self._before - start)
    self._evaluated = step

  def _left(self, seconds: float) -> tuple[float, int]:
    """Returns (seconds left, evaluations left that are a part of them).

    Args:
      seconds: Seconds of a step.
    """
    steps = (self._steps - self._done) * seconds
    if not self._evaluations:
      return steps, 0
    # The last step is evaluated, whether or not `eval_every` divides it.
    count = (-(-self._steps // self._eval_every)
             - self._evaluated // self._eval_every)
    # The first one compiles.
    timed = self._evaluations[1:] or self._evaluations
    return steps + count * sum(timed) / len(timed), count

  def update(
      self, loss: float, rate: Callable[[], float], is_new: bool = False
  ) -> None:
    """Counts a step.

    Args:
      loss: Loss of the step.
      rate: Returns its learning rate; called if that is shown.
      is_new: Whether this step, or the next one, already dispatched, is the
        first of its shape: it compiles or loads a program.
    """
    now = time.monotonic()
    if not is_new:
      self._recent.append(now - self._before)
    self._before = now
    self._done += 1
    usual = self._usual()
    # inf until a step without compilation gives a speed.
    seconds = sum(usual) / len(usual) if usual else math.inf
    if not self._bar.disable:
      self._bar.set_postfix_str(
          f'loss {loss:.3f}, rate {rate():.2e}, '
          f'{self._size / max(seconds, 1e-9):.0f} examples/s', refresh=False)
      self._bar.update()
    if (not self._forecast and len(usual) >= _FEWEST
        and now - self._start >= _FIRST):
      self._forecast, self._line = True, now
      if steps := self._steps - self._done:
        left, evaluations = self._left(seconds)
        _log.info(
            'about %s for the other %d steps%s compiling', duration(left),
            steps, f' and {evaluations} evaluations, without' if evaluations
            else ', without evaluations and')
    elif self._lines and self._forecast and now - self._line >= _LINES:
      self._line = now
      left, evaluations = self._left(seconds)
      _log.info(
          'step %d of %d: loss %.3f, rate %.2e, %.0f examples/s, '
          'about %s left%s', self._done, self._steps, loss, rate(),
          self._size / max(seconds, 1e-9), duration(left),
          '' if evaluations else ', without evaluations')

  def close(self) -> None:
    """Removes the bar."""
    self._bar.close()
