"""Many runs: what they are, which are done, how long they take. No JAX here.

The pieces are apart so that a caller may run the unfinished ones in its own
way: `expand` lists the runs, `finished` finds the done, `cost` foretells the
time of the others, `run_all` goes through them one by one.
"""

from collections.abc import Callable, Iterable, Sequence
import dataclasses
import itertools
import os
from typing import Any

from adapters_jax import config as config_lib
from adapters_jax import options
from adapters_jax import results
from adapters_jax import workdirs
from adapters_jax.options import option

# Grids of the paper, by name: sections 3.2, 3.3 and 3.5.
GRIDS = {
    'paper': ('learning_rate=3e-5,3e-4,3e-3 epochs=3,20 adapter_size=8,64,256'),
    'paper_additional': (
        'tune=adapters learning_rate=1e-5,3e-5,1e-4,3e-3 epochs=20,50,100 '
        'adapter_size=2,4,8,16,32,64; '
        'tune=full learning_rate=1e-5,3e-5,1e-4,3e-3 epochs=20,50,100; '
        'tune=top_k learning_rate=1e-5,3e-5,1e-4,3e-3 epochs=20,50,100 '
        'top_k=1,2,3,5,7,9,11,12'),
    'paper_squad': (
        'tune=adapters learning_rate=3e-5,1e-4,3e-4,1e-3 epochs=3,10,20 '
        'adapter_size=2,64; tune=full learning_rate=3e-5,5e-5,1e-4 '
        'epochs=2,3,5'),
}

# Settings that change what is learnt but hardly the time of a step.
_FREE = ('seed', 'learning_rate', 'epochs', 'max_steps', 'warmup', 'optimizer',
         'weight_decay', 'clip_norm', 'init_scale', 'dropout', 'adapter_size')

Cost = tuple[float, float]  # (seconds a step, steps an epoch)


