"""Loads the bank of adapters that the flag `--adapters=NAME=DIR,DIR` names."""

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import composing
from adapters_jax.adapters import folders
from adapters_jax.adapters import prediction
from adapters_jax.model import base as base_lib
from adapters_jax.model import setups


def load(
    text: str, checkpoint: str = '', setup: str = ''
) -> tuple[base_lib.Base, bank_lib.Bank]:
  """Loads adapters, or a setup of them, and the base they were trained on.

  Args:
    text: Folders, as for `folders.parse`.
    checkpoint: Name or folder of the base; by default that of the first.
    setup: Setup of the adapters, without BatchSplit; '' for each by itself.

  Returns:
    (base, {name: adapter}); with a setup, the second is {part of the setup:
    composed adapter}, one for each answer to a text.

  Raises:
    errors.UserError: no adapter in a folder, one of another base, one without
      predictions, as a language adapter has none by itself, or one that the
      setup leaves out.
  """
  found = folders.parse_existing(text)
  if setup:
    setups.demand_all(setup if setup in found else setups.parse(setup), found)
  (first, folder), *others = found.items()
  base, adapter = prediction.load_member(folder, checkpoint)
  bank, places = {first: adapter}, {first: f'the adapter in {folder}'}
  for name, folder in others:
    bank[name], places[name] = (
        adapter_lib.load(folder), f'the adapter in {folder}')
    compiled.check_base(base.identity, bank[name], places[name])
  if setup:
    bank = composing.branches(bank, setup)
    places = {name: f'the adapter {name}' for name in bank}
  for name, adapter in bank.items():
    compiled.check_adapter(base, adapter, places[name])
  return base, bank
