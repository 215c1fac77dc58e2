"""Rewrites messages of runs, which name settings, for callers of `train`."""

from collections.abc import Iterator
import contextlib

from adapters_jax import errors
from adapters_jax.adapters import folders

# {setting: argument of `train`}
_ARGUMENTS = {
    'tune': 'method', 'adapter_config': 'method', 'adapters': 'under',
    'checkpoint': 'base', 'task': 'data', 'train_file': 'data',
    'dev_file': 'dev', 'dev_fraction': 'dev', 'test_file': 'test',
    'test_fraction': 'test'}

# {setting: command that shows its use, if that is no `train --SETTING=...`}
_COMMANDS = {
    'resume': 'train --workdir=... --resume',
    **{name: f'train --train_file=... --{name}=...' for name in (
        'text_columns', 'label_column', 'file_task')},
    'negative_column': 'sweep --experiment=embeddings --negative_column=...'}

# {name in other libraries: setting}
SAME = {
    'bs': 'batch_size', 'eval_steps': 'eval_every', 'lr': 'learning_rate',
    'max_len': 'max_length', 'max_seq_len': 'max_length',
    'max_seq_length': 'max_length', 'n_epochs': 'epochs',
    'num_epochs': 'epochs', 'num_train_epochs': 'epochs',
    'per_device_train_batch_size': 'batch_size', 'random_state': 'seed',
    'steps': 'max_steps', 'train_batch_size': 'batch_size',
    'warmup_ratio': 'warmup', 'wd': 'weight_decay'}


@contextlib.contextmanager
def arguments() -> Iterator[None]:
  """Replaces settings by arguments of `train` in UserErrors of the context."""
  try:
    yield
  except errors.UserError as error:
    # In place, to keep subclass and traceback.
    error.args = (errors.rewrite(str(error), _renamed), *error.args[1:])
    raise


def advice(setting: str) -> str:
  """Returns the end of a message, "... is a setting of the commands; ...".

  Args:
    setting: Setting that `train` does not take by this name.
  """
  if setting not in _ARGUMENTS:
    command = _COMMANDS.get(setting, f'train --{setting}=...')
    return ('is a setting of the commands; leave it out, or run '
            f'`adapters-jax {command}`')
  example = _renamed(setting, 'a=DIR') if setting == 'adapters' else (
      f'`{_ARGUMENTS[setting]}`')
  return f'is a setting of the commands; give {example}'


def _renamed(name: str, value: str | None) -> str:
  """Returns the argument of `train` for a setting, in backticks.

  Args:
    name: Name of the setting.
    value: Its value, None without one.
  """
  argument = _ARGUMENTS.get(name, name)
  if value is None:
    return f'`{argument}`'
  if name == 'adapters':  # Temporary folders: the user passed adapters.
    names = (part.partition('=')[0].strip() for part in folders.split(value))
    shown = ', '.join(f'{one!r}: ...' for one in names)
    return f'`{argument}={{{shown}}}`'
  if name == 'tune' and value == 'adapters':  # Names no method.
    return f"a `{argument}` such as 'lora'"
  if name == 'checkpoint':
    return f'`{argument}=load_base({value!r})`'
  if argument != name:
    return f'`{argument}={value!r}`'
  return f'`{name}={ {"true": "True", "false": "False"}.get(value, value)}`'
