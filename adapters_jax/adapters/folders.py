"""Folders of saved adapters, and flags that list them: `DIR,DIR`, `name=DIR`.

In place of a folder, 'owner/name' or 'owner/name@revision' names an adapter of
this package on the Hugging Face hub.
"""

from collections.abc import Mapping
import os
import re
from typing import Any

from adapters_jax.downloads import paths
from adapters_jax import errors
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import json_files
from adapters_jax.downloads import weight_files

WEIGHTS, ADAPTER_CONFIG, ADAPTER_SETUP = weight_files.OF_ADAPTERS
SETTINGS = 'config.json'
FORMAT = 1
_RUN = 'run.json'  # Marks the workdir of a run, from its start on.
_COMMA = re.compile(r'(?<!\\),')  # A comma without a backslash before it.
_ON_HUB = re.compile(r'[\w-][\w.-]*/[\w-][\w.-]*(@[^@]+)?')


def is_on_hub(path: str) -> bool:
  """Returns whether a path is a name on the hub, rather than a folder.

  A missing folder inside an existing one is taken for a misspelt path.
  """
  return (_ON_HUB.fullmatch(path) is not None
          and not os.path.lexists(path)
          and not os.path.isdir(os.path.dirname(path)))


def local(path: str, what: str = '') -> str:
  """Returns a folder; an adapter of this package on the hub is downloaded.

  Args:
    path: Folder of an adapter, workdir of a run, or name on the hub.
    what: Start of the message, such as '`start`'.

  Raises:
    errors.UserError: no such adapter on the hub, or no network.
  """
  if not is_on_hub(path):
    return path
  from adapters_jax.downloads import hub  # Slow; most paths are folders.
  try:
    folder = os.path.dirname(hub.file(path, WEIGHTS))
    # From the same commit, after which the folder is named.
    hub.file(path, SETTINGS, os.path.basename(folder))
  except (FileNotFoundError, errors.UserError) as error:
    raise errors.UserError(
        f'{what}{": " if what else ""}there is no folder {path}, and no '
        f'{WEIGHTS} of that name can be had from the Hugging Face hub; check '
        'the name and the network, and convert files of another library'
    ) from error
  return folder


def folder_of(path: str) -> str:
  """Returns the folder of an adapter, which may be inside a workdir."""
  inner = os.path.join(path, 'adapter')
  # A user may have saved another adapter into the workdir itself.
  own = os.path.isfile(os.path.join(path, WEIGHTS))
  return inner if os.path.isdir(inner) and not own else path


def is_own(path: str) -> bool:
  """Returns whether a path is an adapter of this package, or a workdir."""
  folder = folder_of(path)
  return os.path.isfile(os.path.join(folder, WEIGHTS)) or is_of_run(folder)


def is_workdir(folder: str) -> bool:
  """Returns whether a folder is the workdir of a run."""
  return os.path.isfile(os.path.join(folder, _RUN))


def is_of_run(folder: str) -> bool:
  """Returns whether a folder is a run's workdir, or the adapter in one."""
  return any(map(is_workdir, (
      folder, os.path.dirname(os.path.abspath(folder)))))


def has_settings(folder: str) -> bool:
  """Returns whether config.json in a folder describes an adapter."""
  return {'format', 'labels', 'config'} <= _entries(folder)


def is_model(folder: str) -> bool:
  """Returns whether config.json in a folder describes a pretrained model."""
  found = _entries(folder)
  return 'model_type' in found and 'format' not in found


def is_foreign(folder: str) -> bool:
  """Returns whether a folder is of AdapterHub's or PEFT's adapter."""
  return any(os.path.isfile(os.path.join(folder, name))
             for name in (ADAPTER_CONFIG, ADAPTER_SETUP))


def _entries(folder: str) -> set[str]:
  """Returns the names in config.json of a folder, none if it is unreadable."""
  try:
    return {*json_files.read(os.path.join(folder, SETTINGS))}
  except errors.UserError:
    return set()


def check_exists(folder: str, what: str) -> None:
  """Raises UserError for a folder that does not exist.

  Args:
    folder: Folder of an adapter, or workdir of a run.
    what: Start of the message.
  """
  if not os.path.isdir(folder):
    raise errors.UserError(
        f'{what}: there is no folder {folder}; name that of an adapter, or the '
        'workdir of a run')


def read_settings(folder: str) -> dict[str, Any]:
  """Returns the JSON value saved with an adapter.

  Args:
    folder: Folder of the adapter.

  Raises:
    errors.UserError: no saved adapter in the folder.
  """
  path = os.path.join(folder, SETTINGS)
  check_exists(folder, 'no saved adapter')
  if not has_settings(folder):
    _refuse_others(folder)
  if not os.path.exists(path) and is_of_run(folder):
    raise errors.UserError(
        f'{folder} holds a run that has not finished, without an adapter yet; '
        'continue it with the same command and `resume`')
  settings = json_files.read(path, what=f'{folder} holds no saved adapter: ')
  if settings.get('format') != FORMAT:
    raise errors.UserError(
        f'{path} is not of format {FORMAT}, which this version reads')
  return settings


