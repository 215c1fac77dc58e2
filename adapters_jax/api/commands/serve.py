"""Serves adapters over HTTP, with one batch for concurrent requests.

POST /predict takes {"inputs": [TEXT, ...], "adapter": NAME}, or "adapters" with
a name for each input. GET /adapters, /health and /metrics describe the service.
"""

import dataclasses
import math
import socket
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import folders
from adapters_jax.api import flags
from adapters_jax.api import listening
from adapters_jax.runs import extras
from adapters_jax.runs.options import option


@dataclasses.dataclass(frozen=True)
class ServeConfig:
  """Settings of the service; every field is a flag."""
  adapters: str = option(
      '', 'Workdirs of runs or folders of adapters, with commas, each DIR or '
      'name=DIR.')
  checkpoint: str = option(
      '', 'The base, where the adapters were trained on a folder.')
  host: str = option(
      '127.0.0.1', 'Address; the default is reached from this machine alone.')
  port: int = option(8000, 'Port; 0 for a free one.')
  max_batch: int = option(32, 'Maximum inputs of a batch.')
  max_queue: int = option(1024, 'Maximum inputs that may wait.')
  max_inputs: int = option(256, 'Maximum inputs of a request.')
  max_body: int = option(2**20, 'Maximum bytes of a request.')
  timeout: float = option(60.0, 'Seconds for a body, and for an answer.')
  warm_up: bool = option(
      True, 'Compile the programs of short texts before the first request.')


def _check(config: ServeConfig) -> None:
  """Raises UserError for a setting that cannot work."""
  folders.parse(config.adapters)
  listening.check_port(config.port)
  for name in ('max_batch', 'max_queue', 'max_inputs', 'max_body', 'timeout'):
    if not 0 < getattr(config, name) < math.inf:  # Nor NaN.
      raise errors.UserError(
          f'`{name}={getattr(config, name)}`: give a number above 0')
  least = max(config.max_batch, config.max_inputs)
  if config.max_queue < least:  # Such requests would never be accepted.
    raise errors.UserError(
        f'`max_queue={config.max_queue}`: give {least} or more, as `max_batch` '
        'and `max_inputs` need')
  folders.parse_existing(config.adapters)
  extras.demand('serve', 'prometheus_client', 'starlette', 'uvicorn')


def main(config: ServeConfig) -> None:
  """Serves until a signal ends the process; running requests are answered."""
  _check(config)
  with listening.listen(config.host, config.port) as listener:
    _run(config, listener)


def _run(config: ServeConfig, listener: socket.socket) -> None:
  """Loads the adapters, and answers on a socket."""
  import uvicorn  # Slow imports: after the checks.
  from adapters_jax.adapters import batcher as batcher_lib
  from adapters_jax.api import banks
  from adapters_jax.api import bodies
  from adapters_jax.api import service
  from adapters_jax.runs import console
  from adapters_jax.runs import session
  console.show(flags.as_text, 'stderr')
  session.enable_compilation_cache()
  base, bank = banks.load(config.adapters, config.checkpoint)
  metrics = service.Metrics()
  batcher = batcher_lib.Batcher(
      base, bank, max_batch=config.max_batch, max_queue=config.max_queue,
      seen=metrics.batches.observe)
  if config.warm_up:
    _warm_up(batcher, config)
  app = service.make(batcher, metrics, bodies.Limits(
      config.max_body, config.max_inputs, config.timeout))
  server = uvicorn.Server(uvicorn.Config(
      app, log_level='warning', access_log=False, timeout_keep_alive=30,
      timeout_graceful_shutdown=int(config.timeout) + 1))
  print(f'serving {", ".join(bank)} on '
        f'{listening.url_of(config.host, listener)} (Ctrl-C ends it)',
        flush=True)
  server.run([listener])


def _warm_up(batcher: Any, config: ServeConfig) -> None:
  """Compiles the programs of every size of a batch."""
  from adapters_jax.adapters import resident
  # Multiple choice has two examples or more an input: never a batch of one.
  name, adapter = min(
      batcher.bank.items(), key=lambda item: bool(item[1].head.choices))
  one = 'a' if len(adapter.texts) == 1 else ('a',) * len(adapter.texts)
  if adapter.head.choices:
    one = ('a', ('a', 'a'))
  # None exceeds `max_queue`, which `_check` has compared to `max_batch`.
  for count in resident.sizes(config.max_batch):
    for future in batcher.submit_request([name] * count, [one] * count):
      future.result()


def start() -> None:
  """Runs the command with the flags of the command line."""
  flags.start(ServeConfig, main)
