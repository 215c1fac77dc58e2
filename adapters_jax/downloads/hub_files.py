"""One file of the Hugging Face hub, and the messages of its errors."""

import inspect
from typing import Any

from adapters_jax import errors as errors_lib
from adapters_jax.downloads import network
from adapters_jax.downloads import progress


def download(
    repository: str, path: str, revision: str | None, kind: str = 'model'
) -> str:
  """Returns a file in the hub's cache, from the hub where it is reachable.

  Args:
    repository: Name of the repository.
    path: Path of the file in it.
    revision: Branch, tag or commit, None for the newest.
    kind: 'model' or 'dataset'.

  Raises:
    Exception: an error of `huggingface_hub.errors`, or of its HTTP library.
  """
  import huggingface_hub
  more: dict[str, Any] = {}
  load = huggingface_hub.hf_hub_download
  # Older releases draw bars of their own.
  if 'tqdm_class' in inspect.signature(load).parameters:
    more['tqdm_class'] = progress.Bar
  return load(repository, path, repo_type=kind, revision=revision,
              local_files_only=not network.reachable(), **more)


def refusal(
    error: BaseException, place: str, thing: str, revision: str | None = None
) -> errors_lib.UserError:
  """Returns the error for a file that the hub has, but does not give.

  Args:
    error: Error of `download`; of those that stand for a file that is not in
      the cache, only with a hub that answers.
    place: Argument, perhaps with its value; starts the message.
    thing: Name of the file or repository.
    revision: Branch, tag or commit that was asked for.
  """
  from huggingface_hub import errors
  if isinstance(error, errors.GatedRepoError):
    return errors_lib.UserError(
        f'{place}: {thing} is gated; accept its terms on the Hugging Face hub '
        'and log in with `hf auth login`')
  if isinstance(error, errors.RevisionNotFoundError):
    return errors_lib.UserError(
        f'{place}: {thing} has no branch, tag or commit {revision!r}')
  advice = 'run again to continue'
  if isinstance(error, errors.LocalEntryNotFoundError):
    error = error.__cause__ or error  # The answer of the hub.
    advice += ', with HF_HUB_OFFLINE=1 if the cache has all files'
  # A full disk, or an error of the HTTP library, which depends on the version.
  reason = ' '.join(str(error).split())[:200] or type(error).__name__
  return errors_lib.UserError(
      f'{place}: {thing} could not be downloaded from the Hugging Face hub '
      f'({reason}); {advice}')
