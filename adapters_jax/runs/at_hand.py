"""Compares the data and bases of records with those at hand.

A record is named after its settings, which hold the name of a task but not its
texts, and the name of a base from the hub but not its weights: both may differ
on another machine. No JAX at import.
"""

from collections.abc import Mapping
import logging
from typing import Any, Protocol

from adapters_jax import errors
from adapters_jax.data import prepared
from adapters_jax.downloads import assets
from adapters_jax.downloads import hub_cache
from adapters_jax.runs import config as config_lib

_log = logging.getLogger(__name__)

Facts = dict[str, dict[str, Any]]  # As `records.Record.data`.


class Made(Protocol):
  """A result that names its data and base: a record, or scores at rungs."""

  @property
  def data(self) -> Mapping[str, Any]:
    """{split: facts}; {} if unknown."""

  @property
  def base(self) -> str:
    """Identity of the base; '' if unknown."""

  @property
  def base_files(self) -> Mapping[str, str]:
    """{name: hash} of the small files of a base in a folder; {} if unknown."""


def refusal(place: str, path: str, problem: str) -> str:
  """Returns the error message for a result of other data or another base.

  Args:
    place: Argument that names the folder of the result.
    path: Path of the result.
    problem: Result of `AtHand.problem`.
  """
  return (f'`{place}`: {path} {problem}; runs on both have one name, so give '
          f'another `{place}` for these')


class AtHand:
  """Data and bases of this machine; each is hashed once for many records."""

  def __init__(self, kind: Any = None):
    """Hashes nothing yet.

    Args:
      kind: Kind of the tasks; classification when None.
    """
    self._kind = kind
    self._data: dict[tuple[Any, ...], Facts] = {}
    self._bases: dict[str, str] = {}
    self._files: dict[str, dict[str, str]] = {}
    self._warned: set[tuple[str, ...]] = set()

  def demand_same(
      self, record: Made, config: config_lib.Config, path: str,
      place: str,
  ) -> None:
    """Checks that a record is of the data and the base at hand.

    Small files of a base that have changed are a warning, see `warn_of_files`.

    Args:
      record: Record or other result that `config` names.
      config: Settings.
      path: Path of the record.
      place: Argument that names its folder.

    Raises:
      errors.UserError: it is of others.
    """
    if problem := self.problem(record, config):
      raise errors.UserError(refusal(place, path, problem))
    self.warn_of_files(record, config, path)

  def warn_of_files(
      self, record: Made, config: config_lib.Config, path: str
  ) -> None:
    """Logs which small files of a base have changed since a record was made.

    No error: they may be rewritten without a change of meaning. Records that
    differ in the same files are one line.

    Args:
      record: Record or other result that `config` names.
      config: Settings.
      path: Path of the record.
    """
    if not record.base_files:
      return
    from adapters_jax.model import base as base_lib  # Imports JAX.
    checkpoint = config.checkpoint
    if checkpoint not in self._files:
      self._files[checkpoint] = base_lib.file_hashes(checkpoint)
    changed = base_lib.differing_files(
        record.base_files, self._files[checkpoint])
    if changed and (checkpoint, *changed) not in self._warned:
      self._warned.add((checkpoint, *changed))
      _log.warning(
          '%s of %s has changed since %s was made; a new run may give other '
          'results', ' and '.join(changed), checkpoint, path)

  def problem(
      self, record: Made, config: config_lib.Config
  ) -> str:
    """Describes how a record differs from data and base at hand; '' if equal.

    Unknown data and bases count as equal: records of earlier versions have no
    hashes, and this machine may lack the files.

    Args:
      record: Record that `config` names.
      config: Settings.
    """
    # The settings of own files include their hashes.
    if record.data and not config.files:
      here = self._data_of(config)
      splits = [name for name in {**here, **record.data} if here and (
          record.data.get(name) != here.get(name))]
      if splits:
        return (f'is of other {", ".join(splits)} examples of {config.task} '
                'than those at hand')
    if '#' in record.base:  # From the hub; other names determine the weights.
      base = self._base_of(config.checkpoint)
      if base and base != record.base:
        return f'is of the base {record.base}, and {base} is at hand'
    return ''

  def _data_of(self, config: config_lib.Config) -> Facts:
    """Returns the facts of a named task, {} if nothing can be compared."""
    key = config.task, config.data_dir, config.train_examples
    if key not in self._data:
      self._data[key] = self._read(config)
    return self._data[key]

  def _read(self, config: config_lib.Config) -> Facts:
    """Calls `Kind.facts` where the data are on this machine; {} elsewhere."""
    kind = self._kind
    if kind is None:
      from adapters_jax.runs.kinds import classification  # Imports JAX.
      kind = classification.KIND
    try:
      source = kind.find(config.task).source
      if prepared.is_pinned(source) or not prepared.is_prepared(
          source, config.data_dir):
        return {}
      found: Facts = kind.facts(config)
      return found
    except errors.UserError:  # A run on damaged data reports it.
      return {}

  def _base_of(self, checkpoint: str) -> str:
    """Returns the identity of a base in the hub's cache, '' if not cached."""
    if checkpoint not in self._bases:
      self._bases[checkpoint] = ''
      try:
        folder = '' if assets.is_folder(checkpoint) else hub_cache.folder(
            checkpoint)
        if folder:
          from adapters_jax.model import tensor_files  # Imports numpy.
          self._bases[checkpoint] = (
              f'{checkpoint}#{tensor_files.encoder_digest(folder)}')
      except errors.UserError:  # No weights in the cache.
        pass
    return self._bases[checkpoint]
