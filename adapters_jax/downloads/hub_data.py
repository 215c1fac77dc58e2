"""Files of datasets on the Hugging Face hub."""

import inspect
from typing import Any
from urllib import parse

from adapters_jax import errors as errors_lib
from adapters_jax.downloads import network
from adapters_jax.downloads import progress

PREFIX = 'hf://datasets/'  # As `pandas` and `datasets` name such files.
# The hub keeps a copy of most datasets as Parquet in this branch.
_BRANCHES = {'~parquet': 'refs/convert/parquet'}


def local(path: str, name: str) -> str:
  """Returns a file of the hub as a path in its cache; other paths as they are.

  Args:
    path: 'hf://datasets/OWNER/NAME/FILE', with '@' and a branch, tag or commit
      after NAME if wanted ('~parquet' for the hub's own Parquet files); or a
      path on this machine.
    name: Name of the argument, for messages.

  Raises:
    errors.UserError: no such file, or it cannot be downloaded.
  """
  if not path.startswith(PREFIX):
    return path
  owner, _, rest = path.removeprefix(PREFIX).partition('/')
  dataset, _, file = rest.partition('/')
  dataset, at, revision = dataset.partition('@')
  if not (owner and dataset and file) or (at and not revision):
    raise errors_lib.UserError(
        f'`{name}={path}`: give {PREFIX}OWNER/NAME/FILE, or '
        f'{PREFIX}OWNER/NAME@REVISION/FILE')
  revision = _BRANCHES.get(revision, parse.unquote(revision))
  return _download(f'{owner}/{dataset}', file, revision or None,
                   f'`{name}={path}`')


def _download(
    dataset: str, file: str, revision: str | None, place: str
) -> str:
  """Returns the path of a file in the hub's cache.

  Args:
    dataset: Name of the dataset, 'OWNER/NAME'.
    file: Path of the file in it.
    revision: Branch, tag or commit, None for the newest.
    place: Argument and value, for messages.
  """
  import huggingface_hub
  from huggingface_hub import errors
  download = huggingface_hub.hf_hub_download
  more: dict[str, Any] = {}
  # Older releases draw bars of their own.
  if 'tqdm_class' in inspect.signature(download).parameters:
    more['tqdm_class'] = progress.Bar
  try:
    return download(
        dataset, file, repo_type='dataset', revision=revision,
        local_files_only=not network.reachable(), **more)
  # A subclass of EntryNotFoundError, so it must come first.
  except errors.LocalEntryNotFoundError as error:
    raise errors_lib.UserError(
        f'{place}: the Hugging Face hub cannot be reached, and the file is not '
        'in its cache') from error
  except errors.GatedRepoError as error:
    raise errors_lib.UserError(
        f'{place}: the dataset is gated; accept its terms on the Hugging Face '
        'hub and log in with `hf auth login`') from error
  except errors.EntryNotFoundError as error:
    raise errors_lib.UserError(
        f'{place}: the dataset has no such file; its page on the Hugging Face '
        'hub lists them under Files') from error
  except errors.RevisionNotFoundError as error:
    raise errors_lib.UserError(
        f'{place}: the dataset has no branch, tag or commit {revision!r}'
    ) from error
  except (errors.HFValidationError, errors.RepositoryNotFoundError) as error:
    raise errors_lib.UserError(
        f'{place}: the Hugging Face hub has no such dataset') from error
  # A full disk, or an error of the HTTP library, which depends on the version.
  except Exception as error:
    reason = ' '.join(str(error).split())[:200] or type(error).__name__
    raise errors_lib.UserError(
        f'{place}: could not be downloaded ({reason}); run again to continue'
    ) from error
