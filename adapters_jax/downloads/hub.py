"""BERT checkpoints from the Hugging Face hub, one file at a time."""

import functools
import os

from adapters_jax.downloads import pinned
from adapters_jax.downloads import weight_files
from adapters_jax import errors as errors_lib

# `data.tokenizer_files` reads the first of these groups that is complete, and
# refuses the last two with advice.
_TOKENIZERS = (
    ('tokenizer.json',), ('vocab.txt',), ('vocab.json', 'merges.txt'),
    ('sentencepiece.bpe.model',), ('spm.model',))
_SETTINGS = (
    'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json')


@functools.cache
def _reachable() -> bool:
  """Returns whether the hub answers."""
  from huggingface_hub import constants
  # The library itself would retry for 20 seconds before it gives up.
  return not constants.HF_HUB_OFFLINE and bool(
      pinned.status(constants.ENDPOINT))


@functools.cache
def file(name: str, path: str, revision: str | None = None) -> str:
  """Returns a file of a repository, from the hub's own cache if it is there.

  Args:
    name: Name of the repository: 'owner/name', or one word for the oldest ones.
    path: Path of the file in the repository.
    revision: Commit, or None for the newest.

  Returns:
    Path of the file in the cache.

  Raises:
    FileNotFoundError: the repository has no such file.
    errors.UserError: there is no such repository, or the hub cannot be reached
      and the file is not in the cache.
  """
  import huggingface_hub
  from huggingface_hub import errors
  try:
    return huggingface_hub.hf_hub_download(
        name, path, revision=revision, local_files_only=not _reachable())
  # A subclass of EntryNotFoundError, so it must come first.
  except errors.LocalEntryNotFoundError as error:
    cached = huggingface_hub.try_to_load_from_cache(
        name, path, revision=revision)
    # A mark of the cache: an earlier call has found no such file.
    if cached is not None and not isinstance(cached, str):
      raise FileNotFoundError(f'{name} has no {path}') from error
    raise errors_lib.UserError(
        f'`checkpoint`: {name!r} is neither a name that comes with the project '
        '(minilm-l6, mpnet-base) nor a folder, and the Hugging Face hub cannot '
        'be reached for it; check the name and the network, or give a folder '
        'with config.json, model.safetensors and tokenizer.json') from error
  except errors.EntryNotFoundError as error:
    raise FileNotFoundError(f'{name} has no {path}') from error
  except (errors.HFValidationError, errors.HfHubHTTPError, OSError) as error:
    raise errors_lib.UserError(
        f'`checkpoint`: {name!r} is neither a name that comes with the project '
        '(minilm-l6, mpnet-base), nor a folder, nor a repository of the '
        f'Hugging Face hub ({type(error).__name__})') from error


def _required(name: str, path: str, revision: str | None = None) -> str:
  """Calls `file`; raises UserError for a file that the repository lacks."""
  try:
    return file(name, path, revision)
  except FileNotFoundError as error:
    raise errors_lib.UserError(
        f'`checkpoint`: {error} on the Hugging Face hub; a repository of an '
        'encoder with config.json and weights is needed') from error


def _optional(name: str, path: str, revision: str) -> bool:
  """Calls `file`, and returns whether the repository has the file."""
  try:
    file(name, path, revision)
  except FileNotFoundError:
    return False
  return True


def config(name: str) -> str:
  """Returns the path of a repository's config.json."""
  return _required(name, 'config.json')


def _weights(name: str, revision: str) -> None:
  """Downloads the weights of a repository, in the first format that it has."""
  for path in weight_files.FILES:
    try:
      found = file(name, path, revision)
    except FileNotFoundError:
      continue
    if path.endswith('.json'):
      for shard in sorted(set(weight_files.read_index(found).values())):
        _required(name, shard, revision)
    return
  raise errors_lib.UserError(
      f'`checkpoint`: {name} has no {weight_files.FILES[0]} and no '
      f'{weight_files.FILES[2]} on the Hugging Face hub, in shards or not')


def folder(name: str) -> str:
  """Returns a folder with a repository's config, weights and tokenizer.

  Raises:
    errors.UserError: config or weights cannot be downloaded.
  """
  where = os.path.dirname(config(name))
  # The hub's cache names folders by commit. All files come from the commit of
  # the config: an update in between would mix two versions.
  revision = os.path.basename(where)
  _weights(name, revision)
  for path in _SETTINGS:
    _optional(name, path, revision)
  # `any` ends with the first; `tokenization.load` checks that there is one.
  any(all(_optional(name, path, revision) for path in group)
      for group in _TOKENIZERS)
  return where
