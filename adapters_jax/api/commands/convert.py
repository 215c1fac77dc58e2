"""Converts adapters between this package's folders and other libraries'.

The format of `--from` is detected; `--format` is that of `--to`: 'own' (the
default; `predict` reads it), 'adapterhub', 'peft', or 'adapter_bert' (a .npz of
the authors' TensorFlow variables).
"""

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import sys

from absl import app
from absl import flags

from adapters_jax import errors
from adapters_jax.api import flags as flags_lib
from adapters_jax.api import help as help_lib

_FLAGS = ('from', 'to', 'format', 'checkpoint', 'name', 'labels', 'head')
# A copy of `exchange.FORMATS`, which imports JAX.
FORMATS = ('own', 'adapterhub', 'peft', 'adapter_bert')


def convert(
    source: str, target: str, form: str, *, checkpoint: str, name: str,
    labels: Sequence[str] = (), head: bool = True,
) -> list[str]:
  """Reads an adapter of any format and writes it in another.

  Args:
    source: Folder, or .npz file.
    target: Folder, or .npz file.
    form: Format of the target, one of FORMATS.
    checkpoint: Name or folder of the base that the adapter is for.
    name: Name of the adapter in AdapterHub's files.
    labels: Class names, where the files have none.
    head: Whether to read and write the head.

  Returns:
    Lines for the user: the method and the target, then notes.

  Raises:
    errors.UserError: a wrong format, or an adapter that it cannot hold.
  """
  if form not in FORMATS:
    raise errors.unknown('`format`', form, FORMATS)
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
  def string(name, default, help_text):
    flags.DEFINE_string(name, default, help_text, flag_values=values)

  # No dataclass as elsewhere: 'from' cannot name a field.
  string('from', '', 'Folder (or .npz file) to read.')
  string('to', '', 'Folder (or .npz file) to write.')
  string('format', 'own', f'One of {", ".join(FORMATS)}.')
  string('checkpoint', 'minilm-l6', 'Base that the adapter is for.')
  string('name', 'adapter', 'Name of the adapter in the files.')
  flags.DEFINE_list(
      'labels', [], 'Names of the classes, where the files have none.',
      flag_values=values)
  flags.DEFINE_bool(
      'head', True, 'Whether to convert the head, too.', flag_values=values)


def run(values: flags.FlagValues = flags.FLAGS) -> None:
  """Converts by the flags; a UserError prints one line, exit status 2."""
  try:
    print('\n'.join(convert(
        values['from'].value, values['to'].value, values['format'].value,
        checkpoint=values['checkpoint'].value, name=values['name'].value,
        labels=values['labels'].value, head=values['head'].value)))
  except (errors.UserError, OSError) as error:
    print(f'error: {errors.as_flags(str(error), set(values))}',
          file=sys.stderr)
    sys.exit(2)


def start() -> None:
  """Runs the command with the flags of the command line."""
  define()
  if wanted := help_lib.asked(sys.argv):
    print(help_lib.text({'flags': _FLAGS}, wanted == '--helpfull'), end='')
    return
  app.run(lambda _: run(), flags_parser=flags_lib.parse)
