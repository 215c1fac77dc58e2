"""Uploads folders to the Hugging Face hub."""

from collections.abc import Iterable
import glob

from adapters_jax import errors as errors_lib
from adapters_jax.downloads import hub
from adapters_jax.downloads import network


def check_name(name: str) -> None:
  """Raises UserError for a name that is not 'owner/name'."""
  if (not isinstance(name, str) or name.count('/') != 1
      or not all(name.split('/'))):
    raise errors_lib.UserError(
        f"`name={name}`: give 'owner/name', as in 'me/film'")


def send(
    folder: str, name: str, *, message: str, private: bool = False,
    replaced: Iterable[str] = (),
) -> str:
  """Uploads a folder as a commit of a model repository, created if absent.

  Args:
    folder: Folder.
    name: Name of the repository, 'owner/name'.
    message: Title of the commit.
    private: Whether a new repository is visible to its owner alone.
    replaced: Paths of files that the commit deletes unless the folder has them.

  Returns:
    Address of the commit.

  Raises:
    errors.UserError: an invalid name, no login, no write access, or no network.
  """
  import huggingface_hub  # Slow to import.
  from huggingface_hub import constants
  from huggingface_hub import errors
  check_name(name)
  api = huggingface_hub.HfApi(endpoint=constants.ENDPOINT)
  if not network.reachable():
    raise errors_lib.UserError(
        f'`name={name}`: the Hugging Face hub cannot be reached')
  try:
    api.create_repo(name, private=private, exist_ok=True)
    done = api.upload_folder(
        repo_id=name, folder_path=folder, commit_message=message,
        # Patterns: a name may have brackets.
        delete_patterns=[glob.escape(path) for path in replaced])
    hub.forget()  # This process may have read the files before.
    return str(done.commit_url)
  except errors.HFValidationError as error:
    raise errors_lib.UserError(f'`name={name}`: {error}') from error
  except (errors.HfHubHTTPError, OSError) as error:
    status = getattr(getattr(error, 'response', None), 'status_code', None)
    if status in (401, 403) or isinstance(
        error, errors.LocalTokenNotFoundError):
      reason = 'log in with `hf auth login` as someone who may write there'
    else:
      reason = ' '.join(str(error).split())[:200] or type(error).__name__
    raise errors_lib.UserError(
        f'`name={name}`: the Hugging Face hub refused the upload: {reason}'
    ) from error
