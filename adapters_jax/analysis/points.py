"""Points of tables and figures: runs that differ in their seed alone."""

import collections
from collections.abc import Iterable, Sequence
import dataclasses
import math
from typing import Any

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import options
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import version

# Settings outside a method: the task, its data, the computation, and the axes
# of a grid within one method.
_NOT_METHOD = (
    version.FIELD, *options.marked(config_lib.Config, 'data'),
    *options.marked(config_lib.Config, 'speed'), 'tune', 'adapter_size',
    'top_k', 'learning_rate', 'epochs', 'max_steps', 'seed')


@dataclasses.dataclass(frozen=True)
class Point:
  """Runs that differ in their seed alone.

  Attributes:
    settings: Common settings, without the seed; as 'precision' the arithmetic
      of the records.
    records: Records of the runs, sorted by seed.
    trials: Number of schedules (rates, epochs, ...) tried for this method with
      other seeds than those of `records`; 0 without trials.
    pick_score: Mean dev score of the trials at this point's settings, by which
      it is picked; nan without.
    better: {setting: value} of the best schedule of the trials, if that is
      another one; empty without.
  """
  settings: dict[str, Any]
  records: tuple[records_lib.Record, ...]
  trials: int = 0
  pick_score: float = math.nan
  better: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def task(self) -> str:
    """Name of the task."""
    return config_lib.task_of(self.settings)

  @property
  def base(self) -> str:
    """Name of the pretrained model, and its arithmetic unless the default."""
    name, precision = self.settings['checkpoint'], self.settings['precision']
    return (name if precision == config_lib.Config.precision
            else f'{name} ({precision})')

  @property
  def method(self) -> str:
    """Name of the tuned part, and the settings that are not the defaults."""
    values, config = self.settings, self.named_config
    name = {
        'adapters': config or f'adapters, size {values["adapter_size"]}',
        'full': 'full fine-tuning',
        'top_k': ('top layer' if values['top_k'] == 1 else
                  f'top {values["top_k"]} layers'),
        'norms': 'layer norms',
        'bias': 'biases',
        'head': 'head alone',
        'none': 'base as it is',
        'fusion': 'AdapterFusion',
    }.get(values['tune'], values['tune'])
    return ', '.join([name, *self.changed])

  @property
  def named_config(self) -> str:
    """Method other than bottlenecks, such as 'lora[r=8]'; '' for the others."""
    text = self.settings['adapter_config']
    return ('' if self.settings['tune'] != 'adapters'
            or text.startswith('bottleneck') else text)

  @property
  def changed(self) -> list[str]:
    """Settings of the method that are not the defaults, like 'name=value'."""
    default = dataclasses.asdict(config_lib.Config())
    named = ('adapter_config',) if self.named_config else ()
    return [f'{k}={v}' for k, v in sorted(self.settings.items())
            if k not in _NOT_METHOD + named and v != default.get(k)]

  def scores(self, split: str) -> list[float]:
    """Returns the first metric of each run on a split, [] without labels."""
    return [records_lib.primary(record, split) for record in self.records
            if split in record.metrics]

  @property
  def split(self) -> str:
    """Split that was not used to choose anything, if labelled; else 'dev'."""
    return 'test' if all('test' in r.metrics for r in self.records) else 'dev'

  @property
  def metric(self) -> str:
    """Name of the first metric."""
    return next(iter(self.records[0].metrics['dev']))

  @property
  def share(self) -> float:
    """Share of the model's parameters that is trained."""
    return self.records[0].trained_params / self.records[0].total_params

  @property
  def dev(self) -> float:
    """Mean of the first metric on dev."""
    return records_lib.mean_sem(self.scores('dev'))[0]

  @property
  def minutes(self) -> float:
    """Mean processor time of a run in minutes; other load hardly changes it."""
    return records_lib.mean_sem(r.cpu_seconds / 60 for r in self.records)[0]

  @property
  def best(self) -> records_lib.Record:
    """The run with the highest dev score."""
    return records_lib.best(self.records)


def points(records: Iterable[records_lib.Record]) -> list[Point]:
  """Groups records by all settings except the seed, in order.

  Runs with seeds that pick (`records.FIRST_PICK_SEED`) are in no point.

  Raises:
    errors.UserError: the records are of several versions of the numbers, or of
      several data or weights under one name.
  """
  records = records_lib.one_version(records)
  _check_data(records)
  _check_bases(records)
  tried: dict[str, dict[float, list[Point]]] = {}
  for trial in trial_points(records):
    tried.setdefault(_without_schedule(trial.settings), {}).setdefault(
        _examples(trial), []).append(trial)
  found = []
  for point in _group(r for r in records if not r.picks).values():
    mine = _of_one_computation(_on_one_amount(
        tried.get(_without_schedule(point.settings), {}), _examples(point)),
                               point.settings['precision'])
    own = _schedule(point.settings)
    # At most one: these trials differ in their schedule.
    score = next((trial.dev for trial in mine
                  if _schedule(trial.settings) == own), math.nan)
    best = max(mine, key=lambda trial: trial.dev, default=None)
    # Without a trial of the own schedule too: another one was picked.
    better = {} if best is None or best.dev <= score else {
        name: value for name, value in _schedule(best.settings).items()
        if value != own[name]}
    found.append(dataclasses.replace(
        point, pick_score=score, trials=len(mine), better=better))
  return found


def _on_one_amount(
    tried: dict[float, list[Point]], own: float
) -> list[Point]:
  """Returns the trials on the own number of examples, or the largest other.

  Runs that pick may train on fewer examples (`--pick_examples`).

  Args:
    tried: {number of training examples: trials of one method}
    own: Number of training examples of the runs that report.
  """
  if not tried:
    return []
  return tried[own if own in tried else max(tried)]


