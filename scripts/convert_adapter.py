"""Converts an adapter between this package's folders and other libraries'.

  python -m scripts.convert_adapter --from=runs/glue/.../adapter \
      --to=exported --format=adapterhub
  python -m scripts.convert_adapter --from=theirs --to=ours \
      --checkpoint=bert-base-folder

The format of `--from` is found out; `--format` is that of `--to`: 'own' (the
default; `experiments.predict` reads it), 'adapterhub', 'peft', or
'adapter_bert' (a .npz of the authors' TensorFlow variables).
"""

from collections.abc import Sequence
import dataclasses
import json
import os
import sys

from absl import app
from absl import flags
import numpy as np

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapter_bert
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import peft
from adapters_jax.adapters.formats import peft_writing
from adapters_jax.adapters import storage
from adapters_jax.data import squad
from adapters_jax.data import tasks
from adapters_jax import errors
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import setup
from adapters_jax import trees

FORMATS = ('own', 'adapterhub', 'peft', 'adapter_bert')

_FROM = flags.DEFINE_string('from', '', 'Folder (or .npz file) to read.')
_TO = flags.DEFINE_string('to', '', 'Folder (or .npz file) to write.')
_FORMAT = flags.DEFINE_string('format', 'own', f'One of {", ".join(FORMATS)}.')
_CHECKPOINT = flags.DEFINE_string(
    'checkpoint', 'minilm-l6', 'Pretrained BERT that the adapter is for.')
_NAME = flags.DEFINE_string('name', 'adapter', 'What to call it in the files.')
_LABELS = flags.DEFINE_list(
    'labels', [], 'Names of the classes, where the files have none.')


def find_format(path: str) -> str:
  """Returns which of FORMATS a folder or file is of.

  Raises:
    options.UserError: none of them.
  """
  if path.endswith('.npz') and os.path.isfile(path):
    return 'adapter_bert'
  if os.path.isfile(os.path.join(path, storage.WEIGHTS)):
    return 'own'
  config = os.path.join(path, adapterhub.CONFIG)
  if not os.path.isfile(config):
    raise errors.UserError(
        f'--from={path}: there is no {storage.WEIGHTS}, no '
        f'{adapterhub.CONFIG}, and it is no .npz')
  try:
    with open(config, encoding='utf-8') as file:
      values = json.load(file)
  except ValueError as error:
    raise errors.UserError(
        f'--from: {config} cannot be read ({error})') from error
  known = isinstance(values, dict) and 'peft_type' in values
  return 'peft' if known else 'adapterhub'


def read(path: str, shape: encoder.BertConfig) -> adapter_lib.Adapter:
  """Returns the adapter of a folder or file of any of FORMATS."""
  form = find_format(path)
  try:
    if form == 'own':
      return read_own(path, shape)
    if form == 'adapterhub':
      return adapterhub.read(path, shape)[1]
    if form == 'peft':
      return peft.read(path, shape)
  except (AttributeError, KeyError, TypeError) as error:
    raise errors.UserError(
        f'--from={path}: its JSON is not as it should be ({error!r})'
    ) from error
  try:
    with np.load(path) as archive:
      variables = dict(archive)
  except Exception as error:  # The library raises several kinds.
    raise errors.UserError(
        f'--from: {path} cannot be read ({error})') from error
  return adapter_bert.from_variables(variables, shape)


def read_own(folder: str, shape: encoder.BertConfig) -> adapter_lib.Adapter:
  """Returns the adapter of a folder that a run has saved.

  Raises:
    options.UserError: it is not there, has no adapter or fits another base.
  """
  tuned, settings = storage.load_tuned(folder)
  known = {field.name for field in dataclasses.fields(config_lib.Config)}
  config = config_lib.Config(**{
      k: v for k, v in settings['config'].items() if k in known})
  adapter = adapter_lib.Adapter(
      setup.adapter_configs(config, shape.layers), tuned,
      'tokens' if settings['task'] == squad.TASK.name else config.head_input,
      tuple(settings['labels']))
  if not adapter.methods and config.tune != 'norms':
    raise errors.UserError(
        f'--from={folder}: a run with --tune={config.tune} has no adapter')
  wanted = adapterhub.adapter_shapes(adapter.methods, shape)
  own, _ = trees.split(
      tuned, lambda path: trees.role(path) in ('adapter', 'fixed'))
  try:
    trees.check_same(own, trees.unflatten(wanted), f'--from={folder}')
  except ValueError as error:
    raise errors.UserError(str(error)) from error
  return adapter


def write_own(
    folder: str, adapter: adapter_lib.Adapter, checkpoint: str
) -> None:
  """Writes a folder like that of a run, for `experiments.predict`."""
  if adapter.outputs is None:
    raise errors.UserError('the adapter has no head, which a folder here has')
  answers = adapter.head_input == 'tokens'
  labels = () if answers else adapter.labels or tuple(
      str(n) for n in range(adapter.outputs) if adapter.outputs > 1)
  if not answers and max(1, len(labels)) != adapter.outputs:
    raise errors.UserError(
        f'--labels: the head has {adapter.outputs} outputs, not {len(labels)}')
  config = config_lib.Config(
      tune='adapters' if adapter.methods else 'norms',
      adapter_config=strings.render(adapter.methods), checkpoint=checkpoint,
      head_input='cls' if answers else adapter.head_input)
  task = tasks.Task(
      name='converted', source='', texts=('text',), labels=labels, metrics=())
  if answers:
    positions = pretrained.config_of(checkpoint).positions
    task, config = squad.TASK, dataclasses.replace(
        config, max_length=min(384, positions))
  storage.save_tuned(
      folder, adapter.tuned,
      setup.artefact(config_lib.portable(config), task))


def main(_: Sequence[str]) -> None:
  """Reads, converts and writes, as the flags say."""
  if _FORMAT.value not in FORMATS:
    raise errors.unknown('--format', _FORMAT.value, FORMATS)
  if not _FROM.value or not _TO.value:
    raise errors.UserError('give both --from and --to')
  shape = pretrained.config_of(_CHECKPOINT.value)
  adapter = read(_FROM.value, shape)
  if _LABELS.value:
    adapter = dataclasses.replace(adapter, labels=tuple(_LABELS.value))
  notes = []
  if _FORMAT.value == 'own':
    write_own(_TO.value, adapter, _CHECKPOINT.value)
  elif _FORMAT.value == 'adapterhub':
    base = pretrained.load_base(pretrained.resolve(_CHECKPOINT.value))
    notes = adapterhub.write(_TO.value, _NAME.value, adapter, base, shape)
  elif _FORMAT.value == 'peft':
    notes = peft_writing.write(_TO.value, adapter, shape)
  else:
    np.savez(_TO.value, **adapter_bert.to_variables(adapter))
  print(f'{adapter.method} -> {_TO.value}')
  for note in notes:
    print(f'note: {note}')


def run(argv: Sequence[str]) -> None:
  """Runs main; a user's error is one line and exit status 2."""
  try:
    main(argv)
  except (errors.UserError, OSError) as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
  app.run(run)
