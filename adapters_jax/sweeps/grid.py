"""Many runs out of one description: seeds and grids. No JAX here."""

from collections.abc import Iterable, Sequence
import dataclasses
import itertools
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.options import option
from adapters_jax.runs import records as records_lib

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


@dataclasses.dataclass(frozen=True)
class Options:
  """Which runs to make out of one description; every field is a flag."""
  preset: str = option(
      '', "Settings to start from, 'paper' or 'adapter_bert'; flags given "
      'beside it win.')
  seeds: str = option('', "Seeds, like '0-4' or '0,3'; --seed when empty.")
  grid: str = option(
      '', "Settings to cross: 'adapter_size=8,64 learning_rate=1e-4,3e-4'; "
      "'|' separates values with commas, ';' several grids; seed=0-4 is five "
      'seeds; or '
      f'{", ".join(GRIDS)}.')
  pick: str = option(
      '', "Flags of the grid, like 'learning_rate', whose value is picked on "
      'dev with the first seed; other seeds then run with it alone.')
  records: str = option(
      '', 'Folder of records: finished runs are looked up and put there.')


def parse_seeds(text: str, flag: str = '--seeds') -> tuple[int, ...]:
  """Returns the numbers of '0-4,7', in order; UserError if not of that form."""
  seeds = set()
  for part in text.split(','):
    first, dash, last = part.strip().partition('-')
    if not first.isdecimal() or (dash and not last.isdecimal()) or (
        dash and int(last) < int(first)):
      raise errors.UserError(
          f"{flag}: {text!r} is not of the form '0-4' or '0,3'")
    seeds.update(range(int(first), int(last if dash else first) + 1))
  return tuple(sorted(seeds))


def _parse_value(name: str, kind: type, text: str) -> Any:
  try:
    if kind is bool:
      return {'true': True, 'false': False}[text.lower()]
    return kind(text)
  except (KeyError, ValueError) as error:
    raise errors.UserError(
        f'--grid: {name}={text} is not of type {kind.__name__}') from error


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
        raise errors.unknown('--grid', name, kinds)
      if not equals or not values:
        raise errors.UserError(
            f'--grid: {axis!r} is not of the form name=value,value')
      if name == 'seed':
        axes.append([(name, seed) for seed in parse_seeds(
            values.replace('|', ','), '--grid: seed')])
        continue
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


def unpicked(config: config_lib.Config, pick: Sequence[str]) -> tuple[Any, ...]:
  return tuple(
      getattr(config, f.name) for f in dataclasses.fields(config)
      if f.name not in (*pick, 'seed', *config_lib.PATHS))


def parse_pick(text: str, grid: str) -> tuple[str, ...]:
  """Returns the names of `--pick`, which the grid must have."""
  names = tuple(name.strip() for name in text.split(',') if name.strip())
  crossed = {name for point in parse_grid(grid) for name in point}
  for name in names:
    if name not in crossed:
      raise errors.UserError(f'--pick: {name} is not in --grid={grid!r}')
  return names


def pick_best(
    configs: Sequence[config_lib.Config], records: Sequence[records_lib.Record],
    pick: Sequence[str],
) -> list[config_lib.Config]:
  """Returns of each group, equal but for `pick`, the run best on dev."""
  by_name = {config_lib.digest(r.config): r for r in records}
  best = {}
  for config in configs:
    record = by_name.get(name_of(config))
    if record is None:
      continue
    group = unpicked(config, pick)
    if group not in best or (
        records_lib.primary(record) > records_lib.primary(best[group][1])):
      best[group] = config, record
  return [config for config, _ in best.values()]
