"""A sweep: a grid of runs in units, through a launcher. No JAX here.

The grid is that of `grid`, the records are those of `campaign`; what a sweep
adds is that runs train in groups where that is faster (`units`, `groups`), and
on many machines (`cluster`).
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import math
import os
import re
import time
from typing import Any

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.options import option
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import campaign
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import units

LAUNCHERS = ('local', 'ray')
SIZES = (1, 2, 4, 8)  # What --group=auto tries.

# launch(function, calls) -> (number of the call, what it returned or the
# message of its failure), in the order in which they finish.
Launch = Callable[
    [Callable[..., Any], Sequence[tuple[Any, ...]]], Iterator[tuple[int, Any]]]


@dataclasses.dataclass(frozen=True)
class Options:
  """How a sweep runs; every field is a flag."""
  launcher: str = option(
      'local', "'local': here, one unit after the other; 'ray': on a cluster.")
  group: str = option(
      'auto', 'Runs of equal shapes that train as one program: a number, or '
      "'auto' to measure 1, 2, 4 and 8 and take the fastest.")
  address: str = option(
      '', "Of an existing Ray cluster, 'auto' or host:port; a local one is "
      'started when empty.')
  workers: int = option(
      0, 'Units at a time on Ray; 0 for one a GPU, or one a machine.')
  cpus_per_worker: int = option(
      0, "Cores of a Ray worker; 0 for an equal share of its machine's.")
  gpus_per_worker: int = option(
      -1, 'GPUs of a Ray worker; -1 for 1 if the cluster has any, else 0.')
  retries: int = option(
      3, 'How often a unit is started again when its Ray worker dies.')


def check(how: Options, many: grid.Options) -> None:
  """Raises UserError, naming the flag, for a wrong one."""
  if how.launcher not in LAUNCHERS:
    raise errors.unknown('--launcher', how.launcher, LAUNCHERS)
  if how.group != 'auto' and not (how.group.isdecimal() and int(how.group)):
    raise errors.UserError(f"--group={how.group}: give 'auto' or 1 or more")
  for name, least in (('workers', 0), ('cpus_per_worker', 0),
                      ('gpus_per_worker', -1), ('retries', 0)):
    if getattr(how, name) < least:
      raise errors.UserError(
          f'--{name}={getattr(how, name)}: give {least} or more')
  if how.launcher == 'local':
    for name in ('address', 'workers', 'cpus_per_worker', 'gpus_per_worker'):
      if getattr(how, name) != getattr(Options(), name):
        raise errors.UserError(f'--{name} goes with --launcher=ray')
  if how.address and not re.fullmatch(r'auto|[^/]+:\d+', how.address):
    raise errors.UserError(
        f"--address={how.address}: give 'auto' or host:port")
  if many.pick:
    raise errors.UserError(
        '--pick: a sweep runs the whole grid at once; leave it out, or pick '
        'with experiments.glue')


def placed(
    config: config_lib.Config, experiment: str
) -> config_lib.Config:
  """Returns the run with absolute paths, which hold in another process too."""
  changed = {'workdir': workdirs.path_of(config, experiment), 'resume': True}
  for name in ('train_file', 'dev_file', 'test_file', 'data_dir'):
    if getattr(config, name):
      changed[name] = os.path.abspath(
          os.path.expanduser(getattr(config, name)))
  if os.path.isdir(config.checkpoint):
    changed['checkpoint'] = os.path.abspath(config.checkpoint)
  return dataclasses.replace(config, **changed)


def expand(
    configs: Sequence[config_lib.Config], experiment: str, many: grid.Options
) -> list[config_lib.Config]:
  """Returns the runs of a sweep, each with a folder of its own."""
  if any(config.coordinator for config in configs):
    raise errors.UserError(
        '--coordinator: a unit of a sweep is one process; leave it out, or '
        'run the grid with experiments.glue')
  runs = grid.expand_all(configs, many)
  return [placed(run, experiment)
          for run in grid.placed(runs, configs[0].workdir)]


def in_turns(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
  """Launches here: one call after the other."""
  for number, arguments in enumerate(calls):
    yield number, function(*arguments)


@contextlib.contextmanager
def launcher(how: Options) -> Iterator[tuple[Launch, int]]:
  """Yields (launch, how many units run at a time)."""
  if how.launcher == 'local':
    yield in_turns, 1
    return
  from adapters_jax.sweeps import ray_launcher
  with ray_launcher.started(how) as started:
    yield started


class Progress:
  """Says what is done, and foretells the rest by what it took."""

  def __init__(self, todo: int, say: Callable[[str], None]):
    self._todo, self._say = todo, say
    self._done, self._start = 0, time.monotonic()
    self._best = {}  # By task.

  def add(self, name: str, found: records_lib.Record | str) -> None:
    """Counts a run that has finished or failed."""
    self._done += 1
    if isinstance(found, str):
      text = f'failed: {found}'
    else:
      score = 100 * records_lib.primary(found)
      task = config_lib.task_of(found.config)
      best = self._best[task] = max(score, self._best.get(task, score))
      text = f'dev {score:.2f} (best so far {best:.2f})'
    left = self._todo - self._done
    passed = time.monotonic() - self._start
    rest = (f'; about {passed / self._done * left / 60:.1f} min for the other '
            f'{left}' if left else '')
    self._say(f'{self._done} of {self._todo} runs: {name}: {text}{rest}')


def _make_size_of(
    how: Options, launch: Launch, at_a_time: int, todo: int, kind: Any,
    say: Callable[[str], None],
) -> Callable[[Sequence[config_lib.Config]], int]:
  """Returns size_of(runs): how many of them to train as one program."""
  if how.group != 'auto':
    return lambda runs: int(how.group)
  from adapters_jax.sweeps import forecast
  known = {}

  def size_of(runs):
    # No larger than leaves every worker something to do.
    most = min(len(runs), math.ceil(todo / at_a_time))
    sizes = [size for size in SIZES if size <= most]
    if len(sizes) == 1:
      return 1
    key = campaign.cost_key(config_lib.portable(runs[0])), sizes[-1]
    if key not in known:
      _, found = next(launch(
          forecast.measure_groups, [(runs[:most], kind, sizes)]))
      if isinstance(found, str):
        raise errors.UserError(
            f'--group=auto: the sizes could not be measured ({found})')
      known[key] = min(found, key=found.get)
      times = ', '.join(f'{size}: {1000 * seconds:.0f} ms'
                        for size, seconds in found.items())
      say(f'a step takes each run, by the size of its group: {times}; groups '
          f'of {known[key]}')
    return known[key]

  return size_of


def go(
    runs: Sequence[config_lib.Config], experiment: str, folder: str,
    how: Options, kind: Any, say: Callable[[str], None] = print,
) -> campaign.Outcome:
  """Makes the runs that are not finished, and keeps the records of all.

  Args:
    runs: Of `expand`.
    experiment: The name that folders and records carry.
    folder: Of records; '' keeps them in the workdirs alone.
    how: The flags.
    kind: The run.Kind of the experiment.
    say: Told what is done.

  Returns:
    The records in the order of the runs, and what failed.
  """
  found = {}
  for run in runs:
    record = campaign.finished(run, experiment, folder)
    if record is not None:
      found[grid.name_of(run)] = record
  todo = [run for run in runs if grid.name_of(run) not in found]
  say(f'{len(runs)} runs, {len(found)} of them finished')
  if todo:
    found.update(_make(runs, todo, experiment, how, kind, say))
  records, folders, failures = [], [], []
  for run in runs:
    result = found[grid.name_of(run)]
    if isinstance(result, str):
      failures.append((grid.describe(run, runs), result))
      continue
    records.append(result)
    folders.append(run.workdir)
    if folder:
      records_lib.write(campaign.record_path(folder, experiment, run), result)
  return campaign.Outcome(tuple(records), tuple(folders), tuple(failures))


def _make(runs, todo, experiment, how, kind, say):
  """Yields (name of the run, record or message) of each unfinished run."""
  from adapters_jax import groups  # Slow to import: after what may be wrong.
  names = {grid.name_of(run) for run in todo}
  with launcher(how) as (launch, at_a_time):
    made = units.plan(runs, todo, experiment, _make_size_of(
        how, launch, at_a_time, len(todo), kind, say))
    say(f'{len(made)} units for {len(todo)} runs, {at_a_time} at a time')
    progress = Progress(len(todo), say)
    for number, answers in launch(
        groups.run_unit, [(unit, experiment, kind) for unit in made]):
      unit = made[number]
      if isinstance(answers, str):
        answers = [answers] * len(unit)
      for config, answer in zip(unit, answers, strict=True):
        if grid.name_of(config) in names:
          progress.add(grid.describe(config, runs), answer)
          yield grid.name_of(config), answer
