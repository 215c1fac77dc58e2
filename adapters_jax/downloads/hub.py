"""BERT checkpoints of the Hugging Face hub: only the files that are read."""

import functools
import os

from adapters_jax.downloads import pinned
from adapters_jax import errors as errors_lib

_TOKENIZER = ('tokenizer.json', 'vocab.txt', 'tokenizer_config.json')


@functools.cache
def _reachable() -> bool:
  """Returns whether the hub answers; the library would retry for 20 s."""
  from huggingface_hub import constants
  return not constants.HF_HUB_OFFLINE and bool(
      pinned.status(constants.ENDPOINT))


@functools.cache
def file(name: str, path: str, revision: str | None = None) -> str:
  """Returns the path of a repository's file in the hub's own cache.

  Args:
    name: Of the repository, 'owner/name' or a single word for the old ones.
    path: Of the file in it.
    revision: A commit; the newest when None.

  Raises:
    FileNotFoundError: the repository has no such file.
    options.UserError: no such repository, or the hub cannot be reached and the
      file is not in the cache.
  """
  import huggingface_hub
  from huggingface_hub import errors
  try:
    return huggingface_hub.hf_hub_download(
        name, path, revision=revision, local_files_only=not _reachable())
  except errors.LocalEntryNotFoundError as error:
    raise errors_lib.UserError(
        f'--checkpoint: {name!r} is neither a name that comes with the project '
        f'(minilm-l6) nor a folder, and the Hugging Face hub cannot be reached '
        'for it; check the name and the network, or give a folder with '
        'config.json, model.safetensors and tokenizer.json') from error
  except errors.EntryNotFoundError as error:
    raise FileNotFoundError(f'{name} has no {path}') from error
  except (errors.HFValidationError, errors.HfHubHTTPError, OSError) as error:
    raise errors_lib.UserError(
        f'--checkpoint: {name!r} is neither a name that comes with the project '
        '(minilm-l6), nor a folder, nor a repository of the Hugging Face hub '
        f'({type(error).__name__})') from error


def _required(name: str, path: str, revision: str | None = None) -> str:
  try:
    return file(name, path, revision)
  except FileNotFoundError as error:
    raise errors_lib.UserError(
        f'--checkpoint: {error} on the Hugging Face hub; a BERT repository '
        'with config.json and model.safetensors is needed') from error


def config(name: str) -> str:
  """Returns the path of a repository's config.json."""
  return _required(name, 'config.json')


def folder(name: str) -> str:
  """Returns the folder with a repository's config, weights and tokenizer.

  All files are of the commit that the config is of.

  Raises:
    options.UserError: they cannot be had.
  """
  where = os.path.dirname(config(name))
  revision = os.path.basename(where)
  _required(name, 'model.safetensors', revision)
  for path in _TOKENIZER:
    try:
      file(name, path, revision)
    except FileNotFoundError:
      continue  # The tokenizer's reader says so if none is there.
  return where
