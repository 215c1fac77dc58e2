"""Model cards: the README.md of an adapter on the Hugging Face hub."""

from collections.abc import Iterator
from typing import Any

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import formats
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import transformers_model
from adapters_jax.data import squad
from adapters_jax.data import tasks
from adapters_jax.model import base as base_lib

# {format: name of the library in the hub's metadata}
_LIBRARIES = {
    'own': 'adapters_jax', 'adapterhub': 'adapter-transformers', 'peft': 'peft',
    'sentence_transformers': 'sentence-transformers',
    'transformers': 'transformers'}
_SETTINGS = ('learning_rate', 'epochs', 'batch_size', 'max_length', 'seed',
             'precision')


def text(
    adapter: adapter_lib.Adapter, name: str, form: str, head: bool = True
) -> str:
  """Returns the card of an adapter, with the metadata that the hub reads.

  Args:
    adapter: Adapter.
    name: Name of the repository.
    form: Format of the files, one of formats.FORMATS.
    head: Whether the files have the head.
  """
  import huggingface_hub  # Slow to import.
  base = models.hub_name(base_lib.name_of(adapter.base)) or None
  data = huggingface_hub.ModelCardData(
      library_name=_LIBRARIES[form], base_model=base,
      pipeline_tag=(adapter.head.hub_task if _has_head(adapter, form, head)
                    else 'feature-extraction'), model_name=name.split('/')[-1],
      tags=['adapter', 'jax'], eval_results=[*_results(adapter)] or None)
  return '\n'.join((
      '---', data.to_yaml(), '---', *_lines(adapter, name, form, head)))


def _has_head(adapter: adapter_lib.Adapter, form: str, head: bool) -> bool:
  """Returns whether the files compute the adapter's task, not hidden states.

  Args:
    adapter: Adapter.
    form: Format of the files.
    head: Whether a head was asked for.
  """
  row = adapter.head
  if not row.dense:  # A pooling of hidden states.
    return form != 'transformers'
  held = ('own', 'adapterhub') if row.pretrained else (
      'own', 'adapterhub', 'peft', 'transformers')
  return head and adapter.outputs is not None and form in held


def _is_public(adapter: adapter_lib.Adapter) -> bool:
  """Returns whether an adapter's task names a public dataset."""
  settings = adapter.settings
  # Of own data, a file or the adapters of earlier versions may have its name.
  return (adapter.task in (*tasks.TASKS, squad.TASK.name)
          and not settings.get('train_file')
          and settings.get('task', adapter.task) == adapter.task)


def _results(adapter: adapter_lib.Adapter) -> Iterator[Any]:
  """Yields the scores on a public dataset as the hub's metadata has them."""
  import huggingface_hub
  if not _is_public(adapter):
    return
  for split, scores in adapter.scores.items():
    for metric, value in scores.items():
      yield huggingface_hub.EvalResult(
          task_type=adapter.head.hub_task, dataset_type=adapter.task,
          dataset_name=adapter.task, dataset_split=split, metric_type=metric,
          metric_value=value)


def _program(
    adapter: adapter_lib.Adapter, name: str, form: str, head: bool
) -> Iterator[str]:
  """Yields the lines of a program that loads the files.

  Args:
    adapter: Adapter.
    name: Name of the repository.
    form: Format of the files.
    head: Whether the files have the head.
  """
  if form in formats.WHOLE:
    loader = ('SentenceTransformer' if form == 'sentence_transformers' else
              transformers_model.auto_class(adapter) if head else 'AutoModel')
    start = '' if form == 'sentence_transformers' else '.from_pretrained'
    yield from (f'from {form} import {loader}', '',
                f'model = {loader}{start}({name!r})')
    return
  yield from (
      'import adapters_jax as aj', '',
      f'base = aj.load_base({base_lib.name_of(adapter.base) or "DIR"!r})',
      f'adapter = aj.load_adapter({name!r}, base)')


def _lines(
    adapter: adapter_lib.Adapter, name: str, form: str, head: bool
) -> Iterator[str]:
  """Yields the lines of the card below its metadata."""
  base = (base_lib.name_of(adapter.base) or base_lib.title_of(adapter.base)
          or 'an unknown base')
  # Adapters of other libraries have no settings, and the kind as their task.
  known = adapter.settings or adapter.task != adapter.head.task
  yield from (
      '', f'# {name.split("/")[-1]}', '',
      f'An adapter for `{base}`, '
      f'{"trained" if adapter.settings else "made"} with adapters_jax'
      f'{f" on {adapter.task}" if adapter.task and known else ""}'
      f'{" and folded into the base" if form in formats.WHOLE else ""}.', '',
      '```python', *_program(adapter, name, form, head), '```', '',
      '| | |', '|---|---|', f'| method | `{adapter.method}` |',
      f'| trained parameters | {adapter.trained_params:,} |',
      f'| texts | {", ".join(adapter.texts)} |')
  kept = _has_head(adapter, form, head)
  if kept and adapter.classes:
    yield f'| classes | {", ".join(adapter.classes)} |'
  if kept and adapter.threshold is not None:
    yield f'| threshold | {adapter.threshold:g} |'
  for field in _SETTINGS:
    if field in adapter.settings:
      yield f'| {field.replace("_", " ")} | {adapter.settings[field]} |'
  if adapter.scores:
    yield from ('', '| split | metric | value |', '|---|---|---:|')
  for split, scores in adapter.scores.items():
    for metric, value in scores.items():
      yield f'| {split} | {metric} | {value:.4f} |'
  yield ''
