"""Pushes adapters to the Hugging Face hub, with a model card."""

import os
import tempfile

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import card
from adapters_jax.adapters import compiled
from adapters_jax.adapters import exchange
from adapters_jax.adapters import folders
from adapters_jax.adapters import formats
from adapters_jax.adapters import locations
from adapters_jax.adapters import remarks
from adapters_jax.adapters.formats import adapterhub_setups
from adapters_jax.downloads import hub
from adapters_jax.downloads import hub_checkpoints
from adapters_jax.downloads import publish
from adapters_jax.downloads import weight_files
from adapters_jax.model import base as base_lib

# Files of an adapter, or of a whole model, at the top of a repository. Files of
# an earlier push would be read in place of the new ones, or with them. The
# tokenizer of a whole model is replaced by that of its base, and else kept.
_FILES = (
    *locations.HUB_FILES, folders.SETTINGS, *weight_files.FILES,
    weight_files.MODULES, weight_files.LENGTHS, weight_files.PROMPTS,
    '1_Pooling/config.json')
_INDEXES = tuple(one for one in weight_files.FILES if one.endswith('.json'))


def push(
    adapter: adapter_lib.Adapter, name: str, format: str = 'own', *,
    base: base_lib.Base | None = None, head: bool = True,
    private: bool = False,
) -> str:
  """Uploads an adapter to the Hugging Face hub, with a model card.

  Log in first, with `hf auth login` or the variable HF_TOKEN.
  `load_adapter(name)` reads it back. The new commit replaces any adapter or
  whole model in the repository, and the model card; a whole model also the
  tokenizer. Other files are kept.
  Notes on parts that the other library does not read are logged as warnings.

  Args:
    adapter: Adapter.
    name: Name of the repository, 'owner/name', created if absent.
    format: Format of the files: 'own', 'adapterhub', 'peft',
      'sentence_transformers' or 'transformers', as for `export`.
    base: Pretrained encoder, as for `export`.
    head: Whether to write the head.
    private: Whether a new repository is visible to its owner alone.

  Returns:
    Address of the commit.

  Raises:
    errors.UserError: a format that cannot hold the adapter, no login, no write
      access, or no network.
  """
  arguments.demand_adapter(adapter, 'push(adapter, name)')
  arguments.demand_base_or_none(base)
  check(name, format)
  adapter.check_labels()
  if base is not None:
    compiled.check_base(base.identity, adapter, 'the adapter')
    base.check_unchanged('push')
  address, notes = push_for(
      adapter, name, format, '' if base is None else base.checkpoint,
      head=head, private=private)
  remarks.logged(notes, name)
  return address


def check(name: str, format: str) -> None:
  """Checks arguments of `push`, before anything is written.

  Args:
    name: Name of the repository.
    format: Format of the files.

  Raises:
    errors.UserError: a malformed name, or a format without folders.
  """
  publish.check_name(name)
  if format == 'adapter_bert':
    raise errors.UserError(
        '`format=adapter_bert`: is a file for the authors\' code; give one of '
        f'{", ".join(one for one in formats.FORMATS if one != format)}')


def push_for(
    adapter: adapter_lib.Adapter, name: str, format: str, checkpoint: str, *,
    head: bool, private: bool,
) -> tuple[str, list[str]]:
  """Uploads an adapter that fits a base; see `push`.

  Args:
    adapter: Adapter.
    name: Name of the repository.
    format: Format of the files.
    checkpoint: Name or folder of the base, '' for the one it names.
    head: Whether to write the head.
    private: Whether a new repository is private.

  Returns:
    (address of the commit, notes as `exchange.write` returns them)
  """
  with tempfile.TemporaryDirectory() as folder:
    notes = exchange.write(
        folder, adapter, format, head=head, name=name.split('/')[-1],
        checkpoint=checkpoint)
    with open(os.path.join(folder, 'README.md'), 'w', encoding='utf-8') as file:
      file.write(card.text(adapter, name, format, head))
    title = f'{adapter.method} for {adapter.task or "a task"}'
    return publish.send(folder, name, message=title, private=private,
                        replaced=_earlier(name, format)), notes


def _earlier(name: str, format: str) -> list[str]:
  """Returns the paths of files that earlier pushes may have left.

  Args:
    name: Name of the repository.
    format: Format of the new files.
  """
  found = [*_FILES, *(
      hub_checkpoints.TOKENIZER_FILES if format in formats.WHOLE else ())]
  hub.forget()  # Remembered answers may be about an earlier commit.
  for listed in adapterhub_setups.SETUP, *_INDEXES:
    try:
      path = hub.file(name, listed)
      found += (weight_files.read_index(path).values() if listed in _INDEXES
                else adapterhub_setups.files(os.path.dirname(path)))
    except (errors.UserError, FileNotFoundError):
      continue  # Absent, or damaged, so that nothing reads its parts.
  return [*dict.fromkeys(found)]
