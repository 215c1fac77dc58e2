"""Going through many runs: the finished, the time of the others. No JAX here.

The pieces are apart so that a caller may make the runs in its own way:
`grid.expand` lists them, `finished` finds the done, `estimate` foretells the
time of the others, `run_all` goes through them one by one.
"""

from collections.abc import Callable, Iterable, Sequence
import dataclasses
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import grid

# Settings that change what is learnt but hardly the time of a step.
_FREE = ('seed', 'learning_rate', 'epochs', 'max_steps', 'warmup', 'optimizer',
         'weight_decay', 'clip_norm', 'init_scale', 'dropout', 'adapter_size')

Cost = tuple[float, float]  # (seconds a step, steps an epoch)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What came of many runs.

  Attributes:
    records: Of the finished ones, in the order of the runs.
    folders: The workdir of each.
    failures: (description, message) of those that could not be finished.
  """
  records: tuple[records_lib.Record, ...] = ()
  folders: tuple[str, ...] = ()
  failures: tuple[tuple[str, str], ...] = ()

  def __add__(self, other: 'Outcome') -> 'Outcome':
    return Outcome(self.records + other.records, self.folders + other.folders,
                   self.failures + other.failures)


def record_path(
    folder: str, experiment: str, config: config_lib.Config
) -> str:
  """Returns where the record of a run is in a folder of records."""
  return os.path.join(
      folder, experiment, config.task_name, f'{grid.name_of(config)}.json')


def finished(
    config: config_lib.Config, experiment: str, folder: str = ''
) -> records_lib.Record | None:
  """Returns a run's record from its workdir or a folder of records."""
  workdir = workdirs.path_of(config, experiment)
  paths = [os.path.join(workdir, records_lib.RECORD)]
  if folder:
    paths.append(record_path(folder, experiment, config))
  for path in paths:
    if os.path.exists(path):
      record = records_lib.read(path)
      if config_lib.completed(record.config) == config_lib.portable(config):
        return record
  return None


def cost_key(values: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
  """Returns the settings that decide the time of a step."""
  return tuple(sorted(
      (k, v) for k, v in config_lib.completed(values).items()
      if k not in _FREE))


def cost(
    config: config_lib.Config, records: Iterable[records_lib.Record]
) -> Cost | None:
  """Returns (seconds a step, steps an epoch), as finished runs alike had."""
  key = cost_key(config_lib.portable(config))
  alike = [r for r in records if r.steps and cost_key(r.config) == key
           and not r.config['max_steps']]
  if not alike:
    return None
  return (sum(r.seconds / r.steps for r in alike) / len(alike),
          sum(r.steps / r.config['epochs'] for r in alike) / len(alike))


def estimate(
    configs: Sequence[config_lib.Config], records: Iterable[records_lib.Record],
    measure: Callable[[config_lib.Config], Cost],
) -> float:
  """Returns the hours that runs will take, one after the other.

  Args:
    configs: The runs.
    records: Finished runs of this machine, to go by.
    measure: Asked once for each kind of run that no record tells of.
  """
  records, known, seconds = list(records), {}, 0.0
  for config in configs:
    key = cost_key(config_lib.portable(config))
    if key not in known:
      known[key] = cost(config, records) or measure(config)
    a_step, an_epoch = known[key]
    seconds += a_step * (config.max_steps or config.epochs * an_epoch)
  return seconds / 3600


def run_all(
    configs: Sequence[config_lib.Config], experiment: str, folder: str,
    run: Callable[[config_lib.Config, str], records_lib.Record],
    say: Callable[[str], None] = print,
) -> Outcome:
  """Runs what is not finished, resumes what was begun, keeps the records.

  A run that a UserError ends (a rate too high, a folder in use) does not end
  the others.

  Args:
    configs: The runs.
    experiment: The name that their folders and records carry.
    folder: Of records; '' keeps them in the workdirs alone.
    run: Of one run: `run.run`.
    say: Told what is done.
  """
  outcome = Outcome()
  for number, config in enumerate(configs, 1):
    name = grid.describe(config, configs)
    text = f'run {number} of {len(configs)}: {name}'
    record = finished(config, experiment, folder)
    if record is None:
      say(text)
      try:
        record = run(dataclasses.replace(config, resume=True), experiment)
      except errors.UserError as error:
        say(f'failed: {error}')
        outcome += Outcome(failures=((name, str(error)),))
        continue
    else:
      say(f'{text}: finished before')
    if folder:
      records_lib.write(record_path(folder, experiment, config), record)
    outcome += Outcome((record,), (workdirs.path_of(config, experiment),))
  return outcome


def go(
    configs: Sequence[config_lib.Config], experiment: str, many: grid.Options,
    run: Callable[[config_lib.Config, str], records_lib.Record],
    measure: Callable[[config_lib.Config], Cost],
    say: Callable[[str], None] = print,
) -> Outcome:
  """Makes all the runs that the flags describe; a single one as it stands.

  Args:
    configs: One for each task.
    experiment: The name that folders and records carry.
    many: What to cross each of them with.
    run: Of one run: `run.run`.
    measure: Of one run: `timing.measure`.
    say: Told what is done.

  Raises:
    options.UserError: the flags are wrong, or the only run failed.
  """
  names = grid.parse_pick(many.pick, many.grid)
  runs = grid.expand_all(configs, many)
  if len(runs) == 1:
    record = run(runs[0], experiment)
    if many.records:
      records_lib.write(record_path(many.records, experiment, runs[0]), record)
    return Outcome((record,), (workdirs.path_of(runs[0], experiment),))
  root = configs[0].workdir
  seeds = grid.parse_seeds(many.seeds) if many.seeds else (configs[0].seed,)
  later = []
  if names:
    runs = [run for run in runs if run.seed == seeds[0]]
    later = grid.placed(
        _later_seeds(runs, names, seeds[1:], experiment, many.records), root)
  _foretell(runs, later, experiment, many.records, measure, say)
  outcome = run_all(runs, experiment, many.records, run, say)
  if not later:
    return outcome
  best = grid.pick_best(runs, outcome.records, names)
  best = grid.placed([dataclasses.replace(config, seed=seed)
                      for config in best for seed in seeds[1:]], root)
  return outcome + run_all(best, experiment, many.records, run, say)


def _later_seeds(runs, names, seeds, experiment, folder):
  """Returns the runs of later seeds as far as they are known.

  Of a group whose runs have all finished it is the best that will be run, of
  the others one will stand for it.
  """
  groups, later = {}, []
  for run in runs:
    groups.setdefault(grid.unpicked(run, names), []).append(run)
  for members in groups.values():
    records = [finished(run, experiment, folder) for run in members]
    best = members[:1] if None in records else grid.pick_best(
        members, records, names)
    later += [dataclasses.replace(best[0], seed=seed) for seed in seeds]
  return later


def _foretell(runs, later, experiment, folder, measure, say) -> None:
  """Says how many runs there are and how long the unfinished will take."""
  runs = runs + later
  todo = [run for run in runs if finished(run, experiment, folder) is None]
  say(f'{len(runs)} runs, {len(runs) - len(todo)} of them finished')
  if todo:
    folders = {os.path.dirname(workdirs.path_of(run, experiment))
               for run in runs}
    mine = [record for path in sorted(folders)
            for record in records_lib.read_all(path)]
    hours = estimate(todo, mine, measure)
    say(f'about {hours:.2f} hours for the other {len(todo)}, without '
        'compiling')
