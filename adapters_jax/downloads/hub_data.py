"""Files of datasets on the Hugging Face hub."""

from urllib import parse

from adapters_jax import errors as errors_lib
from adapters_jax.downloads import hub_files
from adapters_jax.downloads import network

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
  return _found(f'{owner}/{dataset}', file,
                _BRANCHES.get(revision, parse.unquote(revision)) or None,
                f'`{name}={path}`')


def _found(dataset: str, file: str, revision: str | None, place: str) -> str:
  """Returns the path of a file in the hub's cache.

  Args:
    dataset: Name of the dataset, 'OWNER/NAME'.
    file: Path of the file in it.
    revision: Branch, tag or commit, None for the newest.
    place: Argument and value, for messages.
  """
  from huggingface_hub import errors
  try:
    return hub_files.download(dataset, file, revision, 'dataset')
  # A subclass of EntryNotFoundError, so it must come first.
  except errors.LocalEntryNotFoundError as error:
    if network.reachable():  # The hub fails for this file.
      raise hub_files.refusal(error, place, 'the dataset') from error
    raise errors_lib.UserError(
        f'{place}: the Hugging Face hub cannot be reached, and the file is not '
        'in its cache') from error
  except errors.EntryNotFoundError as error:
    raise errors_lib.UserError(
        f'{place}: the dataset has no such file; its page on the Hugging Face '
        'hub lists them under Files') from error
  except Exception as error:
    absent = isinstance(error, (
        errors.HFValidationError, errors.RepositoryNotFoundError))
    if absent and not isinstance(error, errors.GatedRepoError):
      raise errors_lib.UserError(
          f'{place}: the Hugging Face hub has no such dataset') from error
    raise hub_files.refusal(error, place, 'the dataset', revision) from error