def _refuse_others(folder: str) -> None:
  """Raises UserError for an adapter of another library, and for a model."""
  if is_foreign(folder):
    raise errors.UserError(
        f'{folder} is an adapter of another library; convert it: '
        f'`adapters-jax convert --from={folder} --to=DIR`')
  if is_model(folder):
    raise errors.UserError(
        f'{folder} is a model, and no adapter; give it as `checkpoint`')


def check_saved(path: str, what: str) -> None:
  """Raises UserError for a folder without a saved adapter.

  It needs no JAX, so that a wrong folder is reported at once.

  Args:
    path: Folder of an adapter, workdir of a run, or name on the hub.
    what: Start of the message about an absent folder.
  """
  path = local(path, what)
  check_exists(path, what)
  folder = folder_of(path)
  read_settings(folder)
  weights = os.path.join(folder, WEIGHTS)
  if not os.path.isfile(weights):
    raise errors.UserError(f'{folder} holds no saved adapter: no {WEIGHTS}')


def parse(text: str) -> dict[str, str]:
  """Returns {name: folder}.

  A folder without a name gets its own, or for 'WORKDIR/adapter' that of the
  workdir.

  Args:
    text: Folders with commas, each as DIR or name=DIR. A comma within a path
      has a backslash before it.

  Raises:
    errors.UserError: no folder, an empty name or folder, or a name for two
      folders.
  """
  found: dict[str, str] = {}
  for part in split(text):
    name, equals, folder = (piece.strip() for piece in part.partition('='))
    if not equals:
      folder = name
      name = _name_of(folder)
    if not name or not folder:
      raise errors.UserError(
          f'`adapters`: {part!r} is not of the form DIR or name=DIR')
    if name in found:
      raise errors.UserError(
          f'`adapters`: two folders have the name {name!r}; give names, as in '
          'one=DIR,two=DIR')
    # A shell expands no ~ after name=.
    found[name] = paths.expanded(folder, 'adapters')
  if not found:
    raise errors.UserError(
        '`adapters`: name workdirs of finished runs, or folders of adapters')
  return found


def split(text: str) -> list[str]:
  """Returns the entries of a text for `parse`, without empty ones."""
  return [part.replace(r'\,', ',')
          for part in map(str.strip, _COMMA.split(text)) if part]


def render(folders: Mapping[str, str]) -> str:
  """Returns the text of {name: folder} that `parse` reads."""
  return ','.join(f'{name}={folder}'.replace(',', r'\,')
                  for name, folder in folders.items())


def parse_existing(text: str) -> dict[str, str]:
  """Parses like `parse`; raises UserError for a folder without an adapter."""
  found = parse(text)
  for folder in found.values():
    check_saved(folder, '`adapters`')
  return found


def absolute(text: str) -> str:
  """Returns the text with absolute paths; names on the hub are kept."""
  return render({name: absolute_of(folder, 'adapters')
                 for name, folder in parse(text).items()})


def absolute_of(path: str, name: str) -> str:
  """Returns the absolute path of a folder; a name on the hub is kept.

  Args:
    path: Folder or name.
    name: Name of the argument.
  """
  return path if is_on_hub(path) else os.path.abspath(
      paths.expanded(path, name))


def with_hashes(text: str) -> str:
  """Returns the text with hashes of the weights in place of folders.

  Raises:
    errors.UserError: a folder without an adapter.
  """
  found = []
  for name, folder in parse(text).items():
    found.append(f'{name}@{_digest(folder, "`adapters`")}')
  return ','.join(found)


def with_hash(start: str) -> str:
  """Returns the name of `start` with the hash of its adapter's weights.

  Raises:
    errors.UserError: a folder without an adapter.
  """
  digest = _digest(paths.expanded(start, 'start'), '`start`')
  return f'{_name_of(start)}@{digest}'


def _digest(folder: str, what: str) -> str:
  """Returns the hash of an adapter's weights; UserError if it has none."""
  try:
    path = os.path.join(folder_of(local(folder, what)), WEIGHTS)
    return file_hash.kept_sha256(path)[:16]
  except OSError as error:
    raise errors.UserError(
        f'{what}: {folder} holds no saved adapter ({error.strerror})'
    ) from error


def _name_of(folder: str) -> str:
  """Returns the name of a folder, or of the run's folder that it is in."""
  if is_on_hub(folder):
    return os.path.basename(folder.partition('@')[0])
  parent, name = os.path.split(os.path.abspath(folder))
  return os.path.basename(parent) if name == 'adapter' else name