@dataclasses.dataclass(frozen=True)
class Options:
  """Which runs to make out of one description; every field is a flag."""
  preset: str = option(
      '', "Settings to start from, 'paper' or 'adapter_bert'; flags given "
      'beside it win.')
  seeds: str = option('', "Seeds, like '0-4' or '0,3'; --seed when empty.")
  grid: str = option(
      '', "Settings to cross, like 'adapter_size=8,64 learning_rate=1e-4,3e-4'; "
      "'|' separates values with commas, ';' several grids; or "
      f'{", ".join(GRIDS)}.')
  pick: str = option(
      '', "Flags of the grid, like 'learning_rate', whose value is picked on "
      'dev with the first seed; other seeds then run with it alone.')
  records: str = option(
      '', 'Folder of records: finished runs are looked up and put there.')


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What came of many runs.

  Attributes:
    records: Of the finished ones, in the order of the runs.
    folders: The workdir of each.
    failures: (description, message) of those that could not be finished.
  """
  records: tuple[results.Record, ...] = ()
  folders: tuple[str, ...] = ()
  failures: tuple[tuple[str, str], ...] = ()

  def __add__(self, other: 'Outcome') -> 'Outcome':
    return Outcome(self.records + other.records, self.folders + other.folders,
                   self.failures + other.failures)


def parse_seeds(text: str) -> tuple[int, ...]:
  """Returns the numbers of '0-4,7', in order; UserError if not of that form."""
  seeds = set()
  for part in text.split(','):
    first, dash, last = part.strip().partition('-')
    if not first.isdecimal() or (dash and not last.isdecimal()) or (
        dash and int(last) < int(first)):
      raise options.UserError(
          f"--seeds: {text!r} is not of the form '0-4' or '0,3'")
    seeds.update(range(int(first), int(last if dash else first) + 1))
  return tuple(sorted(seeds))


def _parse_value(name: str, kind: type, text: str) -> Any:
  try:
    if kind is bool:
      return {'true': True, 'false': False}[text.lower()]
    return kind(text)
  except (KeyError, ValueError) as error:
    raise options.UserError(
        f'--grid: {name}={text} is not a {kind.__name__}') from error


def parse_grid(text: str) -> list[dict[str, Any]]:
  """Returns the points of a grid: {field of Config: value} each.

  Args:
    text: As the flag `--grid`; '' has one point without settings.

  Raises:
    options.UserError: an unknown setting or a value of another type.
  """
  kinds = {f.name: f.type for f in dataclasses.fields(config_lib.Config)
           if f.name not in config_lib.PATHS}
  points = []
  for one in GRIDS.get(text.strip(), text).split(';'):
    axes = []
    for axis in one.split():
      name, equals, values = axis.removeprefix('--').partition('=')
      if name not in kinds:
        raise options.unknown('--grid', name, kinds)
      if not equals or not values:
        raise options.UserError(
            f'--grid: {axis!r} is not of the form name=value,value')
      split = values.split('|' if '|' in values else ',')
      axes.append([(name, _parse_value(name, kinds[name], v)) for v in split])
    points += [dict(point) for point in itertools.product(*axes)]
  return points


def expand(
    config: config_lib.Config, grid: str = '', seeds: str = ''
) -> list[config_lib.Config]:
  """Returns the runs of a grid and seeds around the settings, each once."""
  numbers = parse_seeds(seeds) if seeds else (config.seed,)
  runs = [
      dataclasses.replace(config, **{'seed': seed, **point})
      for point in parse_grid(grid) for seed in numbers]
  return list(dict.fromkeys(runs))


def expand_all(
    configs: Iterable[config_lib.Config], many: Options
) -> list[config_lib.Config]:
  """Returns the runs of several settings, each with a folder of its own."""
  configs = list(configs)
  runs = [run for config in configs
          for run in expand(config, many.grid, many.seeds)]
  return placed(runs, configs[0].workdir) if len(runs) > 1 else runs


def placed(
    configs: Iterable[config_lib.Config], root: str
) -> list[config_lib.Config]:
  """Returns the runs with a folder each below `root`, their own if ''."""
  return [dataclasses.replace(config, workdir=root and os.path.join(
      root, config.task_name, name_of(config))) for config in configs]


def name_of(config: config_lib.Config) -> str:
  """Returns the hash that names a run."""
  return config_lib.digest(config_lib.portable(config))


def record_path(
    folder: str, experiment: str, config: config_lib.Config
) -> str:
  """Returns where the record of a run is in a folder of records."""
  return os.path.join(
      folder, experiment, config.task_name, f'{name_of(config)}.json')


def finished(
    config: config_lib.Config, experiment: str, folder: str = ''
) -> results.Record | None:
  """Returns a run's record from its workdir or a folder of records."""
  workdir = workdirs.path_of(config, experiment)
  paths = [os.path.join(workdir, results.RECORD)]
  if folder:
    paths.append(record_path(folder, experiment, config))
  for path in paths:
    if os.path.exists(path):
      record = results.read(path)
      if config_lib.completed(record.config) == config_lib.portable(config):
        return record
  return None


