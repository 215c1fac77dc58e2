"""Trained adapters taken out of spans of layers (section 3.6, figure 6).

Removal is data: the adapters of a layer are made to add nothing, in the tree
that the compiled evaluation reads, so that all spans share one program for each
batch shape.
"""

from collections.abc import Callable, Iterator
import json
import os
from typing import Any

import jax
import numpy as np

from adapters_jax.adapters import storage
from adapters_jax.data import metrics
from adapters_jax.data import tasks
from adapters_jax.downloads import atomic
from adapters_jax import errors
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records
from adapters_jax.runs import run
from adapters_jax.runs import setup as setup_lib
from adapters_jax.training import precision
from adapters_jax import trees


def spans(layers: int) -> Iterator[tuple[int, int]]:
  """Yields (first, last) of every span of layers, both included."""
  for first in range(layers):
    for last in range(first, layers):
      yield first, last


def remove(
    tuned: trees.Tree, first: int, last: int,
    base: trees.Tree | None = None,
) -> trees.Tree:
  """Returns the tuned tree without the adapters of layers first to last.

  Args:
    tuned: With bottleneck adapters, whose output is their input when `up` is
      zero: any without a norm of its own at the end.
    first: The first layer of the span.
    last: Its last layer, included.
    base: A pretrained tree, whose layer norms to put back in the span; None to
      keep the tuned ones.

  Returns:
    A tree of the same paths, shapes and types.
  """
  pretrained_leaves = trees.flatten(base or {})

  def change(path, leaf):
    layer = trees.layer_of(path)
    if layer is None or not first <= layer <= last:
      return leaf
    if trees.role(path) == 'adapter' and '/up/' in path:
      return 0 * leaf
    if trees.role(path) == 'norm' and path in pretrained_leaves:
      return pretrained_leaves[path].astype(leaf.dtype)
    return leaf

  return trees.map_with_path(change, tuned)


def complete(record: records.Record) -> bool:
  """Returns whether a run has adapters in all layers, at both sublayers."""
  values = config_lib.completed(record.config)
  names = ('adapter_layers', 'adapter_sites', 'adapter_config')
  return values['tune'] == 'adapters' and all(
      values[name] == getattr(config_lib.Config, name) for name in names)


def path_of(
    folder: str, record: records.Record, restore_norms: bool
) -> str:
  """Returns where the scores of a run's spans are in a folder."""
  name = config_lib.digest(record.config)
  return os.path.join(folder, config_lib.task_of(record.config),
                      f'{name}{"-norms" * restore_norms}.json')


def span_scores(
    record: records.Record, folder: str, config: config_lib.Config, *,
    restore_norms: bool, path: str,
) -> dict[str, Any]:
  """Scores a run on dev without the adapters of each span, or finds it done.

  Args:
    record: Of the run.
    folder: Its workdir, with the adapter.
    config: Where its data and checkpoint are; `record` has the other settings.
    restore_norms: Whether a span's layer norms are the pretrained ones.
    path: Of the JSON file with the result.

  Returns:
    'config': the run's; 'restore_norms'; 'layers': of the model; 'majority':
    {metric: score} of always the most frequent class, empty for regression;
    'whole': that with all adapters; 'without': {'i-j': {metric: score}}.

  Raises:
    options.UserError: the run's adapter is not on this machine.
  """
  if os.path.exists(path):
    with open(path, encoding='utf-8') as file:
      return json.load(file)
  adapter = os.path.join(folder, 'adapter')
  if not os.path.isdir(adapter):
    raise errors.UserError(
        f'--records: the run of {folder} left no adapter there, only a record; '
        'run it anew without --records')
  paths = {name: getattr(config, name)
           for name in (*config_lib.PATHS, 'checkpoint', 'train_file',
                        'dev_file', 'test_file')}
  config = config_lib.Config(**{
      **config_lib.completed(record.config), **paths, 'workdir': folder})
  tuned, _ = storage.load_tuned(adapter)
  shape = pretrained.config_of(config.checkpoint)
  chosen = precision.choose(config.precision, shape.dim // shape.heads)
  run.enable_compilation_cache()
  with jax.default_matmul_precision(chosen.matmul):
    setup = setup_lib.prepare(config)
    score = run.make_score(setup, config.batch_size)
    base = pretrained.load_base(
        pretrained.resolve(config.checkpoint),
        pooler=config.head_input == 'pooler') if restore_norms else None
    found = {
        'config': record.config, 'restore_norms': restore_norms,
        'layers': shape.layers,
        'majority': _majority(setup.task, setup.splits['dev'].labels),
        **_scores(lambda tree: score(tree, 'dev')[0], tuned, shape.layers,
                  base)}
  atomic.write_json(path, found)
  return found


def _majority(task: tasks.Task, labels: np.ndarray) -> dict[str, float]:
  if not task.labels:
    return {}
  most = np.bincount(labels).argmax()
  return metrics.compute(task.metrics, labels, np.full_like(labels, most))


def _scores(
    score: Callable[[trees.Tree], dict[str, float]], tuned: trees.Tree,
    layers: int, base: trees.Tree | None,
) -> dict[str, Any]:
  return {
      'whole': score(tuned),
      'without': {f'{first}-{last}': score(remove(tuned, first, last, base))
                  for first, last in spans(layers)}}


def table(found: dict[str, Any]) -> str:
  """Returns the first metric as text: rows first layers, columns last ones."""
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
    lines.append(f'{first:4}' + 6 * first * ' ' + cells)
  return '\n'.join(lines)
