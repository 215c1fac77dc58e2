"""Frozen adapters in a run: below the new one (MAD-X), or fused by it."""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import functools
import os
import re
import tempfile
from typing import Any

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import composing
from adapters_jax.adapters import folders
from adapters_jax.adapters import joined_leaves
from adapters_jax.downloads import file_hash
from adapters_jax.model import base as base_lib
from adapters_jax.model import composition
from adapters_jax.model import pretrained
from adapters_jax.model import setups
from adapters_jax.runs import config as config_lib

NEW = 'task'  # Name of the new adapter among the members of the result.


@dataclasses.dataclass(frozen=True)
class Frozen:
  """Frozen adapters of a run.

  Attributes:
    setup: Their setup, in terms of their names.
    members: (name, number of methods) of each adapter.
    methods: Their methods, which come first in the model.
    tuned: Their leaves and layer norms, with the attention of trained Fuse
      blocks.
  """
  setup: composition.Setup = ''
  members: tuple[tuple[str, int], ...] = ()
  methods: tuple[Any, ...] = ()
  tuned: trees.Tree = dataclasses.field(default_factory=dict)

  def whole(
      self, own: int
  ) -> tuple[composition.Block | None, tuple[tuple[str, int], ...]]:
    """Returns (setup, members) of the run's adapter, frozen members included.

    Without frozen adapters it is (None, ()).

    Args:
      own: Number of new methods.
    """
    if not self.members:
      return None, ()
    setup, members = self.setup, self.members
    if own or isinstance(setup, str):
      name = NEW
      while name in dict(members):
        name += '_new'
      setup = composition.Stack(setup, name)
      members = (*members, (name, own))
    return setup, members

  def tree(self, own: int) -> Any:
    """Returns the setup as a tree over the methods of the model, or None.

    Args:
      own: Number of new methods.
    """
    setup, members = self.whole(own)
    if setup is None:
      return None
    return setups.over_methods(setup, dict(members))[0]

  @property
  def factors(self) -> tuple[float, ...]:
    """Factor of the regularization of each Fuse block."""
    return tuple(block.regularization for block in setups.fuses(self.setup))


NONE = Frozen()


def bank_of(under: Any) -> dict[str, adapter_lib.Adapter]:
  """Returns the bank of an argument `under`.

  Args:
    under: Adapter, bank of adapters, or None.

  Raises:
    errors.UserError: another type, or a name that flags cannot hold.
  """
  if under is None:
    return {}
  bank = under if isinstance(under, Mapping) else {'under': under}
  for name, adapter in bank.items():
    if not isinstance(adapter, adapter_lib.Adapter):
      raise errors.UserError(
          f'`under`: give an Adapter or a bank {{name: Adapter}}, not '
          f'{type(adapter).__name__}')
    # Files of other libraries use the name as a folder, hence not '..'.
    if not isinstance(name, str) or not name.strip('.') or (
        not composition.NAME.fullmatch(name)):
      raise errors.UserError(
          f'`under`: {name!r} is no name; give a text of letters, digits and '
          '._+-, and not of dots alone')
  return dict(bank)


@contextlib.contextmanager
def saved(
    bank: Mapping[str, adapter_lib.Adapter], setup: composition.Setup
) -> Iterator[dict[str, str]]:
  """Yields the settings of frozen adapters in memory.

  Args:
    bank: Adapters, perhaps none.
    setup: Their setup, '' for the default.
  """
  names = [*bank]
  with tempfile.TemporaryDirectory() as folder:
    # Numbered, so that no name can lead out of the folder.
    paths = {name: os.path.join(folder, str(number))
             for number, name in enumerate(names)}
    for name, path in paths.items():
      with errors.within(f'`under`: adapter {name!r}'):
        bank[name].save(path)
    try:
      yield {'setup': str(setup), 'adapters': folders.render(paths)}
    except errors.UserError as error:
      # The folder is gone when the message is read.
      message = re.sub(
          re.escape(os.path.join(folder, '')) + r'(\d+)',
          lambda found: names[int(found[1])], str(error))
      error.args = (message, *error.args[1:])
      raise


