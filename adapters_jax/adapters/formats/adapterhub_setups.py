"""Setups of the `adapters` library: stacks, and AdapterFusion with weights."""

from collections.abc import Callable, Sequence
import dataclasses
import os
from typing import Any

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import composing
from adapters_jax.adapters import folders
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import adapterhub_configs
from adapters_jax.adapters.formats import adapterhub_fusions
from adapters_jax.adapters.formats import adapterhub_norms
from adapters_jax.adapters.formats import setup_checks
from adapters_jax.adapters.formats import weights
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.methods import values as values_lib
from adapters_jax.model import composition
from adapters_jax.model import encoder
from adapters_jax.model import setups

SETUP = folders.ADAPTER_SETUP


def to_dict(setup: composition.Setup) -> dict[str, Any]:
  """Returns the JSON value of a setup of Stack and Fuse blocks."""
  if isinstance(setup, str):
    return {'type': 'single', 'children': [setup]}
  return {'type': type(setup).__name__,
          'children': [to_dict(member) for member in setup.members]}


def from_dict(values: Any, where: str) -> composition.Setup:
  """Returns the setup of a JSON value.

  Args:
    values: JSON value.
    where: Path of its file, for messages.

  Raises:
    errors.UserError: a block other than Stack and Fuse, or a name that cannot
      be that of a folder.
  """
  kind, children = (values_lib.needed(values, name)
                    for name in ('type', 'children'))
  if not isinstance(children, list) or not children:
    raise errors.UserError(f'{where}: its children are no list with a member')
  if kind == 'single':
    setup_checks.check_name(children[0], where)  # It names a folder, below.
    return str(children[0])
  if kind not in ('Stack', 'Fuse'):
    raise errors.UserError(
        f'{where}: setups of Stack and Fuse are read, not {kind}; load the '
        'adapters one by one, and give predict the setup')
  block = composition.Stack if kind == 'Stack' else composition.Fuse
  members = [from_dict(child, where) for child in children]
  if kind == 'Fuse' and not all(isinstance(one, str) for one in members):
    raise errors.UserError(
        f'{where}: a fuse of names is read, not one of blocks')
  return block(*members)


def files(folder: str) -> list[str]:
  """Returns the relative paths of files that a folder with a setup may have.

  Args:
    folder: Folder with adapter_setup.json.

  Raises:
    errors.UserError: the file is damaged or not supported.
  """
  setup, _ = _read_setup(folder)
  single = (adapterhub.CONFIG, adapterhub.WEIGHTS, adapterhub.BIN,
            adapterhub.HEAD_CONFIG, adapterhub.HEAD_WEIGHTS,
            adapterhub.HEAD_BIN)
  fusion = (adapterhub_fusions.CONFIG, adapterhub_fusions.WEIGHTS,
            adapterhub_fusions.BIN)
  fused = map(adapterhub_fusions.name_of, setups.fuses(setup))
  return [f'{name}/{file}' for name in dict.fromkeys(setups.names(setup))
          for file in single] + [
              f'{name}/{file}' for name in fused for file in fusion]


def read(
    folder: str, shape: encoder.BertConfig, head: bool = True,
    base: Callable[[], trees.Tree] | None = None,
) -> adapter_lib.Adapter:
  """Returns the composed adapter of a folder of `save_adapter_setup`.

  Args:
    folder: Folder with adapter_setup.json, and a subfolder for each adapter and
      fusion.
    shape: Shape of the base.
    head: Whether to read the head: that of the last adapter, unless the file
      names another.
    base: As for `adapterhub.read`.

  Raises:
    errors.UserError: a file is missing, damaged or not supported.
  """
  setup, owner = _read_setup(folder)
  if head and not owner:
    raise errors.UserError(
        f'{os.path.join(folder, SETUP)}: its head_setup is no adapter of the '
        'setup; give head=False, and train a head or take that of another file')
  names = list(dict.fromkeys(setups.names(setup)))
  bank = {name: adapterhub.read(
      os.path.join(folder, name), shape, head and name == owner, base)[1]
          for name in names}
  setup = adapterhub_fusions.with_fields(setup, folder)
  whole = composing.compose(bank, setup, head=owner)
  _check(whole, os.path.join(folder, SETUP),
         'load the folders of its members one by one')
  tuned = dict(whole.tuned)
  for block, tree in zip(
      setups.fuses(setup), setups.fuses(whole.composition), strict=True):
    tuned = trees.overlay(tuned, adapterhub_fusions.read(
        folder, block, tree, shape, whole))
  tuned = trees.overlay(tuned, adapterhub_norms.read(
      folder, _tensors(folder, names)))
  return dataclasses.replace(whole, tuned=tuned)


