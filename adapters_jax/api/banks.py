"""Banks from the flag `--adapters=NAME=DIR,DIR`."""

import os

from adapters_jax import errors


def parse(text: str) -> dict[str, str]:
  """Returns {name: folder}; a folder without a name has that of its last part.

  Args:
    text: Folders with commas, each alone or as name=folder.

  Raises:
    errors.UserError: no folder, or a name that occurs twice.
  """
  found: dict[str, str] = {}
  for part in filter(None, map(str.strip, text.split(','))):
    name, equals, folder = part.partition('=')
    if not equals:
      folder = name
      name = os.path.basename(os.path.abspath(folder))
    name, folder = name.strip(), folder.strip()
    if not name or not folder:
      raise errors.UserError(
          f'`adapters`: {part!r} is not of the form DIR or name=DIR')
    if name in found:
      raise errors.UserError(
          f'`adapters`: two are named {name!r}; give name=DIR')
    if not os.path.isdir(folder):
      raise errors.UserError(f'`adapters`: there is no folder {folder}')
    found[name] = folder
  if not found:
    raise errors.UserError(
        '`adapters`: name workdirs of finished runs, or folders of adapters')
  return found


def load(text: str, checkpoint: str = ''):
  """Loads adapters and the base that all of them were trained on.

  Args:
    text: As for `parse`.
    checkpoint: Name or folder of the base; by default that of the first.

  Returns:
    (base, {name: adapter})

  Raises:
    errors.UserError: no adapter in a folder, or one of another base.
  """
  folders = parse(text)
  # Slow: after the checks of the text.
  from adapters_jax.adapters import adapter as adapter_lib
  from adapters_jax.adapters import compiled
  from adapters_jax.adapters import prediction
  first, *others = folders
  base, adapter = prediction.load(folders[first], checkpoint)
  bank = {first: adapter}
  for name in others:
    bank[name] = adapter_lib.load(folders[name])
    compiled.check_adapter(base, bank[name], f'the adapter in {folders[name]}')
  return base, bank
