"""Expands grids and seeds to the settings of runs. No JAX here."""

from collections.abc import Iterable, Sequence
import dataclasses
import itertools
import logging
import math
import os
from typing import Any

from adapters_jax.downloads import paths
from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import options
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import workdirs
from adapters_jax.runs.options import option
from adapters_jax.sweeps import rivals

_log = logging.getLogger(__name__)

# Grids of Houlsby et al. (2019), sections 3.2, 3.3 and 3.5, by name.
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
_MOST_RUNS = 100_000
# {setting: the only separator of its values in a grid}. In a value of the first
# one '|' joins methods; one of the second, like spam:5,ham:1, has commas.
_SEPARATORS = {'adapter_config': ',', 'class_weights': '|'}


@dataclasses.dataclass(frozen=True)
class Options:
  """Runs to make out of one description; every field is a flag."""
  HELP = 'many runs'

  preset: str = option(
      '', "Settings to start from, 'paper' or 'adapter_bert'; explicit flags "
      "and an experiment's own defaults win.")
  seeds: str = option(
      '', "Seeds, like '0-4' or '0,3'; --seed when empty. Those from "
      f'{records_lib.FIRST_PICK_SEED} on pick settings and are in no mean.')
  grid: str = option(
      '', "Settings to cross: 'adapter_size=8,64 learning_rate=1e-4,3e-4'; "
      "'|' separates values with commas, ';' several grids; seed=0-4 is five "
      "seeds; commas alone separate values of adapter_config, where '|' joins "
      'methods; or '
      f'{", ".join(GRIDS)}.')
  pick: str = option(
      '', "Flags of the grid, like 'learning_rate,epochs', whose values are "
      'picked on dev with --pick_seeds; --seeds then run with them alone.')
  pick_seeds: str = option(
      str(records_lib.FIRST_PICK_SEED), 'Seeds that pick, from '
      f'{records_lib.FIRST_PICK_SEED} on; tables leave them out of means.')
  pick_examples: int = option(
      0, 'Training examples of the runs that pick; 0 for those of all runs.')
  records: str = option(
      '', 'Folder of records: finished runs are looked up and put there.')

  @property
  def names_runs(self) -> bool:
    """Whether a grid or seeds name the runs: each has a folder of its own."""
    return bool(self.grid or self.seeds)


def parse_seeds(text: str, name: str = '`seeds`') -> tuple[int, ...]:
  """Returns the numbers of '0-4,7', in order.

  Args:
    text: Seeds and ranges of seeds.
    name: Name of the setting, for the message.

  Raises:
    errors.UserError: `text` is not of that form.
  """
  seeds: set[int] = set()
  for part in text.split(','):
    first, dash, last = part.strip().partition('-')
    # Python refuses to read thousands of digits.
    if not (first.isdecimal() and len(first + last) < 100) or (
        dash and not (last.isdecimal() and int(first) <= int(last))):
      raise errors.UserError(
          f"{name}: {text!r} is not of the form '0-4' or '0,3'")
    numbers = range(int(first), int(last if dash else first) + 1)
    if numbers.stop > 2**32:
      raise errors.UserError(f'{name}: {text!r} has seeds above {2**32 - 1:,}')
    # Before the range is expanded: a typo may name billions of seeds.
    if len(seeds) + len(numbers) > _MOST_RUNS:
      raise errors.UserError(
          f'{name}: {text!r} names more than {_MOST_RUNS:,} seeds')
    seeds.update(numbers)
  return tuple(sorted(seeds))


def _parse_value(name: str, kind: Any, text: str) -> Any:
  try:
    if kind is bool:  # bool('false') is True.
      return {'true': True, 'false': False}[text.lower()]
    return kind(text)
  except (KeyError, ValueError) as error:
    raise errors.UserError(
        f'`grid`: {name}={text} is not of type {kind.__name__}') from error


def _split(name: str, text: str) -> list[str]:
  """Returns the values of a setting in a grid.

  Args:
    name: Name of the setting.
    text: Values, separated by '|' or, without one, by commas. Within brackets,
      as in 'lora[r=8,alpha=16]', both belong to the value.
  """

  def at(separator):
    if not set(text).intersection('[({'):
      return text.split(separator)
    from adapters_jax.methods import strings  # Imports JAX.
    return strings.split(text, separator)

  if name in _SEPARATORS:
    return at(_SEPARATORS[name])
  found = at('|')
  return found if len(found) > 1 else at(',')


