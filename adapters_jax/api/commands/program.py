"""The commands as one program: `adapters-jax train --adapter_size=64`."""

import importlib
import sys

NAMES = ('train', 'predict', 'serve', 'sweep', 'convert')


def main() -> None:
  """Runs the command that the first argument names.

  The command's own flags follow: `adapters-jax train --help` lists them.
  """
  name = sys.argv[1] if len(sys.argv) > 1 else ''
  if name not in NAMES:
    usage = f'usage: adapters-jax {{{"|".join(NAMES)}}} [flags]'
    asked = name in ('--help', '-h')
    print(usage, file=sys.stdout if asked else sys.stderr)
    raise SystemExit(0 if asked else 2)
  # absl takes the program's name, the owner of its flags, from argv.
  sys.argv[:2] = [f'{sys.argv[0]} {name}']
  # Only the one command: some import JAX.
  command = importlib.import_module(f'{__package__}.{name}')
  sys.modules['__main__'].__doc__ = command.__doc__  # The head of --help.
  command.start()
