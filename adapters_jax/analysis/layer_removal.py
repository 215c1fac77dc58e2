"""Removal of trained adapters from spans of layers (section 3.6, figure 6).

Removal changes data, not the program: with zeros in the tree that the compiled
evaluation reads, the adapters of a layer add nothing. So all spans share one
program per batch shape.
"""

from collections.abc import Callable, Iterator
import os
from typing import Any

import numpy as np

from adapters_jax.adapters import settings
from adapters_jax.adapters import storage
from adapters_jax.adapters import switching
from adapters_jax.data import metrics
from adapters_jax.data import tasks
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax import errors
from adapters_jax.methods import bottleneck
from adapters_jax.methods import bottleneck_fields
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records
from adapters_jax.runs import options
from adapters_jax.runs import session
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs.kinds import classification
from adapters_jax import trees


def spans(layers: int) -> Iterator[tuple[int, int]]:
  """Yields (first, last) of every span of layers, both included."""
  for first in range(layers):
    for last in range(first, layers):
      yield first, last


def without_layers(
    tuned: trees.Tree, first: int, last: int,
    base: trees.Tree | None = None,
) -> trees.Tree:
  """Returns the tuned tree without the adapters of layers first to last.

  Args:
    tuned: Tuned tree with the paper's bottleneck adapters. A zero `up` makes
      them the identity.
    first: First layer of the span.
    last: Last layer of the span, included.
    base: Pretrained tree whose layer norms replace the tuned ones in the span;
      None keeps the tuned ones.

  Returns:
    A tree of the same paths, shapes and types.
  """
  off = switching.neutral(tuned, (bottleneck.Bottleneck(),), base)
  return switching.chosen(
      tuned, off, range(first, last + 1), restore_norms=base is not None)


def adapts_all_layers(record: records.Record) -> bool:
  """Returns whether a run has adapters in all layers, at both sublayers."""
  values = identity.completed(record.config)
  if values['tune'] != 'adapters' or values['adapter_config']:
    return False
  # Without adapter_config there is one method, the default bottleneck.
  method, = settings.methods_of(values, None)
  return method.layers is None and method.sites == bottleneck_fields.SITES


def map_path(
    folder: str, record: records.Record, restore_norms: bool
) -> str:
  """Returns the path of the scores of a run's spans in a folder.

  Args:
    folder: Folder of the scores.
    record: Record of the run.
    restore_norms: Whether the spans' layer norms are the pretrained ones.
  """
  name = identity.digest(record.config)
  return os.path.join(folder, config_lib.task_of(record.config),
                      f'{name}{"-norms" * restore_norms}.json')


def span_scores(
    record: records.Record, folder: str, config: config_lib.Config, *,
    restore_norms: bool, path: str,
) -> dict[str, Any]:
  """Scores a run on dev without the adapters of each span of layers.

  Args:
    record: Record of the run.
    folder: Workdir of the run, with the adapter.
    config: Settings with the places of data and base; the others come from
      `record`.
    restore_norms: Whether a span's layer norms are the pretrained ones.
    path: JSON file of the result, which is read if it exists.

  Returns:
    {'config': settings, 'restore_norms', 'layers': number of layers,
    'majority': {metric: score} of the most frequent class, empty for
    regression, 'whole': {metric: score} with all adapters, 'without': {'i-j':
    {metric: score}}}

  Raises:
    errors.UserError: the run's adapter is not on this machine.
  """
  if os.path.exists(path):
    return json_files.read(path)
  adapter = os.path.join(folder, 'adapter')
  if not os.path.isdir(adapter):
    raise errors.UserError(
        f'`records`: the run of {folder} left no adapter there, only a record; '
        'run it again without `records`')
  config = settings_of(record, folder, config)
  tuned, _ = storage.load_tuned(adapter)
  with session.computing(config):
    setup = setup_lib.prepare(config)
    layers = setup.model.config.layers
    score = classification.Scorer(setup, config.batch_size)
    # Only for its norms: `setup.base` lacks the leaves that were tuned.
    base = pretrained.load_base(
        pretrained.resolve(config.checkpoint),
        pooler=config.head_input == 'pooler') if restore_norms else None
    found = {
        'config': record.config, 'restore_norms': restore_norms,
        'layers': layers,
        'majority': _majority(setup.task, setup.splits['dev'].labels),
        **_scores(lambda tree: score(tree, 'dev')[0], tuned, layers,
                  base)}
  atomic.write_json(path, found)
  return found


def settings_of(
    record: records.Record, folder: str, config: config_lib.Config
) -> config_lib.Config:
  """Returns the settings of a record, with the places of other settings.

  Args:
    record: Record of a run.
    folder: Workdir of the run.
    config: Settings with the places of data and base.
  """
  # A record has hashes in place of paths, and no places.
  places = {name: getattr(config, name)
            for name in (*options.marked(config_lib.Config, 'where'),
                         *options.marked(config_lib.Config, 'path'),
                         *options.marked(config_lib.Config, 'folders'))}
  if '@' in record.config['checkpoint']:  # A folder, by its content.
    places['checkpoint'] = config.checkpoint
  return identity.of_portable(
      record.config, **{**places, 'workdir': folder})


def _majority(task: tasks.Task, labels: np.ndarray) -> dict[str, float]:
  """Returns the scores of always predicting the most frequent class."""
  if not task.labels or task.form == 'multilabel':
    return {}
  most = np.bincount(labels).argmax()
  return metrics.compute(
      task.metrics, labels, np.full_like(labels, most),
      np.zeros((len(labels), len(task.labels))))


def _scores(
    score: Callable[[trees.Tree], dict[str, float]], tuned: trees.Tree,
    layers: int, base: trees.Tree | None,
) -> dict[str, Any]:
  return {
      'whole': score(tuned),
      'without': {
          f'{first}-{last}': score(without_layers(tuned, first, last, base))
          for first, last in spans(layers)}}


def table(found: dict[str, Any]) -> str:
  """Returns the first metric as text, a row for each first layer of a span."""
  metric = next(iter(found['whole']))
  layers = found['layers']
  whole = found['whole'][metric]
  lines = [f'{metric} on dev: {100 * whole:.1f}; without the adapters of '
           'layers i (row) to j (column):',
           '    ' + ''.join(f'{last:6}' for last in range(layers))]
  for first in range(layers):
    cells = ''.join(
        f'{100 * found["without"][f"{first}-{last}"][metric]:6.1f}'
        for last in range(first, layers))
    # Spans end at or after their first layer: an upper triangle.
    lines.append(f'{first:4}' + 6 * first * ' ' + cells)
  return '\n'.join(lines)
