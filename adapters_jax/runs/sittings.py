"""Places (commit, machine) where a run trained.

A state may continue at another commit or on another machine. The record of the
run describes the last place, and notes describe the others.
"""

import functools
import itertools
from typing import Any

import jaxlib

from adapters_jax.runs import log as log_lib
from adapters_jax.runs import machine
from adapters_jax.runs import records


@functools.cache
def commit() -> str:
  """Returns the commit of the code, as it was at the first call.

  Runs call it when they start: the checkout may change while they train.
  """
  return records.commit_of(__file__)


def here() -> dict[str, Any]:
  """Returns the commit, jaxlib's version and the facts of the machine."""
  return {'commit': commit(), 'jaxlib': jaxlib.__version__,
          **machine.describe()}


def add(log: log_lib.Log, step: int) -> None:
  """Notes that the runs in training continue here.

  Args:
    log: Log of the runs.
    step: Steps taken.
  """
  place = here()
  for _, run in log.training():
    if step and not run.sittings:  # Of an earlier version.
      run.sittings.append({'step': 0, 'place': {}})
    if not run.sittings or run.sittings[-1]['place'] != place:
      run.sittings.append({'step': step, 'place': place})


def notes(run: log_lib.RunLog) -> list[str]:
  """Returns a sentence for each place that is not the last one.

  Args:
    run: Log of a run that has ended.
  """
  return [
      f'steps {one["step"] + 1:,} to {later["step"]:,} were computed '
      f'{_difference(one["place"], run.sittings[-1]["place"])}'
      for one, later in itertools.pairwise(run.sittings)
      # A place that saved no state has no steps.
      if one['step'] < later['step']
      and one['place'] != run.sittings[-1]['place']]


def _difference(place: dict[str, Any], last: dict[str, Any]) -> str:
  """Returns the facts of a place that are not those of the last one."""
  if not place:
    return 'by an earlier version, which did not note the commit'
  return 'with ' + ', '.join(
      f'{name} {place.get(name) or "none"} instead of '
      f'{last.get(name) or "none"}'
      for name in {**place, **last} if place.get(name) != last.get(name))
