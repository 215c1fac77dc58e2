"""The commands as one program: `adapters-jax train --adapter_size=64`."""

import importlib
import sys

from adapters_jax import errors
from adapters_jax.api import ending

NAMES = {
    'train': 'train an adapter',
    'predict': 'label texts with saved adapters',
    'serve': 'answer over HTTP with saved adapters',
    'demo': 'show saved adapters on a local page',
    'sweep': 'train a grid of runs',
    'convert': 'exchange adapters with other libraries',
}


def main() -> None:
  """Runs the command that the first argument names.

  The command's own flags follow: `adapters-jax train --help` lists them.
  """
  with ending.reported():
    name = sys.argv[1] if len(sys.argv) > 1 else ''
    if name not in NAMES:
      if name and not name.startswith('-'):
        ending.fail(errors.unknown('command', name, NAMES))
      usage = '\n'.join([
          'usage: adapters-jax COMMAND [--FLAG=VALUE ...]', '',
          *(f'  {one:8} {text}' for one, text in NAMES.items()), '',
          'adapters-jax COMMAND --help lists the flags of a command.'])
      asked = name in ('--help', '-h', '--helpfull')
      print(usage, file=sys.stdout if asked else sys.stderr)
      raise SystemExit(0 if asked else 2)
    # absl takes the program's name, to which the flags belong, from argv.
    sys.argv[:2] = [f'{sys.argv[0]} {name}']
    # Import this command alone: some import JAX.
    command = importlib.import_module(f'{__package__}.{name}')
    sys.modules['__main__'].__doc__ = command.__doc__  # The head of --help.
    command.start()
