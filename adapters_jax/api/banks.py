"""Banks from the flag `--adapters=NAME=DIR,DIR`."""

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import folders
from adapters_jax.adapters import prediction
from adapters_jax.model import base as base_lib


def load(
    text: str, checkpoint: str = ''
) -> tuple[base_lib.Base, bank_lib.Bank]:
  """Loads adapters and the base that all of them were trained on.

  Args:
    text: Folders, as for `folders.parse`.
    checkpoint: Name or folder of the base; by default that of the first.

  Returns:
    (base, {name: adapter})

  Raises:
    errors.UserError: no adapter in a folder, or one of another base.
  """
  (first, folder), *others = folders.parse_existing(text).items()
  base, adapter = prediction.load(folder, checkpoint)
  bank = {first: adapter}
  for name, folder in others:
    bank[name] = adapter_lib.load(folder)
    compiled.check_adapter(base, bank[name], f'the adapter in {folder}')
  return base, bank
