"""Sides of the comparison: settings of both libraries, and ratios of times."""

from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import statistics
from typing import Any

from scripts.benchmark import workers

OURS, PEER = ('-m', 'scripts.benchmark.ours'), ('-m', 'scripts.benchmark.peer')
# {side: (command, precision)}. Both libraries in float32, and with the products
# of bfloat16 operands that they offer: torch by autocast.
SIDES = {
    'ours': (OURS, 'float32'),
    'ours_bfloat16': (OURS, 'bfloat16_products'),
    'peer': (PEER, 'float32'),
    'peer_bfloat16': (PEER, 'bfloat16'),
}


def is_ours(side: str) -> bool:
  """Returns whether a side is of this project."""
  return side.startswith('ours')


def begun(side: str, **arguments: Any) -> workers.Worker:
  """Returns a side that has loaded data and model.

  Args:
    side: Key of SIDES.
    **arguments: Further arguments of the side's `begin`.
  """
  command, precision = SIDES[side]
  worker = workers.Worker(command)
  worker.ask('begin', precision=precision, **arguments)
  return worker


@contextlib.contextmanager
def all_begun(**arguments: Any):
  """Yields {side: worker} of all sides; see `begun`."""
  with contextlib.ExitStack() as stack:
    yield {side: stack.enter_context(begun(side, **arguments))
           for side in SIDES}


def column(values: Sequence[float]) -> dict[str, float]:
  """Returns the minimum and the median."""
  return {'min': min(values), 'median': statistics.median(values)}


def compare(answers: Mapping[str, list[workers.Answer]]) -> dict[str, Any]:
  """Returns the times of each side, and ratios to the peer at its best.

  Args:
    answers: {side: an answer for each turn}. Names of this project's sides
      begin with 'ours'.

  Returns:
    {'sides': {side: minima and medians in seconds}, 'best_peer': side of the
    smallest minimum, 'ratios': {side of ours: peer / ours, 'of_minima' and by
    turn 'median' and 'min'}, 'turns', 'idle_cpu_seconds'}
  """
  found = {
      side: {name: column([getattr(answer, name) for answer in some])
             for name in ('seconds', 'cpu_seconds')}
      for side, some in answers.items()}
  best = min((side for side in answers if not is_ours(side)),
             key=lambda side: found[side]['seconds']['min'])
  ratios = {}
  for side in filter(is_ours, answers):
    # By turn, in which all sides saw the same load of the machine.
    turns = [p.seconds / o.seconds for o, p in zip(
        answers[side], answers[best], strict=True)]
    ratios[side] = {
        'of_minima': found[best]['seconds']['min']
                     / found[side]['seconds']['min'], 'min': min(turns),
        'median': statistics.median(turns)}
  return {
      'sides': found, 'best_peer': best, 'ratios': ratios,
      'turns': len(answers[best]),
      'idle_cpu_seconds': max(
          a.idle_cpu_seconds for some in answers.values() for a in some)}


def per_step(
    answers: Mapping[str, list[workers.Answer]], steps: int
) -> dict[str, list[workers.Answer]]:
  """Returns answers with the times of one step.

  Args:
    answers: {side: answers}.
    steps: Steps of each answer.
  """
  return {side: [dataclasses.replace(
      a, seconds=a.seconds / steps, cpu_seconds=a.cpu_seconds / steps)
                 for a in some] for side, some in answers.items()}