def of(config: config_lib.Config) -> Frozen:
  """Returns the frozen adapters of the settings, or NONE.

  Args:
    config: Settings.

  Raises:
    errors.UserError: a folder without an adapter, an adapter of another base,
      or a setup that cannot work.
  """
  if not config.adapters:
    return NONE
  paths = folders.parse(config.adapters)
  # Folders may change: their files are part of the key.
  return _load(config.adapters, config.setup, config.tune, config.checkpoint,
               config.hidden_activation,
               tuple(stamp(path) for path in paths.values()))


def stamp(folder: str) -> tuple[file_hash.Stamp, ...]:
  """Returns sizes and times of an adapter's files, () if there are none."""
  return file_hash.stamps(
      folders.folder_of(folders.local(folder)),
      (folders.WEIGHTS, folders.SETTINGS))


@functools.lru_cache(maxsize=2)
def _load(
    adapters: str, text: str, tune: str, checkpoint: str, activation: str,
    stamps: Any,
) -> Frozen:
  """Loads and composes adapters; see `of`."""
  del stamps
  bank = {name: adapter_lib.load(path)
          for name, path in folders.parse(adapters).items()}
  identity = base_lib.identity(checkpoint)
  for name, adapter in bank.items():
    compiled.check_base(identity, adapter, f'adapter {name!r}')
    check_activation(checkpoint, activation, adapter, f'adapter {name!r}')
  setup = setups.parse(text) if text else _default(bank, tune)
  if tune == 'fusion':
    setups.demand_several(setup)
    setup = _with_norms(setup, bank)
  whole = composing.compose(bank, setup)
  if tune == 'fusion' and not setups.fuses(whole.setup):
    raise errors.UserError(
        f"`setup={text}`: `tune=fusion` trains a fuse, as in 'fuse(a, b)'")
  tuned, _ = trees.split(
      whole.tuned, lambda path: not trees.is_above(path))
  if whole.setup is None:
    name = str(setup)
    return Frozen(name, ((name, len(whole.methods)),), whole.methods, tuned)
  if tune != 'fusion' and joined_leaves.untrained(whole.setup, whole.tuned):
    raise errors.UserError(
        f'`setup={text}`: the fuse has not been trained; give `tune=fusion`, '
        'or a trained fusion')
  return Frozen(whole.setup, whole.members, whole.methods, tuned)


def check_activation(
    checkpoint: str, activation: str, adapter: adapter_lib.Adapter, what: str
) -> None:
  """Raises UserError for an adapter of another activation of the base.

  Args:
    checkpoint: Base.
    activation: Setting of the run; that of the base when empty.
    adapter: Saved adapter.
    what: Its name in the message.
  """
  of_base = pretrained.config_of(checkpoint).activation
  wanted = adapter.hidden_activation or of_base
  if wanted != (activation or of_base):
    raise errors.UserError(
        f'`hidden_activation={activation or of_base}`: {what} was '
        f'trained with {wanted}; give `hidden_activation={wanted}`')


def _default(
    bank: dict[str, adapter_lib.Adapter], tune: str
) -> composition.Setup:
  """Returns the setup of settings that name none."""
  if tune != 'fusion':
    return next(iter(bank)) if len(bank) == 1 else composition.Stack(*bank)
  if len(bank) == 1:
    name, adapter = next(iter(bank.items()))
    if adapter.setup is not None:
      return name
    raise errors.UserError(
        '`adapters`: `tune=fusion` fuses two or more; there is one')
  return composition.Fuse(*bank)


def _with_norms(
    setup: composition.Setup, bank: Mapping[str, adapter_lib.Adapter]
) -> composition.Setup:
  """Returns a setup that names the norms from which a Fuse trains its own.

  Args:
    setup: Setup over names of the bank; other blocks keep their norms.
    bank: Adapters.
  """
  if not isinstance(setup, composition.Fuse) or setup.norms:
    return setup
  trained = [any(trees.role(path) == 'norm'
                 for path in trees.flatten(bank[name].tuned))
             for name in setups.names(setup) if name in bank]
  return setup.with_members(
      setup.members, norms='average' if all(trained) else 'base')
