"""Loads the bank of adapters that the flag `--adapters=NAME=DIR,DIR` names."""

import logging

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import composing
from adapters_jax.adapters import folders
from adapters_jax.adapters import prediction
from adapters_jax.model import base as base_lib
from adapters_jax.model import setups

_log = logging.getLogger(__name__)


def load(
    text: str, checkpoint: str = '', setup: str = ''
) -> tuple[base_lib.Base, bank_lib.Bank]:
  """Loads adapters, or a setup of them, and the base they were trained on.

  Args:
    text: Folders, as for `folders.parse`.
    checkpoint: Name or folder of the base; by default that of the first.
    setup: Setup of the adapters, without BatchSplit; '' for each by itself.

  Returns:
    (base in the precision of the training, or float32 if theirs differ, which
    is logged; {name: adapter}); with a setup, the second is {part of the setup:
    composed adapter}, one for each answer to a text.

  Raises:
    errors.UserError: no adapter in a folder, one of another base, one without
      predictions, as a language adapter has none by itself, or one that the
      setup leaves out.
  """
  found = folders.parse_existing(text)
  if setup:
    setups.demand_all(setup if setup in found else setups.parse(setup), found)
  bank = {name: adapter_lib.load(folder) for name, folder in found.items()}
  places = {name: f'the adapter in {folder}' for name, folder in found.items()}
  first = next(iter(bank))
  base = prediction.base_of(
      bank[first], found[first], _precision(bank), checkpoint)
  for name, adapter in bank.items():
    compiled.check_base(base.identity, adapter, places[name])
  if setup:
    bank = composing.branches(bank, setup)
    places = {name: f'the adapter {name}' for name in bank}
  for name, adapter in bank.items():
    compiled.check_adapter(base, adapter, places[name])
  return base, bank


def _precision(bank: bank_lib.Bank) -> str:
  """Returns the precision in which the adapters of a bank are computed."""
  own = {name: prediction.precision_of(adapter)
         for name, adapter in bank.items()}
  first, *others = {*own.values()}
  if not others:
    return first
  # Not that of the first: the order of the flag would change the results.
  _log.warning(
      '`adapters`: all are computed in float32, as their precisions differ: %s',
      ', '.join(f'{name} {precision}' for name, precision in own.items()))
  return 'float32'
