"""Checkpoints from the Hugging Face hub, one file at a time."""

from collections.abc import Iterable
import functools
import itertools
import logging
import os
from typing import Any

from adapters_jax import errors as errors_lib
from adapters_jax.downloads import assets
from adapters_jax.downloads import hub_files
from adapters_jax.downloads import json_files
from adapters_jax.downloads import network
from adapters_jax.downloads import weight_files

_log = logging.getLogger(__name__)

# `data.tokenizer_files` reads the first of these groups that is complete, and
# refuses the last two with advice.
_TOKENIZERS = (
    ('tokenizer.json',), ('vocab.txt',), ('vocab.json', 'merges.txt'),
    ('sentencepiece.bpe.model',), ('spm.model',))
_SETTINGS = (
    'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json')
TOKENIZER_FILES = (*itertools.chain(*_TOKENIZERS), *_SETTINGS)


class Unreachable(errors_lib.UserError):
  """A file that is not in the cache, without a network to look for it."""


def forget() -> None:
  """Lets the next call ask the hub again, as at the start of a process."""
  _found.cache_clear()
  network.forget()


def _no_checkpoint(name: str, reason: str) -> str:
  """Returns the message for a name without a checkpoint.

  Args:
    name: Value of the argument `checkpoint`.
    reason: End of the sentence.
  """
  embedded = ', '.join(assets.checkpoints())
  return (f'`checkpoint`: {name!r} is neither a name that comes with the '
          f'project ({embedded}) nor a folder{reason}')


def split(name: str) -> tuple[str, str | None]:
  """Returns the parts of a name with a revision, 'owner/name@revision'.

  Args:
    name: Name of a repository, which never has an '@' of its own.

  Returns:
    (name of the repository; branch, tag or commit, None for the newest)

  Raises:
    errors.UserError: nothing before or after the '@'.
  """
  repository, at, revision = name.partition('@')
  if at and not (repository and revision):
    raise errors_lib.UserError(
        f'`checkpoint={name}`: a revision is given as NAME@REVISION, with a '
        'branch, a tag or a commit')
  return repository, revision or None


def file(name: str, path: str, revision: str | None = None) -> str:
  """Returns a file of a repository, from the hub's own cache if it is there.

  Args:
    name: Name of the repository: 'owner/name', or one word for the oldest ones.
      '@' and a revision may follow; see `split`.
    path: Path of the file in the repository.
    revision: Commit, or None for the revision of the name.

  Returns:
    Path of the file in the cache.

  Raises:
    FileNotFoundError: the repository has no such file.
    errors.UserError: there is no such repository, the download fails, or the
      hub cannot be reached and the file is not in the cache.
  """
  found = _found(name, path, revision)
  if found is None:
    raise FileNotFoundError(f'{name} has no {path}')
  return found


@functools.cache
def _found(name: str, path: str, revision: str | None) -> str | None:
  """Returns the path of a file in the cache, None for no such file.

  Cached, so that a process asks only once for a file, even an absent one.
  Arguments and errors are those of `file`.
  """
  import huggingface_hub
  from huggingface_hub import errors
  repository, named = split(name)
  revision = revision or named
  try:
    return hub_files.download(repository, path, revision)
  # A subclass of EntryNotFoundError, so it must come first.
  except errors.LocalEntryNotFoundError as error:
    cached: Any = huggingface_hub.try_to_load_from_cache(
        repository, path, revision=revision)
    # A mark of the cache: an earlier call has found no such file.
    if cached is not None and not isinstance(cached, str):
      return None
    raise Unreachable(_no_checkpoint(
        name, ', and the Hugging Face hub cannot be reached for it; check the '
        'name and the network, or give a folder with config.json, '
        'model.safetensors and tokenizer.json')) from error
  except errors.EntryNotFoundError:
    return None
  except errors.GatedRepoError as error:
    raise hub_files.refusal(error, '`checkpoint`', name) from error
  except errors.RevisionNotFoundError as error:
    raise hub_files.refusal(
        error, f'`checkpoint={name}`',
        f'{repository} of the Hugging Face hub', revision) from error
  except (errors.HFValidationError,
          errors.RepositoryNotFoundError) as error:
    raise errors_lib.UserError(_no_checkpoint(
        name, ', nor a repository of the Hugging Face hub that you can read; '
        'check the name')) from error
  except Exception as error:
    raise hub_files.refusal(
        error, '`checkpoint`', f'{path} of {name}') from error


def _required(name: str, path: str, revision: str | None = None) -> str:
  """Calls `file`; raises UserError for a file that the repository lacks."""
  try:
    return file(name, path, revision)
  except FileNotFoundError as error:
    raise errors_lib.UserError(
        f'`checkpoint`: {error} on the Hugging Face hub; a repository of an '
        'encoder with config.json and weights is needed') from error