def _of_one_computation(trials: list[Point], precision: str) -> list[Point]:
  """Returns one trial of each schedule, with this precision if there is one.

  A CPU without bfloat16 repeats in float32 the trials of another machine.
  """
  found: dict[str, Point] = {}
  for trial in trials:
    schedule = identity.digest(_schedule(trial.settings))
    if schedule not in found or trial.settings['precision'] == precision:
      found[schedule] = trial
  return list(found.values())


def _examples(point: Point) -> float:
  return point.settings['train_examples'] or math.inf  # 0 stands for all.


def trial_points(records: Iterable[records_lib.Record]) -> list[Point]:
  """Returns the points of the runs with seeds that pick, in order."""
  return list(_group(record for record in records if record.picks).values())


def _group(records: Iterable[records_lib.Record]) -> dict[str, Point]:
  """Returns {hash of the settings: point without its trials}."""
  groups: dict[str, tuple[dict[str, Any], dict[int, records_lib.Record]]] = {}
  for record in records:
    # Records of earlier versions lack newer settings.
    values: dict[str, Any] = identity.completed(record.config)
    values['precision'] = record.arithmetic
    seed = values.pop('seed')
    # By seed: a run that is found twice counts once.
    groups.setdefault(identity.digest(values), (values, {}))[1][seed] = record
  return {name: Point(values, tuple(by_seed[seed] for seed in sorted(by_seed)))
          for name, (values, by_seed) in groups.items()}


def _without_schedule(settings: dict[str, Any]) -> str:
  """Returns the hash of the settings that no trial changes."""
  free = (*options.marked(config_lib.Config, 'schedule'), 'train_examples',
          'precision')
  return identity.digest(
      {k: v for k, v in settings.items() if k not in free})


def _schedule(settings: dict[str, Any]) -> dict[str, Any]:
  """Returns the settings that trials change, the seed apart."""
  return {name: settings.get(name)
          for name in options.marked(config_lib.Config, 'schedule')
          if name != 'seed'}


def _check_data(records: Iterable[records_lib.Record]) -> None:
  """Raises UserError if equal settings of the data name different examples."""
  names = options.marked(config_lib.Config, 'data')
  seen: dict[tuple[str, str], str] = {}
  for record in records:
    values = identity.completed(record.config)
    data = identity.digest({name: values[name] for name in names})
    for split, facts in record.data.items():
      before = seen.setdefault((data, split), facts['sha256'])
      if before != facts['sha256']:
        raise errors.UserError(
            f'records: {config_lib.task_of(values)} has other {split} examples '
            f'in some of them ({before} and {facts["sha256"]}); keep those of '
            'one data set')


def _check_bases(records: Iterable[records_lib.Record]) -> None:
  """Raises UserError if one name of a base stands for different weights."""
  seen: dict[str, str] = {}
  for record in records:
    name = str(identity.completed(record.config)['checkpoint'])
    # Records of earlier versions name no weights.
    before = seen.setdefault(name, record.base) if record.base else ''
    if before != record.base:
      raise errors.UserError(
          f'records: {name} has other weights in some of them ({before} and '
          f'{record.base}); keep those of one revision')


def picked(found: Iterable[Point]) -> list[Point]:
  """Returns the point to report of each task, base and method.

  Its schedule scored best on dev with seeds that pick. Without such trials it
  has the most seeds and, among equals, the best mean on dev.
  """
  def rank(point):
    score = -math.inf if math.isnan(point.pick_score) else point.pick_score
    return score, len(point.records), point.dev

  chosen: dict[tuple[str, str, str], Point] = {}
  for point in found:
    key = *_task_and_base(point), point.method
    if key not in chosen or rank(point) > rank(chosen[key]):
      chosen[key] = point
  return list(chosen.values())


def headline(
    found: Iterable[Point], sizes: Sequence[int], top_k: Sequence[int]
) -> list[Point]:
  """Returns the points of a results table.

  Their settings are the defaults, apart from rates, epochs, the computation and
  the name of a method other than bottlenecks.
  They have the data, the number of training examples and the precision that
  most runs of their task and base have, and among equals the most examples: one
  trial on a few examples replaces no results.

  Args:
    found: Points.
    sizes: Adapter sizes to keep.
    top_k: Numbers of fine-tuned layers to keep.
  """
  kept = [
      p for p in found if not p.changed
      and (p.settings['tune'] != 'adapters' or p.named_config
           or p.settings['adapter_size'] in sizes)
      and (p.settings['tune'] != 'top_k' or p.settings['top_k'] in top_k)]

  names = options.marked(config_lib.Config, 'data')

  def own(point):
    others = {name: point.settings[name] for name in (*names, 'precision')
              if name != 'train_examples'}
    return _examples(point), identity.digest(others)

  runs: dict[tuple[str, str], collections.Counter[tuple[float, str]]] = {}
  for point in kept:
    runs.setdefault(_task_and_base(point), collections.Counter())[
        own(point)] += len(point.records)
  most = {name: max(counts, key=lambda one: (counts[one], one))
          for name, counts in runs.items()}
  return [p for p in kept if own(p) == most[_task_and_base(p)]]


def by_base(found: Iterable[Point]) -> dict[str, list[Point]]:
  """Returns {`Point.base`: its points, in order}, larger models first."""
  bases: dict[str, list[Point]] = {}
  for point in found:
    bases.setdefault(point.base, []).append(point)

  def size(name):
    return max(point.records[0].total_params for point in bases[name])

  return {name: bases[name]
          for name in sorted(bases, key=lambda name: (-size(name), name))}


def _task_and_base(point: Point) -> tuple[str, str]:
  return point.task, point.settings['checkpoint']