def _read_setup(folder: str) -> tuple[composition.Setup, str]:
  """Returns (setup, name of the member with the head) of a folder.

  The name is '' if the head belongs to no member.

  Args:
    folder: Folder with adapter_setup.json.
  """
  where = os.path.join(folder, SETUP)
  values = json_files.read(where)
  setup = from_dict(values_lib.needed(values, 'adapter_setup'), where)
  names = list(setups.names(setup))
  owner = values.get('head_setup')
  if owner is None:  # The library then uses the head of the last member.
    return setup, names[-1]
  return setup, owner if owner in names else ''


def write(
    folder: str, name: str, adapter: adapter_lib.Adapter, base: trees.Tree,
    shape: encoder.BertConfig, model: str = '',
) -> list[str]:
  """Writes a folder for `load_adapter_setup`, or for `load_adapter`.

  The head is written into the folder of the last adapter, under its name.

  Args:
    folder: Folder, created if absent.
    name: Name of an adapter that is not composed.
    adapter: Composed adapter, or a single one, as in `adapterhub.write`.
    base: Pretrained tree, for the pooler where the head reads it.
    shape: Shape of the base.
    model: Name of the base on the Hugging Face hub, '' if unknown.

  Returns:
    Notes for the user.

  Raises:
    errors.UserError: a setup that the library computes in another way.
  """
  if adapter.setup is None:
    return adapterhub.write(folder, name, adapter, base, shape, model)
  last = list(setups.names(adapter.setup))[-1]
  for member, _ in adapter.members:
    setup_checks.check_name(member, '`format=adapterhub`')
  _check(adapter, '`format=adapterhub`',
         f'export its members one by one, as in aj.member(adapter, {last!r})')
  notes: list[str] = []
  for member, _ in adapter.members:
    one = composing.member(adapter, member)
    kept, _ = trees.split(
        one.tuned, lambda path: trees.role(path) != 'norm' and (
            member == last or not trees.is_above(path)))
    notes += adapterhub.write(
        os.path.join(folder, member), member,
        dataclasses.replace(one, tuned=kept), base, shape, model)
  for block, tree in zip(
      setups.fuses(adapter.setup), setups.fuses(adapter.composition),
      strict=True):
    notes += adapterhub_fusions.write(
        folder, block, tree, adapter, shape, model)
  atomic.write_json(os.path.join(folder, SETUP), {
      'adapter_setup': to_dict(adapter.setup), 'head_setup': None,
      'version': adapterhub_configs.VERSION})
  tensors = _tensors(folder, [name for name, _ in adapter.members])
  return notes + adapterhub_norms.write(folder, adapter.tuned, tensors)


def _tensors(folder: str, names: Sequence[str]) -> weights.Tensors:
  """Returns {adapter/name: tensor} of the folders of some adapters."""
  return {
      f'{name}/{key}': tensor for name in names for key, tensor in weights.read(
          os.path.join(folder, name), adapterhub.WEIGHTS,
          adapterhub.BIN).items()}


def _check(adapter: adapter_lib.Adapter, what: str, advice: str) -> None:
  """Raises UserError for a setup that the library computes in another way.

  Args:
    adapter: Composed adapter.
    what: Name of its source; starts the message.
    advice: Remedy; ends the message.
  """
  if adapter.setup is not None and (
      reason := setup_checks.difference(adapter)):
    raise errors.UserError(
        f'{what}: `adapters` computes {adapter.setup} in another way '
        f'({reason}); {advice}')
