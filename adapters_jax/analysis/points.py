"""Points of tables and figures: runs that differ in their seed alone."""

from collections.abc import Iterable
import dataclasses
import functools
import math
from typing import Any

from adapters_jax.analysis import mixing
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import options
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import version
from adapters_jax.sweeps import rivals

# Settings outside a method: the task, its data, the computation, and the axes
# of a grid within one method.
_NOT_METHOD = (
    version.FIELD, *options.marked(config_lib.Config, 'data'),
    *options.marked(config_lib.Config, 'speed'), 'tune', 'adapter_size',
    'top_k', 'learning_rate', 'epochs', 'max_steps', 'seed')

# Settings whose best value may lie beyond those tried.
_SCALES = ('learning_rate', 'epochs')


@dataclasses.dataclass(frozen=True)
class Point:
  """Runs that differ in their seed alone.

  Attributes:
    settings: Common settings, without the seed; 'precision' is the arithmetic
      that the records used.
    records: Records of the runs, sorted by seed.
    trials: Number of schedules (rates, epochs, ...) tried for this method with
      other seeds than those of `records`; 0 without trials.
    trial_examples: Number of training examples of the trials, infinity for all.
    tried: {setting: sorted values in the trials} of the rate and the epochs; {}
      without trials.
    pick_score: Mean dev score of the trials at this point's settings, by which
      it is picked; nan without, -inf if they lack seeds of their rivals.
    better: {setting: value} of the best schedule of the trials, if that is
      another one; empty without.
    incomplete: ({setting: value}, seeds) of each trial without records of some
      seeds that its rivals have, such as one that diverged.
  """
  settings: dict[str, Any]
  records: tuple[records_lib.Record, ...]
  trials: int = 0
  trial_examples: float = 0
  tried: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
  pick_score: float = math.nan
  better: dict[str, Any] = dataclasses.field(default_factory=dict)
  incomplete: tuple[tuple[dict[str, Any], tuple[int, ...]], ...] = ()

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

  @property
  def seeds(self) -> set[int]:
    """Seeds of the runs."""
    return {record.config['seed'] for record in self.records}

  @property
  def examples(self) -> float:
    """Number of training examples, infinity for all."""
    return self.settings['train_examples'] or math.inf  # 0 stands for all.

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
      several data or weights under one name, or one run has two results.
  """
  records = records_lib.one_version(records)
  mixing.check_data(records)
  mixing.check_bases(records)
  tried: dict[str, dict[float, list[Point]]] = {}
  for trial in trial_points(records):
    tried.setdefault(_without_schedule(trial.settings), {}).setdefault(
        trial.examples, []).append(trial)

  # Once for all points that differ in their schedule alone.
  @functools.cache
  def compared(method, amount, precision):
    return _compared(_of_one_computation(tried[method][amount], precision))

  found = []
  for point in _group(r for r in records if not r.picks).values():
    method = _without_schedule(point.settings)
    if amounts := tried.get(method):
      # Trials may have fewer examples (`--pick_examples`).
      amount = point.examples if point.examples in amounts else max(amounts)
      point = _with_trials(
          point, compared(method, amount, point.settings['precision']))
    found.append(point)
  return found


@dataclasses.dataclass(frozen=True)
class _Compared:
  """Trials of a method, one of each schedule.

  Attributes:
    scores: {values of the schedule: mean dev score}; -inf without all seeds.
    best: The first trial of the highest score.
    best_score: Its score.
    fields: {name: value} of the fields that all of a method's points share.
  """
  scores: dict[tuple[Any, ...], float]
  best: Point
  best_score: float
  fields: dict[str, Any]


def _compared(trials: list[Point]) -> _Compared:
  """Returns the comparison of trials, of which there are some."""
  seeds = _seeds(trials)
  # Runs that diverged leave no record; the mean of the rest is too high.
  scores = [trial.dev if trial.seeds == seeds else -math.inf
            for trial in trials]
  best = max(range(len(trials)), key=scores.__getitem__)
  schedules = [_schedule(trial.settings) for trial in trials]
  names = identity.differing(schedules)
  by_schedule: dict[tuple[Any, ...], float] = {}
  for schedule, score in zip(schedules, scores, strict=True):
    by_schedule.setdefault(tuple(schedule.values()), score)
  return _Compared(by_schedule, trials[best], scores[best], {
      'trials': len(trials),
      'trial_examples': max(trial.examples for trial in trials),
      'tried': {name: tuple(sorted({trial.settings[name] for trial in trials}))
                for name in _SCALES},
      'incomplete': tuple(
          ({name: trial.settings[name] for name in names},
           tuple(sorted(seeds - trial.seeds)))
          for trial in trials if trial.seeds != seeds)})


def _with_trials(point: Point, compared: _Compared) -> Point:
  """Returns a point with the results of its trials.

  Args:
    point: Point without them.
    compared: Its trials.
  """
  own = _schedule(point.settings)
  score = compared.scores.get(tuple(own.values()), math.nan)
  # Also if there is no trial of the own schedule: another one was picked.
  loses = compared.best_score > (-math.inf if math.isnan(score) else score)
  return dataclasses.replace(
      point, pick_score=score, **compared.fields,
      better={name: value for name, value in _schedule(
          compared.best.settings).items() if value != own[name]}
      if loses else {})


def _seeds(found: Iterable[Point]) -> set[int]:
  return {seed for point in found for seed in point.seeds}


def _of_one_computation(trials: list[Point], precision: str) -> list[Point]:
  """Returns one trial of each schedule, with this precision if there is one.

  A CPU without bfloat16 repeats in float32 the trials of another machine, and
  perhaps not yet at all seeds.
  """
  found: dict[str, list[Point]] = {}
  # Stable: those of this precision come first.
  for trial in sorted(
      trials, key=lambda one: one.settings['precision'] != precision):
    found.setdefault(identity.digest(_schedule(trial.settings)), []).append(
        trial)
  seeds = _seeds(some[0] for some in found.values())
  return [next((trial for trial in some if trial.seeds == seeds), some[0])
          for some in found.values()]


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
    by_seed = groups.setdefault(identity.digest(values), (values, {}))[1]
    if seed in by_seed and by_seed[seed].metrics != record.metrics:
      raise mixing.repeated(by_seed[seed], record)
    by_seed[seed] = record
  return {name: Point(values, tuple(by_seed[seed] for seed in sorted(by_seed)))
          for name, (values, by_seed) in groups.items()}


def _without_schedule(settings: dict[str, Any]) -> str:
  """Returns the hash of the settings that no trial changes."""
  free = (*_schedule(settings), 'seed', 'train_examples', 'precision')
  return identity.digest(
      {k: v for k, v in settings.items() if k not in free})


def _schedule(settings: dict[str, Any]) -> dict[str, Any]:
  """Returns the settings that trials change, the seed apart.

  Those that change the meaning of a score are none: such trials do not compare.

  Args:
    settings: Settings of a point.
  """
  return {name: settings.get(name)
          for name in options.marked(config_lib.Config, 'schedule')
          if name != 'seed' and name not in rivals.MEASURES}
