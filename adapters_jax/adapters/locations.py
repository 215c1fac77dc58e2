"""Finds adapters: in folders and files of any format, and on the hub."""

import os
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import folders
from adapters_jax.adapters import formats
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import adapterhub_norms
from adapters_jax.adapters.formats import adapterhub_setups
from adapters_jax.adapters.formats import peft
from adapters_jax.adapters.formats import peft_labels
from adapters_jax.downloads import hub
from adapters_jax.downloads import json_files
from adapters_jax.downloads import paths
from adapters_jax.downloads import weight_files
from adapters_jax.model import base as base_lib

# Files by which the format of a folder is recognised.
_FORMATS = adapterhub.CONFIG, folders.WEIGHTS, adapterhub_setups.SETUP
# Files that a repository on the hub may have.
HUB_FILES = (
    *_FORMATS, adapterhub.WEIGHTS, adapterhub.BIN, adapterhub.HEAD_CONFIG,
    adapterhub.HEAD_WEIGHTS, adapterhub.HEAD_BIN, adapterhub_norms.NAME,
    peft.WEIGHTS, 'adapter_model.bin', peft_labels.NAME)


def find(path: paths.Path, base: base_lib.Base | None = None) -> str:
  """Returns the folder or file of an adapter; downloads a named one.

  Args:
    path: Folder, .npz file, or a name on the Hugging Face hub. The suffix .npz
      may be left out, as in an export.
    base: Base, whose own name stands for its folder if no adapter has it.

  Raises:
    errors.UserError: a path of another type, or no such adapter.
  """
  path = paths.text(path, 'path')
  if os.path.exists(path):
    return path
  if os.path.isfile(f'{path}.npz'):
    return f'{path}.npz'
  try:
    return download(path)
  except errors.UserError:
    if base is None or path != base.checkpoint:
      raise
    return base.folder  # A whole model may hold a head.


def find_format(path: str) -> str:
  """Returns the format, one of formats.FORMATS, of a folder or file.

  Args:
    path: Folder, or .npz file.

  Raises:
    errors.UserError: no known format.
  """
  if path.endswith('.npz') and os.path.isfile(path):
    return 'adapter_bert'
  if os.path.isfile(os.path.join(path, folders.WEIGHTS)):
    return 'own'
  if os.path.isfile(os.path.join(path, adapterhub_setups.SETUP)):
    return 'adapterhub'
  config = os.path.join(path, adapterhub.CONFIG)
  if os.path.isfile(config):
    values = json_files.read(config, what='`path`: ')
    # AdapterHub and PEFT give this file the same name.
    return 'peft' if 'peft_type' in values else 'adapterhub'
  if _holds_model(path):
    return 'transformers'
  # Checked last: exports may lie in the workdir of a run, or in one below it.
  if folders.is_own(path):
    return 'own'
  if os.path.isfile(path):
    raise errors.UserError(
        f'`path={path}`: it is a file; give its folder, '
        f'{os.path.dirname(path) or "."}')
  raise errors.UserError(
      f'`path={path}`: there is no {folders.WEIGHTS}, no '
      f'{adapterhub.CONFIG}, and it is no .npz')


def bases_of(folder: str) -> dict[str, Any]:
  """Returns {file: base that it names} of a folder of AdapterHub or PEFT.

  Args:
    folder: Folder of an adapter, or of a setup of several.
  """
  files = [os.path.join(folder, adapterhub.CONFIG)]
  if os.path.isfile(os.path.join(folder, adapterhub_setups.SETUP)):
    files = [os.path.join(folder, name, adapterhub.CONFIG)
             for name in sorted(os.listdir(folder))]
  found = {}
  for path in filter(os.path.isfile, files):
    values = json_files.read(path, what='`path`: ')
    found[path] = values.get('base_model_name_or_path' if 'peft_type' in values
                             else 'model_name')
  return found


def target(path: paths.Path, form: str) -> str:
  """Returns the folder or file that an export may write.

  Args:
    path: Folder, or .npz file, whose suffix may be left out.
    form: One of formats.FORMATS.

  Raises:
    errors.UserError: a path of another type, a file in the place of a folder
      or the other way round, or a folder that the export would spoil.
  """
  if form != 'adapter_bert':
    path = paths.target(path, 'path')
    _check_folder(path, form)
    return path
  found = paths.target(path, 'path', file='.npz')
  if _holds_adapter(folder := found.removesuffix('.npz')):
    raise errors.UserError(  # A reader of this name would find the folder.
        f'`path={folder}`: it is the folder of an adapter; give another path')
  return found


def _holds_adapter(path: str) -> bool:
  """Returns whether a path is the folder of an adapter of any format."""
  return folders.is_own(path) or folders.is_foreign(path)


def _holds_model(path: str) -> bool:
  """Returns whether a path is the folder of a whole model, with weights."""
  return folders.is_model(path) and any(
      os.path.isfile(os.path.join(path, name)) for name in weight_files.FILES)


def _check_folder(path: str, form: str) -> None:
  """Raises UserError for a folder that an export would spoil."""
  if form == 'own':
    return  # `storage.save_tuned` refuses the folder of a model.
  # Readers would prefer it to the export.
  if os.path.isfile(os.path.join(path, folders.WEIGHTS)):
    raise errors.UserError(
        f'`path={path}`: it holds an adapter in our format; name another '
        'folder')
  # transformers adds an adapter beside a model to it, or loads the adapter's
  # own base in its place.
  if form in formats.WHOLE and folders.is_foreign(path):
    raise errors.UserError(
        f'`path={path}`: it holds an adapter of another library; name another '
        'folder for a whole model')
  if form not in formats.WHOLE and _holds_model(path):
    raise errors.UserError(
        f'`path={path}`: it holds a whole model; name another folder')


def download(name: str) -> str:
  """Returns the folder of an adapter repository of the Hugging Face hub.

  Args:
    name: Name of the repository, 'owner/name'.

  Raises:
    errors.UserError: no such repository, no adapter in it, or no network.
  """
  folder = _first_folder(name)
  # The hub's cache names folders by commit: files of a later one cannot mix in.
  revision = os.path.basename(folder)
  # Absent files are no error yet: the reader reports those that it needs.
  found = hub.present(name, HUB_FILES, revision)
  if folders.WEIGHTS in found:  # Else config.json would be that of a model.
    hub.present(name, [folders.SETTINGS], revision)
  if adapterhub_setups.SETUP in found:
    hub.present(name, adapterhub_setups.files(folder), revision)
  return folder


def _first_folder(name: str) -> str:
  """Returns the folder of the first file that shows an adapter's format."""
  error: Exception | None = None
  for path in _FORMATS:
    try:
      return os.path.dirname(hub.file(name, path))
    except (errors.UserError, FileNotFoundError) as found:
      error = error or found
  raise errors.UserError(
      f'`path={name}`: it is neither a folder nor a .npz file, and no '
      f'{errors.listed(_FORMATS[:-1], 2)} or {_FORMATS[-1]} of that name can '
      'be had from the Hugging Face hub; check the name and the network'
  ) from error
