"""Commands of the installed package, `adapters-jax COMMAND`.

Each module defines its flags and runs one command; the scripts of experiments/
call the same modules. Imports every package below; public: `main`.
"""

import importlib
import sys

COMMANDS = ('train', 'predict', 'sweep', 'convert')


def main() -> None:
  """Runs the command that the first argument names."""
  if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
    print(f'usage: adapters-jax {"|".join(COMMANDS)} [--flags]; each has '
          '--help', file=sys.stderr)
    raise SystemExit(2)
  name = sys.argv.pop(1)
  sys.argv[0] = f'adapters-jax {name}'
  importlib.import_module(f'adapters_jax.api.commands.{name}').start()
