"""Tables of points: means with intervals, differences, GLUE's mean."""

from collections.abc import Iterable, Sequence
import math

from adapters_jax.analysis import cells
from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import statistics
from adapters_jax.data import tasks
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import records as records_lib

GLUE_TASKS = (
    'cola', 'sst2', 'mrpc', 'qqp', 'stsb', 'mnli', 'qnli', 'rte', 'wnli')
# Settings without a fixed column that name no method.
_FURTHER = tuple(
    name for role in ('data', 'speed')
    for name in options.marked(config_lib.Config, role)
    if name != 'task' and name not in options.marked(
        config_lib.Config, 'path')) + ('max_steps',)
# {metric: its name in sentences}
_UNITS = {
    'accuracy': 'accuracy', 'matthews': "Matthews' correlation", 'f1': 'F1',
    'macro_f1': 'macro F1', 'micro_f1': 'micro F1', 'entity_f1': 'entity F1',
    'ndcg@10': 'NDCG@10', 'mrr@10': 'MRR@10',
    'pearson': "Pearson's correlation", 'spearman': "Spearman's correlation"}


def metric_name(metric: str) -> str:
  """Returns the name of a metric in sentences and figures."""
  return _UNITS.get(metric, metric.replace('_', ' '))


def unit(metric: str) -> str:
  """Returns e.g. 'points of accuracy', for hundredths of a metric."""
  return f'points of {metric_name(metric)}'


def by_task(
    found: Iterable[points_lib.Point], split: str
) -> list[dict[str, str]]:
  """Returns a row for each method with a column for each task.

  Args:
    found: Points of one base, one for each task and method.
    split: Split of the scores; tasks without its labels have no column.
  """
  found = [point for point in found if point.scores(split)]
  titles = {p.task: f'{p.task}, {next(iter(p.records[0].metrics[split]))}'
            for p in found}
  table: dict[str, dict[str, str]] = {}
  shares: dict[str, list[float]] = {}
  for point in found:
    row = table.setdefault(point.method, {
        'method': point.method, 'trained': '',
        **dict.fromkeys(titles.values(), '-')})
    row[titles[point.task]] = mean_text(point.scores(split))
    shares.setdefault(point.method, []).append(point.share)
  for method, row in table.items():  # Heads of more classes are larger.
    ends = [_percent(choose(shares[method])) for choose in (min, max)]
    row['trained'] = f'{" to ".join(dict.fromkeys(ends))} %'
  return list(table.values())


def _percent(share: float) -> str:
  return f'{100 * share:.3g}'


def mean_text(scores: Sequence[float]) -> str:
  """Returns e.g. '91.3 ± 0.2' in hundredths; one score has no error.

  The error is half of Student's interval of 95 % over the seeds.

  Args:
    scores: [seeds] Scores.
  """
  if not scores:
    return '-'
  mean, _ = records_lib.mean_sem(scores)
  low, high = statistics.t_interval(scores)
  error = '' if math.isnan(low) else f' ± {50 * (high - low):.1f}'
  return f'{100 * mean:.1f}{error}'


def rows(found: Iterable[points_lib.Point]) -> list[dict[str, str]]:
  """Returns a row of text for each point, with the same columns in all.

  Settings that name no method, such as the base or the batch size, have a
  column where the points differ in them.
  """
  found = list(found)
  varied = [name for name in _FURTHER
            if len({point.settings[name] for point in found}) > 1]
  count = len({point.task for point in found})
  # Own data name their task, but a task that is named may have several.
  varied += [name for name in options.marked(config_lib.Config, 'path')
             if len({(point.task, point.settings.get(name))
                     for point in found}) > count]
  table = []
  for point in found:
    best = point.best
    # Of the run that dev chooses, not the best on test.
    test = ([100 * records_lib.primary(best, 'test')] if 'test' in best.metrics
            else [])
    table.append({
        'task': point.task,
        'method': point.method,
        'rate': f'{point.settings["learning_rate"]:g}',
        'epochs': f'{point.settings["epochs"]:g}',
        **{name.replace('_', ' '): str(point.settings[name])
           for name in varied},
        'trials': str(point.trials) if point.trials else '-',
        'seeds': str(len(point.records)),
        'metric': point.metric,
        'dev': mean_text(point.scores('dev')),
        'test': mean_text(point.scores('test')),
        'best on dev': ' / '.join(
            f'{v:.1f}' for v in (100 * records_lib.primary(best), *test)),
        'trained': f'{100 * point.share:.3g} %',
        'CPU minutes': f'{point.minutes:.1f}',
    })
  return table


def trial_rows(
    records: Iterable[records_lib.Record]
) -> list[dict[str, str]]:
  """Returns a row of text for each setting tried with seeds that pick."""
  left_out = 'trials', 'test', 'best on dev', 'trained', 'CPU minutes'
  return [{name: text for name, text in row.items() if name not in left_out}
          for row in rows(points_lib.trial_points(records))]


