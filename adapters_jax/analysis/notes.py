"""Lines below a table of results: how it was made, and what it leaves out."""

from collections.abc import Iterable, Mapping, Sequence
import math
from typing import Any

from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import reported
from adapters_jax.runs import identity
from adapters_jax.runs import records as records_lib


def how_line(chosen: Sequence[points_lib.Point]) -> str:
  """Returns a line on the seeds, the errors and the trials of points."""
  # The base as it is has no seeds and nothing to try.
  chosen = [point for point in chosen
            if point.settings['tune'] != 'none'] or chosen
  seeds = sorted({len(point.records) for point in chosen})
  trials = {}
  for point in chosen:
    trials.setdefault(point.trials, []).append(
        f'{point.method} on {point.task}')
  if list(trials) == [0]:
    picked = 'No setting was picked with separate seeds.'
  elif len(trials) == 1:
    picked = (f'Each method had {min(trials)} trials of its schedule on dev, '
              'with separate seeds.')
  else:
    most = max(trials, key=lambda count: len(trials[count]))
    others = '; '.join(
        f'{count} for {" and ".join(names)}'
        for count, names in sorted(trials.items()) if count != most)
    picked = (f'Trials of the schedule on dev, with separate seeds: '
              f'{others}; {most or "none"} for the others.')
  return ('Scores in hundredths of the metric: mean ± half of the 95 % t '
          f'interval over {" or ".join(map(str, seeds))} seeds; ± counts the '
          f'seeds only. {picked}{_other_amounts(chosen)}')


def _other_amounts(chosen: Sequence[points_lib.Point]) -> str:
  """Returns a sentence on trials with other numbers of examples, or ''."""
  found: dict[str, list[str]] = {}
  for point in chosen:
    if point.trials and point.trial_examples != point.examples:
      number = ('all' if math.isinf(point.trial_examples)
                else f'{point.trial_examples:,}')
      found.setdefault(f'{number} training examples', []).append(point.task)
  return ''.join(
      f' The trials on {" and ".join(dict.fromkeys(tasks))} used {number}.'
      for number, tasks in found.items())


def edge_lines(chosen: Sequence[points_lib.Point]) -> list[str]:
  """Returns a line on picked values that may lie beyond those tried, or [].

  Args:
    chosen: Points of one table.
  """
  several = len({point.task for point in chosen}) > 1
  found: dict[str, dict[str, list[str]]] = {}
  for point in chosen:
    whose = point.method + (f' on {point.task}' if several else '')
    for name, values in point.tried.items():
      value = point.settings[name]
      for end, side in ((values[0], 'lowest'), (values[-1], 'highest')):
        if len(values) > 2 and value == end:  # Of two, each is at an end.
          found.setdefault(name.replace('_', ' '), {}).setdefault(
              f'({value:g}, {side} of {len(values)})', []).append(whose)
  said = '; '.join(
      f'{name} of ' + ', '.join(f'{" and ".join(methods)} {where}'
                                for where, methods in ends.items())
      for name, ends in found.items())
  return [f'- At the edge of the values tried: {said}'] if said else []


def left_out_lines(
    found: Iterable[points_lib.Point], chosen: Sequence[points_lib.Point]
) -> list[str]:
  """Returns a line for each task with runs on other data or arithmetic.

  Args:
    found: Points of any runs.
    chosen: Points of one table, of `reported.headline`.
  """
  tasks: dict[str, list[str]] = {}
  for kept, others in reported.left_out(found, chosen):
    names = identity.differing(
        {name: point.settings[name] for name in reported.DATA}
        for point in (kept, others[0]))
    runs = sum(len(point.records) for point in others)
    tasks.setdefault(kept.task, []).append(
        f'{runs} run{"s" * (runs > 1)} with '
        f'{_in_words({name: others[0].settings[name] for name in names})}')
  return [f'- {task}, left out: {"; ".join(said)}'
          for task, said in sorted(tasks.items())]


def file_lines(
    chosen: Sequence[points_lib.Point], files: Mapping[str, str]
) -> list[str]:
  """Returns a line for each cell of a table, with the files of its records.

  Args:
    chosen: Points of one table.
    files: {`identity.digest` of the settings of a record: its file}.
  """
  return [
      f'- {point.method} on {point.task}: ' + ', '.join(
          files[identity.digest(record.config)] for record in point.records)
      for point in chosen]


def note_lines(chosen: Sequence[points_lib.Point]) -> list[str]:
  """Returns a line for each note, with the methods if only some have it.

  The notes: points whose trials favour a schedule without runs, points that
  lack seeds of others, and trials that lack seeds of others.

  Args:
    chosen: Points of one table.
  """
  methods = {}
  for point in chosen:
    methods.setdefault(point.task, set()).add(point.method)
  notes = {}
  threshold = records_lib.THRESHOLD_NOTE.partition('{')[0]
  for point in chosen:
    # A set: seeds of one point repeat a note.
    for note in {note for record in point.records for note in record.notes}:
      if not note.startswith(threshold):  # Another one in every run.
        notes.setdefault((point.task, note), []).append(point.method)
  lines = []
  for (task, note), having in sorted(notes.items()):
    whose = [] if set(having) == methods[task] else [' and '.join(having)]
    lines.append(f'- {", ".join([task, *whose])}: {note}')
  for point in chosen:
    start = f'- {point.task}, {point.method}: '
    if point.better:
      lines.append(
          f'{start}the trials picked {_in_words(point.better)}, but no final '
          'run uses it yet')
    lines += [f'{start}the trial with {_in_words(settings)} has no record of '
              f'{_seeds(seeds)}, and ranks last'
              for settings, seeds in point.incomplete]
  return lines + [
      f'- {point.task}, {point.method}: no record of {_seeds(seeds)}'
      for point, seeds in reported.missing_seeds(chosen)]


def _in_words(settings: Mapping[str, Any]) -> str:
  """Returns e.g. 'learning_rate=0.001, epochs=3' or 'all examples'."""
  return ', '.join(
      'all examples' if (name, value) == ('train_examples', 0) else
      f'{name}={value:g}' if isinstance(value, float) else f'{name}={value}'
      for name, value in settings.items())


def _seeds(seeds: Sequence[int]) -> str:
  """Returns e.g. 'seed 3' or 'seeds 1, 2 and 5'."""
  *first, last = map(str, seeds)
  return f'seeds {", ".join(first)} and {last}' if first else f'seed {last}'
