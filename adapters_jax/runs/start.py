"""Continues training from a saved adapter: its method, leaves and head."""

from collections.abc import Iterator, Mapping
import contextlib
import functools
import logging
import os
import tempfile
from typing import Any

import numpy as np

from adapters_jax.downloads import paths
from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import joined_leaves
from adapters_jax.adapters import settings as settings_lib
from adapters_jax.data import memory_tasks
from adapters_jax.data import tasks
from adapters_jax.methods import strings
from adapters_jax.model import base as base_lib
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.runs import checks
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import frozen
from adapters_jax.training import frozen_cache

_log = logging.getLogger(__name__)

_WHAT = 'the adapter of `start`'


@contextlib.contextmanager
def saved(adapter: adapter_lib.Adapter | None) -> Iterator[dict[str, str]]:
  """Yields the settings of an adapter in memory, {} without.

  Args:
    adapter: Adapter, or None.
  """
  if adapter is None:
    yield {}
    return
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'start')
    with errors.within(_WHAT):
      adapter.save(path)
    yield {'start': path}


def load(folder: str) -> adapter_lib.Adapter:
  """Loads an adapter, once until its files change.

  Args:
    folder: Folder of the adapter, or workdir of a run.

  Raises:
    errors.UserError: no adapter, or one from which no training can start.
  """
  folder = paths.expanded(folder, 'start')
  adapter = _load(folder, frozen.stamp(folder))
  check(adapter)
  return adapter


@functools.lru_cache(maxsize=2)
def _load(folder: str, stamp: Any) -> adapter_lib.Adapter:
  del stamp
  return adapter_lib.load(folder)


def check(adapter: adapter_lib.Adapter) -> None:
  """Raises UserError for an adapter from which no training can start."""
  if adapter.setup is not None:
    one = adapter.members[-1][0]
    raise errors.UserError(
        f'`start`: {adapter.method} is a setup of several adapters; save one '
        f'of them, as in aj.member(adapter, {one!r}), and give the others as '
        'adapters that stay frozen below it')
  if not adapter.tuned:
    raise errors.UserError(
        '`start`: it has no trained parameters; leave it out')


def settings_of(adapter: adapter_lib.Adapter, layers: int) -> dict[str, Any]:
  """Returns the default settings of training that starts from an adapter.

  Args:
    adapter: Adapter.
    layers: Number of layers of its base.
  """
  norms = {trees.layer_of(path) for path in trees.flatten(adapter.tuned)
           if trees.role(path) == 'norm'}
  # From the leaves: merged and imported adapters have no settings.
  kept = adapter.settings.get('norm_layers') if not norms else (
      'same' if norms <= {layer for layer in range(layers)
                          if frozen_cache.adapted(adapter.methods, layer)}
      else 'all')
  mode = adapter.head_input.removeprefix(heads.embedding.PREFIX)
  return {
      **_method(adapter, layers),
      **({'tune_norms': bool(norms)} if adapter.methods else {}),
      **({'norm_layers': kept} if kept in checks.CHOICES['norm_layers']
         else {}),
      'head_input': _head_input(adapter.head),
      'pooling': mode if mode in heads.embedding.ROWS else '',
      'hidden_activation': adapter.hidden_activation,
      'max_length': adapter.max_length}


def of_kind(
    values: Mapping[str, Any], kind: Any, form: str
) -> dict[str, Any]:
  """Resets settings from a start that a kind of task does not read.

  Args:
    values: Result of `settings_of`, or all settings of a run.
    kind: Kind of the task, a `kinds.kind.Kind`.
    form: Form of its labels, one of data.tasks.FORMS.
  """
  found = dict(values)
  name = heads.head.name_of(form, found['head_input'])
  if not kind.of_texts or name not in heads.HEADS:
    found['head_input'] = config_lib.Config.head_input
  if 'embeddings' not in kind.reads:
    found['pooling'] = config_lib.Config.pooling
  return found


def _head_input(head: heads.Head) -> str:
  """Returns the setting `head_input` that gives a head, or else the default."""
  for form in tasks.FORMS:
    for name in checks.CHOICES['head_input']:
      if heads.head.name_of(form, name) == head.name:
        return name
  return config_lib.Config.head_input


def _method(adapter: adapter_lib.Adapter, layers: int) -> dict[str, Any]:
  """Returns the settings of an adapter's method.

  Args:
    adapter: Adapter.
    layers: Number of layers of its base.
  """
  if adapter.methods:
    return {'tune': 'adapters', 'adapter_config': adapter.method}
  paths = list(trees.flatten(adapter.tuned))
  weights = [path for path in paths if trees.role(path) == 'encoder'
             and not path.startswith('pooler/')]
  if not weights:
    return {'tune': 'norms' if any(
        trees.role(path) == 'norm' for path in paths) else 'head'}
  if all(path.endswith('/bias') for path in weights):
    return {'tune': 'bias'}
  numbers = [trees.layer_of(path) for path in weights]
  lowest = min((number for number in numbers if number is not None), default=0)
  if lowest and not any(path.startswith(trees.BELOW) for path in paths):
    return {'tune': 'top_k', 'top_k': layers - lowest}
  return {'tune': 'full'}


