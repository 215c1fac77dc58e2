"""Measures the HTTP service: one request at a time against concurrent clients.

  python -m scripts.benchmark.clients

`experiments.serve` runs as a process of its own, with adapters of random
leaves. A client asks for the label of one text and waits for the answer; its
next request goes to another adapter. Both loads take turns. The clients share
the cores with the service.
"""

from concurrent import futures
import dataclasses
import http.client
import itertools
import json
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from adapters_jax.api import flags
from adapters_jax.model import base as base_lib
from adapters_jax.runs import options
from scripts.benchmark import results
from scripts.benchmark import serving


@dataclasses.dataclass(frozen=True)
class Config:
  """Server and requests of the measurement; every field is a flag."""
  checkpoint: str = options.option('minilm-l6', 'Base.')
  adapters: int = options.option(16, 'Adapters of the service.')
  size: int = options.option(64, 'Size of the bottlenecks.')
  words: int = options.option(8, 'Words of a text.')
  clients: int = options.option(16, 'Concurrent clients.')
  seconds: float = options.option(4.0, 'Duration of a load.')
  turns: int = options.option(7, 'Turns of each load.')
  out: str = options.option('', 'JSON file of the measurements.')


def ask(connection: http.client.HTTPConnection, text: str, name: str) -> None:
  """Sends one request, and raises ValueError unless its answer is a label."""
  connection.request('POST', '/predict', json.dumps(
      {'inputs': [text], 'adapter': name}))
  response = connection.getresponse()
  found = json.loads(response.read())
  if response.status != 200 or 'label' not in found['predictions'][0]:
    raise ValueError(f'status {response.status}: {found}')


def requests_a_second(
    port: int, names: list[str], text: str, clients: int, seconds: float
) -> float:
  """Returns the throughput of clients that ask one after another.

  Args:
    port: Port of the service.
    names: Adapters.
    text: Text of every request.
    clients: Number of clients.
    seconds: Duration.
  """
  def load(number):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    turn = itertools.cycle(names[number:] + names[:number])
    count = 0
    while time.perf_counter() < end:
      ask(connection, text, next(turn))
      count += 1
    connection.close()
    return count

  start = time.perf_counter()
  end = start + seconds
  with futures.ThreadPoolExecutor(clients) as pool:
    answered = sum(pool.map(load, (n % len(names) for n in range(clients))))
  return answered / (time.perf_counter() - start)


def main(config: Config) -> None:
  """Starts the service, measures both loads, and prints their throughput."""
  base = base_lib.load(config.checkpoint)
  with tempfile.TemporaryDirectory() as folder:
    names = [f'a{number}' for number in range(config.adapters)]
    for number, name in enumerate(names):
      serving.make_adapter(
          base, f'houlsby[size={config.size}]', number).save(f'{folder}/{name}')
    service = subprocess.Popen(
        [sys.executable, '-m', 'experiments.serve', '--port=0',
         f'--checkpoint={config.checkpoint}', '--adapters=' + ','.join(
             f'{name}={folder}/{name}' for name in names)],
        stdout=subprocess.PIPE, text=True)
    try:
      found = None
      while found is None:
        line = service.stdout.readline()
        if not line:
          raise ChildProcessError('the service ended before it served')
        found = re.search(r'http://127[.]0[.]0[.]1:(\d+)', line)
      measure(config, int(found[1]), names)
    finally:
      service.send_signal(signal.SIGTERM)
      service.wait(60)


def measure(config: Config, port: int, names: list[str]) -> None:
  """Prints the throughput of both loads, in turns."""
  text = ' '.join(['film'] * config.words)
  loads = {'one at a time': 1, f'{config.clients} clients': config.clients}
  found: dict[str, list[float]] = {name: [] for name in loads}
  for clients in loads.values():  # Warms up: the length of the text compiles.
    requests_a_second(port, names, text, clients, config.seconds)
  for _ in range(config.turns):
    for name, clients in loads.items():
      found[name].append(requests_a_second(
          port, names, text, clients, config.seconds))
  for name, some in found.items():
    print(f'{name}: {max(some):.0f} requests a second, median '
          f'{statistics.median(some):.0f}', flush=True)
  alone, together = found.values()
  print(f'ratio of the medians: '
        f'{statistics.median(together) / statistics.median(alone):.2f}')
  results.write(config, requests_a_second=found)


if __name__ == '__main__':
  flags.start(Config, main)
