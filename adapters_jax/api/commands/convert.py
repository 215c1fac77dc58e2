"""Converts adapters between this package's folders and other libraries'.

The format of `--from` is detected; `--format` is that of `--to`: 'own' (the
default; `predict` reads it), 'adapterhub', 'peft', or 'adapter_bert' (a .npz of
the authors' TensorFlow variables).
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
from typing import Any

from absl import app
from absl import flags

from adapters_jax import errors
from adapters_jax.adapters import formats
from adapters_jax.api import flags as flags_lib
from adapters_jax.api import help as help_lib

# {flag: (default, help)}; no dataclass, since 'from' cannot name a field.
_FLAGS = {
    'from': ('', 'Folder (or .npz file) to read.'),
    'to': ('', 'Folder (or .npz file) to write.'),
    'format': ('own', f'One of {", ".join(formats.FORMATS)}.'),
    'checkpoint': ('minilm-l6', 'Base that the adapter is for.'),
    'name': ('adapter', 'Name of the adapter in the files.'),
    'labels': ([], 'Names of the classes, where the files have none.'),
    'head': (True, 'Whether to convert the head, too.')}
_DEFINE: dict[type, Callable[..., Any]] = {
    str: flags.DEFINE_string, list: flags.DEFINE_list, bool: flags.DEFINE_bool}


def convert(
    source: str, target: str, form: str, *, checkpoint: str, name: str,
    labels: Sequence[str] = (), head: bool = True,
) -> list[str]:
  """Reads an adapter of any format and writes it in another.

  Args:
    source: Folder, or .npz file.
    target: Folder, or .npz file.
    form: Format of the target, one of formats.FORMATS.
    checkpoint: Name or folder of the base that the adapter is for.
    name: Name of the adapter in AdapterHub's files.
    labels: Class names, where the files have none.
    head: Whether to read and write the head.

  Returns:
    Lines for the user: the method and the target, then notes.

  Raises:
    errors.UserError: a wrong format, or an adapter that it cannot hold.
  """
  if form not in formats.FORMATS:
    raise errors.unknown('`format`', form, formats.FORMATS)
  if not source or not target:
    raise errors.UserError('give both --from and --to')
  from adapters_jax.adapters import exchange  # Slow imports: after the checks.
  from adapters_jax.model import pretrained
  shape = pretrained.config_of(checkpoint)
  with _path_of('from'):
    adapter = exchange.read(source, shape, head)
  if labels:
    adapter = dataclasses.replace(adapter, labels=tuple(labels))
  with _path_of('to'):
    notes = exchange.write(
        target, adapter, form, name=name, checkpoint=checkpoint, head=head)
  return [f'{adapter.method} -> {target}', *(f'note: {n}' for n in notes)]


@contextlib.contextmanager
def _path_of(flag: str) -> Iterator[None]:
  """Names a flag in messages on the argument `path` of reading and writing."""
  try:
    yield
  except errors.UserError as error:
    raise errors.UserError(str(error).replace('`path', f'`{flag}')) from error


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags of the command."""
  for name, (default, text) in _FLAGS.items():
    _DEFINE[type(default)](name, default, text, flag_values=values)


def run(values: flags.FlagValues = flags.FLAGS) -> None:
  """Converts by the flags; a UserError prints one line, exit status 2."""
  try:
    print('\n'.join(convert(
        values['from'].value, values['to'].value, values['format'].value,
        checkpoint=values['checkpoint'].value, name=values['name'].value,
        labels=values['labels'].value, head=values['head'].value)))
  except (errors.UserError, OSError) as error:
    flags_lib.fail(errors.as_flags(str(error), set(values)))


def start() -> None:
  """Runs the command with the flags of the command line."""
  define()
  if not help_lib.shown({'flags': list(_FLAGS)}):
    app.run(lambda _: run(), flags_parser=flags_lib.parse_argv)
