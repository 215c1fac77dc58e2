"""Looks into the cache of the Hugging Face hub, without any download."""

import os

from adapters_jax.downloads import hub


def folder(name: str) -> str:
  """Returns the folder of a repository's files in the cache, '' without one.

  Args:
    name: Name of the repository, with '@' and a revision or without.
  """
  import huggingface_hub  # Slow to import.
  repository, revision = hub.split(name)
  found = huggingface_hub.try_to_load_from_cache(
      repository, 'config.json', revision=revision)
  # A mark of the cache stands for a file that the hub does not have.
  return os.path.dirname(found) if isinstance(found, str) else ''