def check_method(
    adapter: adapter_lib.Adapter, method: str, layers: int
) -> None:
  """Checks that the argument `method` agrees with `start`.

  Args:
    adapter: Adapter of `start`.
    method: Method string, a value of `tune`, or ''.
    layers: Number of layers of its base.

  Raises:
    errors.UserError: another method than that of the adapter.
  """
  own = _method(adapter, layers)
  if not method or method == own['tune'] != 'adapters':
    return
  # Texts: the class of a notebook's method may have been defined again.
  if method in checks.CHOICES['tune'] or strings.render(
      strings.parse(method, '`method`')) != own.get('adapter_config'):
    raise errors.UserError(
        f'`method={method}`: {_WHAT} has the method '
        f'{own.get("adapter_config", own["tune"])}; leave it out')


def of(config: config_lib.Config) -> adapter_lib.Adapter | None:
  """Returns the adapter that a run starts from, or None.

  Args:
    config: Settings.

  Raises:
    errors.UserError: a folder without an adapter, an adapter of another base,
      or settings of another method.
  """
  if not config.start:
    return None
  adapter = load(config.start)
  compiled.check_base(base_lib.identity(config.checkpoint), adapter, _WHAT)
  layers = pretrained.config_of(config.checkpoint).layers
  own = _method(adapter, layers)
  if config.tune != own['tune']:
    raise errors.UserError(
        f'`tune={config.tune}`: {_WHAT} was trained with '
        f'`tune={own["tune"]}`; leave it out')
  if settings_lib.methods_of(vars(config), layers) != adapter.methods:
    raise errors.UserError(
        f'`adapter_config={config.adapter_config}`: {_WHAT} has the method '
        f'{adapter.method}; leave it out')
  frozen.check_activation(
      config.checkpoint, config.hidden_activation, adapter, _WHAT)
  return adapter


def leaves(
    config: config_lib.Config, head: heads.Head, task: tasks.Task
) -> trees.Tree:
  """Returns the leaves that a run takes from its `start`, {} without one.

  They include the head if its kind and its classes are those of the run.

  Args:
    config: Settings.
    head: Head of the run.
    task: Task of the run.
  """
  adapter = of(config)
  if adapter is None:
    return {}
  found = dict(adapter.tuned)
  if not head.pooled:
    found.pop('pooler', None)
  order = _order(adapter, head, task)
  if order is None:
    found = {name: part for name, part in found.items()
             if not trees.is_head(name)}
  elif order != list(range(len(order))):
    found['head'] = {name: np.asarray(leaf)[..., order]
                     for name, leaf in found['head'].items()}
  return joined_leaves.shifted(found, len(frozen.of(config).methods), 0)


def _order(
    adapter: adapter_lib.Adapter, head: heads.Head, task: tasks.Task
) -> list[int] | None:
  """Returns the outputs of an adapter's head in the order of a task's classes.

  Args:
    adapter: Adapter of the start.
    head: Head of the run.
    task: Task of the run.

  Returns:
    Numbers of the outputs, [] for outputs that are no classes; None where the
    head is not kept. A head that is initialised again is logged, as a warning
    where the adapter's own might have been meant.
  """
  if not head.dense:  # It has no parameters.
    return None
  level, reason = logging.INFO, ''
  if adapter.outputs is None:
    reason = 'it has none'
  elif adapter.head.name != head.name:
    reason = f'its own is of the kind {adapter.head.name}, not {head.name}'
  elif head.least_classes is not None:
    classes = adapter.classes
    if set(classes) == set(task.labels) and len(classes) == len(task.labels):
      number = {name: at for at, name in enumerate(classes)}
      return [number[name] for name in task.labels]
    level = logging.WARNING
    reason = (f'its own has {_listed(classes)}, and the task '
              f'{_listed(task.labels)}{_way(adapter, task)}')
  if not reason:
    return []
  _log.log(
      level, 'start: the head of the adapter is initialised again, as %s',
      reason)
  return None


def _way(adapter: adapter_lib.Adapter, task: tasks.Task) -> str:
  """Returns the end of a message: advice that would keep a head, if any would.

  Args:
    adapter: Adapter of the start, whose head is of the task's kind.
    task: Task of the run.
  """
  if not adapter.labels and adapter.outputs == len(task.labels) > 0:
    return ('; to keep it, name its outputs with '
            'dataclasses.replace(adapter, labels=...)')
  if task.name == memory_tasks.NAME and {*task.labels} < {*adapter.classes}:
    return '; to keep it, give Examples the `names` of all its classes'
  return ''


def _listed(classes: tuple[str, ...]) -> str:
  """Returns the names of classes for a message."""
  return f'the classes {errors.listed(classes, 6)}' if classes else 'a score'