def _cost_key(values: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
  """Returns the settings that decide the time of a step."""
  return tuple(sorted(
      (k, v) for k, v in config_lib.completed(values).items()
      if k not in _FREE))


def cost(
    config: config_lib.Config, records: Iterable[results.Record]
) -> Cost | None:
  """Returns (seconds a step, steps an epoch), as finished runs alike had."""
  key = _cost_key(config_lib.portable(config))
  alike = [r for r in records if r.steps and _cost_key(r.config) == key
           and not r.config['max_steps']]
  if not alike:
    return None
  return (sum(r.seconds / r.steps for r in alike) / len(alike),
          sum(r.steps / r.config['epochs'] for r in alike) / len(alike))


def estimate(
    configs: Sequence[config_lib.Config], records: Iterable[results.Record],
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
    key = _cost_key(config_lib.portable(config))
    if key not in known:
      known[key] = cost(config, records) or measure(config)
    a_step, an_epoch = known[key]
    seconds += a_step * (config.max_steps or config.epochs * an_epoch)
  return seconds / 3600


def describe(
    config: config_lib.Config, among: Iterable[config_lib.Config]
) -> str:
  """Returns the task of a run and its settings that vary among some runs."""
  among = list(among)
  names = [
      f.name for f in dataclasses.fields(config)
      if f.name not in (*config_lib.PATHS, 'task', 'train_file', 'dev_file',
                        'test_file')
      and len({getattr(other, f.name) for other in among}) > 1]
  return ' '.join([config.task_name,
                   *(f'--{name}={getattr(config, name)}' for name in names)])


def run_all(
    configs: Sequence[config_lib.Config], experiment: str, folder: str,
    run: Callable[[config_lib.Config, str], results.Record],
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
    name = describe(config, configs)
    text = f'run {number} of {len(configs)}: {name}'
    record = finished(config, experiment, folder)
    if record is None:
      say(text)
      try:
        record = run(dataclasses.replace(config, resume=True), experiment)
      except options.UserError as error:
        say(f'failed: {error}')
        outcome += Outcome(failures=((name, str(error)),))
        continue
    else:
      say(f'{text}: finished before')
    if folder:
      results.write(record_path(folder, experiment, config), record)
    outcome += Outcome((record,), (workdirs.path_of(config, experiment),))
  return outcome


def _unpicked(config: config_lib.Config, pick: Sequence[str]) -> tuple[Any, ...]:
  return tuple(
      getattr(config, f.name) for f in dataclasses.fields(config)
      if f.name not in (*pick, 'seed', *config_lib.PATHS))


def parse_pick(text: str, grid: str) -> tuple[str, ...]:
  """Returns the names of `--pick`, which the grid must have."""
  names = tuple(name.strip() for name in text.split(',') if name.strip())
  crossed = {name for point in parse_grid(grid) for name in point}
  for name in names:
    if name not in crossed:
      raise options.UserError(f'--pick: {name} is not in --grid={grid!r}')
  return names


def pick_best(
    configs: Sequence[config_lib.Config], records: Sequence[results.Record],
    pick: Sequence[str],
) -> list[config_lib.Config]:
  """Returns of each group, equal but for `pick`, the run best on dev."""
  by_name = {config_lib.digest(r.config): r for r in records}
  best = {}
  for config in configs:
    record = by_name.get(name_of(config))
    if record is None:
      continue
    group = _unpicked(config, pick)
    if group not in best or (
        results.primary(record) > results.primary(best[group][1])):
      best[group] = config, record
  return [config for config, _ in best.values()]


def go(
    configs: Sequence[config_lib.Config], experiment: str, many: Options,
    run: Callable[[config_lib.Config, str], results.Record],
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
  names = parse_pick(many.pick, many.grid)
  runs = expand_all(configs, many)
  if len(runs) == 1:
    record = run(runs[0], experiment)
    if many.records:
      results.write(record_path(many.records, experiment, runs[0]), record)
    return Outcome((record,), (workdirs.path_of(runs[0], experiment),))
  root = configs[0].workdir
  seeds = parse_seeds(many.seeds) if many.seeds else (configs[0].seed,)
  later = []
  if names:
    runs = [run for run in runs if run.seed == seeds[0]]
    groups = {_unpicked(run, names): run for run in runs}.values()
    later = [dataclasses.replace(run, seed=s)
             for run in groups for s in seeds[1:]]
  later = placed(later, root)
  _foretell(runs, later, experiment, many.records, measure, say)
  outcome = run_all(runs, experiment, many.records, run, say)
  if not later:
    return outcome
  best = placed([dataclasses.replace(config, seed=seed)
                 for config in pick_best(runs, outcome.records, names)
                 for seed in seeds[1:]], root)
  return outcome + run_all(best, experiment, many.records, run, say)


def _foretell(runs, later, experiment, folder, measure, say) -> None:
  """Says how many runs there are and how long the unfinished will take."""
  todo = [run for run in runs if finished(run, experiment, folder) is None]
  say(f'{len(runs) + len(later)} runs, {len(runs) - len(todo)} of them finished')
  if todo + later:
    folders = {os.path.dirname(workdirs.path_of(run, experiment))
               for run in runs}
    mine = [record for path in sorted(folders)
            for record in results.read_all(path)]
    hours = estimate(todo + later, mine, measure)
    say(f'about {hours:.2f} hours for the other {len(todo + later)}, without '
        'compiling')