def _records_of(
    found: Iterable[points_lib.Point], task: str, tune: str
) -> Sequence[records_lib.Record]:
  """Returns the records of a task with this tuned part, () without."""
  return next((p.records for p in found if p.task == task
               and p.settings['tune'] == tune), ())


def intervals(found: Sequence[points_lib.Point]) -> list[dict[str, str]]:
  """Returns a row for each point: its score, minus full fine-tuning's.

  Scores are on the split that chose nothing, where it is labelled. Intervals of
  95 % are over seeds (t), and over examples and seeds (bootstrap).

  Args:
    found: Points of one base to report, one for each task and method.
  """
  table = []
  for point in sorted(found, key=lambda p: (p.task, -p.share)):
    score = cells.estimate(point.records, point.split, point.metric)
    row = {
        'task': point.task, 'method': point.method,
        'metric': f'{point.metric}, {point.split}',
        'trials': str(point.trials) if point.trials else '-',
        'seeds': str(score.seeds), 'score': f'{100 * score.mean:.1f}',
        't': interval_text(score.t),
        'bootstrap': interval_text(score.bootstrap),
        '− full': '-', 't of −': '-', 'bootstrap of −': '-'}
    full = _records_of(found, point.task, 'full')
    if full and point.settings['tune'] != 'full':
      gap = cells.difference(point.records, full, point.split, point.metric)
      row['− full'] = f'{100 * gap.mean:+.1f}'.replace('-', '−')
      row['t of −'], row['bootstrap of −'] = map(
          interval_text, (gap.t, gap.bootstrap))
    table.append(row)
  return table


def interval_text(ends: tuple[float, float]) -> str:
  """Returns e.g. '80.1 to 83.4' in hundredths, '-' for nan.

  Args:
    ends: (low, high) in the metric's own unit.
  """
  if math.isnan(ends[0]):
    return '-'
  return f'{100 * ends[0]:.1f} to {100 * ends[1]:.1f}'.replace('-', '−')


def powers(found: Sequence[points_lib.Point]) -> dict[str, cells.Power]:
  """Returns {task: whether it can distinguish methods}.

  Args:
    found: Points of one base to report, one for each task and method.
  """
  return {
      p.task: cells.power(
          _records_of(found, p.task, 'full'),
          {tune: _records_of(found, p.task, tune) for tune in cells.FLOORS},
          p.split, p.metric)
      for p in sorted(found, key=lambda p: p.task)}


def markdown(table: Sequence[dict[str, str]]) -> str:
  """Returns rows as a Markdown table, with numbers aligned to the right."""
  if not table:
    return ''
  def is_text(name):
    cells_of = [row[name] for row in table]
    return any(len(cell) > 30 or cell[:1].isalpha() or cell[:1] == '*'
               for cell in cells_of)

  lines = ['| ' + ' | '.join(table[0]) + ' |',
           '|' + '|'.join('---' if is_text(name) else '---:'
                          for name in table[0]) + '|']
  lines += ['| ' + ' | '.join(row.values()) + ' |' for row in table]
  return '\n'.join(lines)


def task_score(record: records_lib.Record) -> float:
  """Returns a task's dev score by GLUE's rule, the mean of its metrics.

  For MNLI it is the mean over matched and mismatched. A further metric, which
  picked the best step, does not count.

  Args:
    record: Record of a task of GLUE.
  """
  task = record.config['task']
  # Accuracy on CoLA is reported too, but does not count.
  names = ('matthews',) if task == 'cola' else tasks.find(task).metrics
  values = [record.metrics[split][name]
            for split in ('dev', 'dev_mismatched') if split in record.metrics
            for name in names]
  return sum(values) / len(values)


def glue_mean(found: Iterable[points_lib.Point]) -> str:
  """Returns a line with the GLUE-style mean on dev, and how it was formed.

  Args:
    found: Points; the best on dev of each task counts. Own data of a task's
      name have other metrics, and do not count.
  """
  best: dict[str, float] = {}
  for point in found:
    if point.task in GLUE_TASKS and not point.settings['train_file']:
      # Not by the first metric: it may be another one in each point.
      score, _ = records_lib.mean_sem(map(task_score, point.records))
      best[point.task] = max(score, best.get(point.task, -math.inf))
  if not best:
    return ''
  mean = 100 * math.fsum(best.values()) / len(best)
  missing = [task for task in GLUE_TASKS if task not in best]
  without = f', without {", ".join(missing)}' if missing else ''
  return (
      f'GLUE-style mean on dev: {mean:.1f} over {len(best)} of '
      f'{len(GLUE_TASKS)} tasks{without}. Each task counts '
      'once, with the mean of its metrics (CoLA: Matthews; MRPC, QQP: F1 and '
      'accuracy; STS-B: Pearson and Spearman; MNLI: matched and mismatched), '
      'averaged over seeds, at the settings best on dev. The Total of the '
      "paper's table is the test server's.")
