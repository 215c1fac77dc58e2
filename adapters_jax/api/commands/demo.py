"""Opens a local page that shows the answers of trained adapters.

It switches adapters, and layers of them, on and off, and composes them. Without
`--adapters` it shows the newest adapter of each task in the folder runs.
"""

import asyncio
import dataclasses
import socket
import sys
import webbrowser

from adapters_jax import errors
from adapters_jax.adapters import folders
from adapters_jax.api import finished
from adapters_jax.api import flags
from adapters_jax.api import listening
from adapters_jax.runs import extras
from adapters_jax.runs.options import option

_LOOPBACK = ('127.0.0.1', 'localhost', '::1')
# First text of the page; then the same as two choices, for `multiple_choice`.
FIRST_TEXTS = 'A joy from start to end.', 'A joy from\nstart to end.'


@dataclasses.dataclass(frozen=True)
class DemoConfig:
  """Settings of the demo; every field is a flag."""
  adapters: str = option(
      '', 'Workdirs of runs or folders of adapters, with commas, each DIR or '
      'name=DIR; when empty, the newest of each task in the folder runs.')
  checkpoint: str = option(
      '', 'The base, where the adapters were trained on a folder.')
  host: str = option(
      '127.0.0.1', 'Address; the default is reached from this machine alone.')
  port: int = option(8000, 'Port; 0 for a free one.')
  open: bool = option(False, 'Open the page in the browser.')


def _check(config: DemoConfig) -> str:
  """Returns the adapters; raises UserError for a setting that cannot work."""
  extras.demand('demo', 'starlette', 'uvicorn')
  listening.check_port(config.port)
  chosen = config.adapters or finished.newest('runs')
  if not chosen:
    installed = sys.argv[0].endswith('adapters-jax demo')
    train = 'adapters-jax train' if installed else 'python -m experiments.glue'
    raise errors.UserError(
        '`adapters`: no finished run is in the folder runs; name folders of '
        'adapters, or train a small one: '
        f'{train} --train_examples=1000 --epochs=1')
  folders.parse_existing(chosen)
  return chosen


def main(config: DemoConfig) -> None:
  """Shows the page until a signal ends the process."""
  chosen = _check(config)
  with listening.listen(config.host, config.port) as listener:
    _run(config, chosen, listener)


def _run(config: DemoConfig, chosen: str, listener: socket.socket) -> None:
  """Loads the adapters, and answers on a socket."""
  import uvicorn  # Slow imports: after the checks.
  from adapters_jax.api import banks
  from adapters_jax.api import demo_answers
  from adapters_jax.api import demo_service
  from adapters_jax.runs import console
  from adapters_jax.runs import session
  console.show(flags.as_text, 'stderr')
  session.enable_compilation_cache()
  base, bank = banks.load(chosen, config.checkpoint)
  answers = demo_answers.Answers(base, bank)
  print(f'adapters: {", ".join(bank)}; compiling ...', flush=True)
  answers.answer(demo_answers.Question(FIRST_TEXTS, tuple(bank)))
  local = config.host in _LOOPBACK
  app = demo_service.make(
      answers, hosts=('127.0.0.1', 'localhost', '[::1]') if local else ())
  server = uvicorn.Server(uvicorn.Config(
      app, log_level='warning', access_log=False, timeout_graceful_shutdown=5))
  url = listening.url_of(config.host, listener)
  print(f'the demo is on {url} (Ctrl-C ends it)', flush=True)
  if config.open:
    webbrowser.open(url)  # The socket listens already.
  asyncio.run(server.serve([listener]))


def start() -> None:
  """Runs the command with the flags of the command line."""
  flags.start(DemoConfig, main)