def present(
    name: str, paths: Iterable[str], revision: str | None, *,
    sure: bool = False,
) -> list[str]:
  """Downloads optional files of a repository.

  Args:
    name: Name of the repository.
    paths: Paths of files that it may have.
    revision: Commit, or None for the newest.
    sure: Whether to raise if neither hub nor cache knows whether a file exists;
      otherwise it counts as absent.

  Returns:
    The paths of those that exist.

  Raises:
    Unreachable: with `sure`, a file that may exist.
    errors.UserError: a download fails.
  """
  found, unknown = [], []
  for path in paths:
    try:
      file(name, path, revision)
      found.append(path)
    except FileNotFoundError:
      continue
    except Unreachable:
      if sure:
        raise
      unknown.append(path)
  if unknown:  # Other programs cache a repository without marks of absence.
    _log.info('%s: taken as absent without a network: %s', name,
              ', '.join(unknown))
  return found


def _encoder(name: str) -> tuple[str, str]:
  """Downloads the config of a repository's encoder.

  Args:
    name: Name of the repository.

  Returns:
    (path of config.json in the cache, folder in the repository or '')
  """
  try:
    path = file(name, 'config.json')
    # Early sentence-transformers keep their own version in a file of the name.
    if 'model_type' in json_files.read(path, what='`checkpoint`: '):
      return path, ''
  except FileNotFoundError:
    path = ''
  try:
    modules = file(name, weight_files.MODULES)
    with errors_lib.within('`checkpoint`'):
      inner = weight_files.read_modules(modules)
  except (FileNotFoundError, Unreachable):
    inner = ''
  if not inner:
    return path or _required(name, 'config.json'), ''
  revision = os.path.basename(os.path.dirname(modules))
  return _required(name, f'{inner}/config.json', revision), inner


def config(name: str) -> str:
  """Returns the path of the config.json of a repository's encoder."""
  return _encoder(name)[0]


def _weights(name: str, stem: str, revision: str) -> None:
  """Downloads the weights of a repository, in the first format that it has.

  Args:
    name: Name of the repository.
    stem: Folder in it, with a slash at the end, or ''.
    revision: Commit.
  """
  unreachable = None
  for path in weight_files.FILES:
    try:
      found = file(name, stem + path, revision)
    except FileNotFoundError:
      continue
    except Unreachable as error:
      unreachable = error
      continue
    if path.endswith('.json'):
      for shard in sorted(set(weight_files.read_index(found).values())):
        _required(name, stem + shard, revision)
    return
  raise unreachable or errors_lib.UserError(
      f'`checkpoint`: {name} has no {weight_files.FILES[0]} and no '
      f'{weight_files.FILES[2]} on the Hugging Face hub, in shards or not')


def folder(name: str) -> str:
  """Returns a folder with a repository's config, weights and tokenizer.

  Raises:
    errors.UserError: config or weights cannot be downloaded.
  """
  path, inner = _encoder(name)
  where, stem = os.path.dirname(path), f'{inner}/' if inner else ''
  # The hub's cache names folders by commit. All files come from the commit of
  # the config: an update in between would mix two versions.
  root = where.removesuffix(os.path.join('', *inner.split('/')))
  revision = os.path.basename(root.rstrip(os.sep))
  _weights(name, stem, revision)
  present(name, [stem + path for path in _SETTINGS], revision)
  for group in _TOKENIZERS:  # `tokenization.load` checks that there is one.
    files = [stem + path for path in group]
    if present(name, files, revision) == files:
      break
  sentence_files(name, revision)
  return where


def sentence_files(
    name: str, revision: str | None, *, sure: bool = False
) -> str:
  """Downloads the files of sentence-transformers in a repository, if any.

  They come with the weights, so that embeddings need no network later.

  Args:
    name: Name of the repository.
    revision: Commit, or None for the newest.
    sure: As for `present`.

  Returns:
    Folder in the cache with the list of modules, '' without one.

  Raises:
    Unreachable: as for `present`.
    errors.UserError: a download fails.
  """
  if not present(name, [weight_files.MODULES], revision, sure=sure):
    return ''
  folder = os.path.dirname(file(name, weight_files.MODULES, revision))
  paths = weight_files.files_of_modules(
      os.path.join(folder, weight_files.MODULES))
  found = present(name, paths, os.path.basename(folder), sure=sure)
  for path in {*paths} - {*found}:
    where, end = os.path.split(path)
    if end == weight_files.LENGTHS:  # Few repositories have an older one.
      any(present(name, [os.path.join(where, old)], os.path.basename(folder))
          for old in weight_files.OLD_LENGTHS)
  return folder
