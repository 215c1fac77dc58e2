"""Converts adapters between this package's folders and other libraries'.

The format of `--from` is detected; `--format` is that of `--to`: 'own' (the
default; `predict` reads it), 'adapterhub', 'peft', 'adapter_bert' (a .npz of
the authors' TensorFlow variables), 'sentence_transformers' (the whole encoder)
or 'transformers' (the whole model with its head). `--push=OWNER/NAME` sends the
result to the Hugging Face hub, with a model card.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import os
from typing import Any

from absl import app
from absl import flags

from adapters_jax import errors
from adapters_jax.adapters import formats
from adapters_jax.api import ending
from adapters_jax.api import flags as flags_lib
from adapters_jax.api import help as help_lib
from adapters_jax.downloads import disk
from adapters_jax.downloads import paths
from adapters_jax.runs import signals

_DEFAULT = 'minilm-l6'  # Base assumed for files that name none.
# {flag: (default, help)}; no dataclass, since 'from' cannot name a field.
_FLAGS = {
    'from': ('', "A run's workdir, an adapter's folder, a .npz file or a name "
             'on the Hugging Face hub to read.'),
    'to': ('', 'Folder or .npz file to write.'),
    'push': ('', 'Repository of the Hugging Face hub to write, OWNER/NAME; log '
             "in first with 'hf auth login'."),
    'private': (False, 'Whether a new repository of --push is private.'),
    'format': ('own', f'Format to write: {", ".join(formats.FORMATS)}.'),
    'checkpoint': (
        '', 'Base that the adapter is for; when empty, the one that its files '
        f'name, or {_DEFAULT} if they name none.'),
    'name': ('adapter', "Name of the adapter in AdapterHub's files."),
    'labels': ([], 'Names of the classes with commas, where the files have '
               'none.'),
    'head': (True, 'Whether to convert the head too.')}
_DEFINE: dict[type, Callable[..., Any]] = {
    str: flags.DEFINE_string, list: flags.DEFINE_list, bool: flags.DEFINE_bool}


def convert(
    source: paths.Path, target: paths.Path, form: str, *,
    checkpoint: paths.Path = '', name: str = 'adapter',
    labels: Sequence[str] = (), head: bool = True, push: str = '',
    private: bool = False,
) -> list[str]:
  """Reads an adapter of any format and writes it in another.

  Args:
    source: Workdir of a run, folder, .npz file, or name on the hub.
    target: Folder, or .npz file; '' for `push` alone.
    form: Format of the target, one of formats.FORMATS.
    checkpoint: Name or folder of the base that the adapter is for; '' for the
      one that its files name, or the default one.
    name: Name of the adapter in AdapterHub's files.
    labels: Class names, where the files have none.
    head: Whether to read and write the head.
    push: Repository of the hub to write too, '' for none.
    private: Whether a new repository is private.

  Returns:
    Lines for the user: the method and each target, then notes.

  Raises:
    errors.UserError: a wrong format, or an adapter that it cannot hold.
  """
  if form not in formats.FORMATS:
    raise errors.unknown('`format`', form, formats.FORMATS)
  source, target = paths.text(source, 'from'), paths.text(target, 'to')
  checkpoint = paths.text(checkpoint, 'checkpoint')
  for flag, value in (('from', source), ('to', target or push)):
    if not value:
      raise errors.UserError(f'`{flag}`: name the folder or .npz file')
  if private and not push:
    raise errors.UserError('`private`: is for `push`')
  if target and os.path.realpath(source) == os.path.realpath(target):
    raise errors.UserError('`to`: give another folder than `from`')
  from adapters_jax.adapters import exchange  # Slow imports: after the checks.
  from adapters_jax.adapters import pushing
  if push:
    with _path_of('push', 'name'):
      pushing.check(push, form)
  adapter, checkpoint = _read(source, checkpoint, head)
  if labels:
    adapter = dataclasses.replace(adapter, labels=tuple(labels))
    adapter.check_labels()
  done, notes = [], []  # Notes of both places are printed once.
  if target:
    with _path_of('to'):
      notes = exchange.write(
          target, adapter, form, name=name, checkpoint=checkpoint, head=head)
    done.append(target)
  if push:
    with _path_of('push', 'name'):
      address, more = pushing.push_for(
          adapter, push, form, checkpoint, head=head, private=private)
    done.append(address)
    notes += more
  return [*(f'{adapter.method} -> {place}' for place in done),
          *(f'note: {n}' for n in dict.fromkeys(notes))]


def _read(source: str, checkpoint: str, head: bool) -> tuple[Any, str]:
  """Returns (adapter, name or folder of its base); see `convert`."""
  from adapters_jax.adapters import compiled
  from adapters_jax.adapters import exchange
  from adapters_jax.adapters import locations
  from adapters_jax.model import base as base_lib
  from adapters_jax.model import pretrained
  with _path_of('from'):
    source = locations.find(source)
    checkpoint = checkpoint or _base_of(source)
  shape = pretrained.config_of(checkpoint)
  with _path_of('from'):
    adapter = exchange.read(
        source, shape, head, lambda: base_lib.with_head_start(
            base_lib.load(checkpoint)), checkpoint)
    # Other libraries' files hold no identity of a base, and pass.
    compiled.check_base(
        base_lib.identity(checkpoint), adapter, f'the adapter in {source}')
  return adapter, checkpoint


def _base_of(source: str) -> str:
  """Returns the base that an adapter's files name, or the default one."""
  from adapters_jax.adapters import adapter as adapter_lib
  from adapters_jax.adapters import compiled
  from adapters_jax.adapters import locations
  from adapters_jax.adapters.formats import origins
  from adapters_jax.model import base as base_lib
  form = locations.find_format(source)
  if form == 'transformers':  # The head of a whole model.
    return source
  if form != 'own':
    return origins.named(locations.bases_of(source)) or _DEFAULT
  adapter = adapter_lib.load(source)
  compiled.check_not_folded(adapter, f'the adapter in {source}')
  name = adapter.base
  if not base_lib.name_of(name):
    raise errors.UserError(
        f'`checkpoint`: the adapter in {source} was trained on '
        f'{base_lib.title_of(name) or "a base it does not name"}; name it')
  return base_lib.name_of(name)


@contextlib.contextmanager
def _path_of(flag: str, argument: str = 'path') -> Iterator[None]:
  """Replaces an argument of the library by a flag in UserErrors."""
  try:
    yield
  except errors.UserError as error:
    raise errors.UserError(
        str(error).replace(f'`{argument}', f'`{flag}')) from error


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags of the command."""
  for name, (default, text) in _FLAGS.items():
    _DEFINE[type(default)](name, default, text, flag_values=values)


def run(values: flags.FlagValues = flags.FLAGS) -> None:
  """Converts by the flags; a UserError prints one line, exit status 2."""

  def as_text(message):
    return errors.as_flags(str(message), set(values))

  with (
      ending.reported(as_text),
      disk.explained({values['to'].value: '`to`'}), signals.requests()):
    print('\n'.join(map(as_text, convert(
        values['from'].value, values['to'].value, values['format'].value,
        checkpoint=values['checkpoint'].value, name=values['name'].value,
        labels=values['labels'].value, head=values['head'].value,
        push=values['push'].value, private=values['private'].value))))


def start() -> None:
  """Runs the command with the flags of the command line."""
  define_flags()
  with ending.reported():
    if not help_lib.print_if_asked({'flags': list(_FLAGS)}):
      app.run(lambda _: run(), flags_parser=flags_lib.parse_argv)