def parse_grid(text: str) -> list[dict[str, Any]]:
  """Returns the points of a grid: {field of Config: value} each.

  Args:
    text: Grid, as in the flag; '' is one point without settings. It may end
      with a ';'.

  Raises:
    errors.UserError: an unknown setting or a value of another type.
  """
  places = options.marked(config_lib.Config, 'where')
  # Types, not their names, as config.py does not postpone annotations.
  kinds = {f.name: f.type for f in dataclasses.fields(config_lib.Config)
           if f.name not in places}
  points = []
  for one in GRIDS.get(text.strip(), text).strip(' ;\n').split(';'):
    axes = []
    for axis in one.split():
      name, equals, values = axis.removeprefix('--').partition('=')
      if name not in kinds:
        raise errors.unknown('`grid`', name, kinds)
      if not equals or not values:
        raise errors.UserError(
            f'`grid`: {axis!r} is not of the form name=value,value')
      if name == 'seed':  # In other settings, '0-4' is one value.
        axes.append([(name, seed) for seed in parse_seeds(
            values.replace('|', ','), '`grid`: seed')])
        continue
      axes.append([(name, _parse_value(name, kinds[name], value))
                   for value in _split(name, values)])
    names = [axis[0][0] for axis in axes]
    if len(set(names)) < len(names):
      raise errors.UserError(
          f'`grid`: {one.strip()!r} has a setting twice; join its values')
    if math.prod(map(len, axes)) > _MOST_RUNS:
      raise errors.UserError(
          f'`grid`: {one.strip()!r} makes more than {_MOST_RUNS:,} runs')
    # Without axes the product is one empty point.
    points += [dict(point) for point in itertools.product(*axes)]
  return points


def expand(
    configs: Iterable[config_lib.Config], many: Options
) -> list[config_lib.Config]:
  """Crosses the settings of each task with a grid and seeds.

  Args:
    configs: Settings, one for each task.
    many: Grid and seeds.

  Returns:
    Distinct runs. Those of a grid or seeds, and several tasks, each have a
    workdir of their own below that of `configs`.

  Raises:
    errors.UserError: a wrong grid or seeds, too many runs, or a task whose runs
      would have several sets of dev data.
  """
  runs = []
  configs = list(configs)
  points = parse_grid(many.grid)
  given = parse_seeds(many.seeds) if many.seeds else ()
  count = len(configs) * len(points) * max(1, len(given))
  if count > _MOST_RUNS:
    raise errors.UserError(
        f'`grid` and `seeds` make {count:,} runs; at most {_MOST_RUNS:,} are '
        'possible')
  for config in configs:
    seeds = given or (config.seed,)
    # A seed in the grid wins over `seeds`; its repetitions are dropped below.
    runs += [identity.without_unread(
        dataclasses.replace(config, **{'seed': seed, **point}), config)
             for point in points for seed in seeds]
  runs = list(dict.fromkeys(runs))
  rivals.check_tasks(runs)
  # Also a grid narrowed to one run: other commands may make the others.
  several = len(runs) > 1 or many.names_runs
  return placed(runs, configs[0].workdir) if several else runs


def distinct(runs: Sequence[config_lib.Config]) -> list[config_lib.Config]:
  """Returns the first run of each name, as `run_name` gives it.

  Files of equal content in two folders are one input: their runs would share a
  workdir and a record.

  Args:
    runs: Settings of the runs.
  """
  if len(runs) < 2:  # A fault of its files is that run's to report.
    return list(runs)
  found: dict[str, config_lib.Config] = {}
  for run in runs:
    found.setdefault(run_name(run), run)
  if len(found) < len(runs):
    _log.info('%d of %d runs equal others up to the folders of their files, '
              'and are left out', len(runs) - len(found), len(runs))
  return list(found.values())


def placed(
    configs: Iterable[config_lib.Config], root: str
) -> list[config_lib.Config]:
  """Returns the runs with their own workdirs below `root`.

  Args:
    configs: Settings of the runs.
    root: Folder of all workdirs; '' for the default workdir of each run.
  """
  return [dataclasses.replace(config, workdir=root and workdirs.below(
      os.path.join(root, config.task_name), config)) for config in configs]


def rooted(
    runs: Sequence[config_lib.Config], root: str, experiment: str, alone: bool
) -> list[config_lib.Config]:
  """Returns runs that have workdirs below a folder, or the one that is in it.

  A run without a grid is in the folder itself, and so was in earlier versions
  the only run of a grid.

  Args:
    runs: Settings of the runs.
    root: Folder of all workdirs.
    experiment: Name of the experiment.
    alone: Whether one run may have the folder for itself.

  Raises:
    errors.UserError: a run is in the folder that cannot go on in it.
  """
  held = workdirs.held_by(root, runs, experiment)
  if held is None:
    return list(runs)
  if alone:
    return [dataclasses.replace(held, workdir=root)]
  settings = [f'`{name}={getattr(held, name)}`' for name in identity.differing(
      identity.portable(run) for run in runs)]
  folder = os.path.abspath(paths.expanded(root, 'workdir'))
  raise errors.UserError(
      f'`workdir`: {folder} holds one of these runs alone; give another '
      'folder, or go on with that run alone, with '
      f'{", ".join([*settings, "`resume`"])}, without a grid, seeds or a sweep')


def run_name(config: config_lib.Config) -> str:
  """Returns the hash that names a run."""
  return identity.digest(identity.portable(config))


def setting_of(
    run: config_lib.Config, left_out: Iterable[str] = ()
) -> tuple[Any, ...]:
  """Returns the settings of a run without its seed and places.

  Args:
    run: Settings.
    left_out: Names of further fields to leave out.
  """
  hidden = {'seed', *left_out, *options.marked(config_lib.Config, 'where')}
  return tuple(getattr(run, f.name) for f in dataclasses.fields(run)
               if f.name not in hidden)
