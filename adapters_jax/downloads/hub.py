"""Files of repositories on the Hugging Face hub, one at a time."""

from collections.abc import Iterable
import functools
import logging
from typing import Any

from adapters_jax import errors as errors_lib
from adapters_jax.downloads import assets
from adapters_jax.downloads import hub_files
from adapters_jax.downloads import network

_log = logging.getLogger(__name__)


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
    # The library has one error for no network and for a hub that fails: an
    # answer of 429 or 503 must not pass for the absence of a file.
    if network.reachable():
      raise hub_files.refusal(
          error, '`checkpoint`', f'{path} of {name}') from error
    raise Unreachable(_no_checkpoint(
        name, f', and the Hugging Face hub cannot be reached for its {path}; '
        'check the name and the network, or give a folder with config.json, '
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
