"""Records to tables: means over seeds, the best settings, GLUE's mean."""

from collections.abc import Iterable, Sequence
import dataclasses
import math
from typing import Any

from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import version

# Settings outside a method: the task, its data, and the axes of a grid within
# one method.
_NOT_METHOD = (
    version.FIELD, 'task', 'tune', 'train_file', 'dev_file', 'test_file',
    'text_columns', 'label_column', 'file_task', 'checkpoint', 'train_examples',
    'max_length', 'batch_size', 'epochs', 'max_steps', 'eval_every', 'buckets',
    'seed', 'learning_rate', 'adapter_size', 'top_k')

GLUE_TASKS = (
    'cola', 'sst2', 'mrpc', 'qqp', 'stsb', 'mnli', 'qnli', 'rte', 'wnli')


@dataclasses.dataclass(frozen=True)
class Point:
  """Runs that differ in their seed alone.

  Attributes:
    settings: Common settings, without the seed.
    records: Records of the runs, sorted by seed.
  """
  settings: dict[str, Any]
  records: tuple[records_lib.Record, ...]

  @property
  def task(self) -> str:
    """Name of the task."""
    return config_lib.task_of(self.settings)

  @property
  def method(self) -> str:
    """Name of the tuned part, and the settings that are not the defaults."""
    values = self.settings
    name = {
        'adapters': f'adapters, size {values["adapter_size"]}',
        'full': 'full fine-tuning',
        'top_k': ('top layer' if values['top_k'] == 1 else
                  f'top {values["top_k"]} layers'),
        'norms': 'layer norms',
        'bias': 'biases',
        'head': 'head alone',
    }.get(values['tune'], values['tune'])
    default = dataclasses.asdict(config_lib.Config())
    changed = [f'{k}={v}' for k, v in sorted(values.items())
               if k not in _NOT_METHOD and v != default.get(k)]
    return ', '.join([name, *changed])

  def scores(self, split: str) -> list[float]:
    """Returns the first metric of each run on a split, [] without labels."""
    return [records_lib.primary(record, split) for record in self.records
            if split in record.metrics]

  @property
  def dev(self) -> float:
    """Mean of the first metric on dev, the criterion between points."""
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

  Raises:
    errors.UserError: the records are of several versions of the numbers.
  """
  groups = {}
  for record in records_lib.one_version(records):
    # Records of earlier versions lack newer settings.
    values = config_lib.completed(record.config)
    seed = values.pop('seed')
    # By seed: a run that is found twice counts once.
    groups.setdefault(config_lib.digest(values), (values, {}))[1][seed] = record
  return [Point(values, tuple(by_seed[seed] for seed in sorted(by_seed)))
          for values, by_seed in groups.values()]


def picked(found: Iterable[Point]) -> list[Point]:
  """Returns the point to report of each task and method.

  It has the most seeds and, among equals, the best mean on dev.
  """
  chosen = {}
  for point in found:
    key = point.task, point.settings['checkpoint'], point.method
    if key not in chosen or (len(point.records), point.dev) > (
        len(chosen[key].records), chosen[key].dev):
      chosen[key] = point
  return list(chosen.values())


def headline(
    found: Iterable[Point], sizes: Sequence[int], top_k: Sequence[int]
) -> list[Point]:
  """Returns the points of a results table.

  Their settings are the defaults, apart from rates and epochs, and they have
  the most training examples of their task.

  Args:
    found: Points.
    sizes: Adapter sizes to keep.
    top_k: Numbers of fine-tuned layers to keep.
  """
  def examples(point):
    return point.settings['train_examples'] or math.inf  # 0 stands for all.

  # In the name of a method, a comma precedes a setting that is not the default.
  kept = [
      p for p in found if ', ' not in p.method.replace(', size', '')
      and (p.settings['tune'] != 'adapters'
           or p.settings['adapter_size'] in sizes)
      and (p.settings['tune'] != 'top_k' or p.settings['top_k'] in top_k)]
  most = {}
  for point in kept:
    most[point.task] = max(most.get(point.task, 0), examples(point))
  return [p for p in kept if examples(p) == most[p.task]]


def by_task(found: Iterable[Point], split: str) -> list[dict[str, str]]:
  """Returns a row for each method with a column for each task.

  Args:
    found: Points, one for each task and method.
    split: Split of the scores; tasks without its labels have no column.
  """
  found = [point for point in found if point.scores(split)]
  titles = {p.task: f'{p.task}, {next(iter(p.records[0].metrics[split]))}'
            for p in found}
  table = {}
  for point in found:
    first = point.records[0]
    row = table.setdefault(point.method, {
        'method': point.method,
        'trained': f'{100 * first.trained_params / first.total_params:.3g} %',
        **dict.fromkeys(titles.values(), '-')})
    row[titles[point.task]] = _mean_text(point.scores(split))
  return list(table.values())


def _mean_text(scores: Sequence[float]) -> str:
  """Returns e.g. '91.3 ± 0.2' in hundredths; one score has no error."""
  if not scores:
    return '-'
  mean, sem = records_lib.mean_sem(scores)
  error = '' if math.isnan(sem) else f' ± {100 * sem:.1f}'
  return f'{100 * mean:.1f}{error}'


def rows(found: Iterable[Point]) -> list[dict[str, str]]:
  """Returns a row of text for each point, with the same columns in all."""
  table = []
  for point in found:
    first, best = point.records[0], point.best
    # Of the run that dev chooses, not the best on test.
    test = ([100 * records_lib.primary(best, 'test')] if 'test' in best.metrics
            else [])
    table.append({
        'task': point.task,
        'method': point.method,
        'rate': f'{point.settings["learning_rate"]:g}',
        'epochs': f'{point.settings["epochs"]:g}',
        'seeds': str(len(point.records)),
        'metric': next(iter(first.metrics['dev'])),
        'dev': _mean_text(point.scores('dev')),
        'test': _mean_text(point.scores('test')),
        'best on dev': ' / '.join(
            f'{v:.1f}' for v in (100 * records_lib.primary(best), *test)),
        'trained': f'{100 * first.trained_params / first.total_params:.3g} %',
        'CPU minutes': f'{point.minutes:.1f}',
    })
  return table


def markdown(table: Sequence[dict[str, str]]) -> str:
  """Returns rows as a Markdown table, with numbers aligned to the right."""
  if not table:
    return ''
  lines = ['| ' + ' | '.join(table[0]) + ' |',
           '|' + '|'.join('---' if name in ('task', 'method', 'metric')
                          else '---:' for name in table[0]) + '|']
  lines += ['| ' + ' | '.join(row.values()) + ' |' for row in table]
  return '\n'.join(lines)


def task_score(record: records_lib.Record) -> float:
  """Returns a task's dev score by GLUE's rule, the mean of its metrics.

  For MNLI it is the mean over matched and mismatched.
  """
  splits = [split for split in ('dev', 'dev_mismatched')
            if split in record.metrics]
  values = [value for split in splits
            for value in record.metrics[split].values()]
  metrics = {'cola': ('matthews',)}.get(record.config['task'])
  if metrics:  # Accuracy is reported too, but does not count.
    values = [record.metrics['dev'][name] for name in metrics]
  return sum(values) / len(values)


def glue_mean(found: Iterable[Point]) -> str:
  """Returns a line with the GLUE-style mean on dev, and how it was formed.

  Args:
    found: Points; the best on dev of each task counts.
  """
  best = {}
  for point in found:
    if point.task in GLUE_TASKS and (
        point.task not in best or point.dev > best[point.task].dev):
      best[point.task] = point
  if not best:
    return ''
  means = [records_lib.mean_sem(map(task_score, point.records))[0]
           for point in best.values()]
  missing = [task for task in GLUE_TASKS if task not in best]
  without = f', without {", ".join(missing)}' if missing else ''
  return (
      f'GLUE-style mean on dev: {100 * sum(means) / len(means):.1f} over '
      f'{len(best)} of {len(GLUE_TASKS)} tasks{without}. Each task counts '
      'once, with the mean of its metrics (CoLA: Matthews; MRPC, QQP: F1 and '
      'accuracy; STS-B: Pearson and Spearman; MNLI: matched and mismatched), '
      'averaged over seeds, at the settings best on dev. The Total of the '
      "paper's table is the test server's.")
