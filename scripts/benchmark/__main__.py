"""Measures this project against `adapters` on torch, on the same machine.

  pip install -e '.[bench]'
  python -m scripts.benchmark --data_dir=DATA --out=BENCHMARK.json
  python -m scripts.benchmark --table --out=BENCHMARK.json

Each side is a process of its own, in turns, A B A B, on an otherwise idle
machine; see scripts.benchmark.workers. All have the same MiniLM weights, data,
batch size and cores. Both libraries compute in float32 and with bfloat16
products. A ratio is that of the peer at its best setting for the shape to this
project: above 1, this project is faster.
"""

import dataclasses
import os
import time
from typing import Any

from adapters_jax import errors
from adapters_jax.api import flags
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.runs import options
from scripts.benchmark import measures
from scripts.benchmark import sides
from scripts.benchmark import table as benchmark_table
from scripts.benchmark import workers


@dataclasses.dataclass(frozen=True)
class Config:
  """Parts to measure, and the target."""
  parts: str = options.option(
      ','.join(benchmark_table.TIMED), 'What to measure, with commas.')
  turns: int = options.option(7, 'Alternations of the sides.')
  slices: int = options.option(8, 'Turns that an epoch is cut into.')
  lengths: str = options.option(
      '16,32,64,128', 'Lengths of the steps, with commas.')
  tasks: str = options.option(
      'cola,movie_sentiment', 'Tasks of the epochs, with commas; whole '
      'processes and phases are those of the first.')
  examples: int = options.option(
      0, 'Training and dev examples of a task; 0 for all.')
  data_dir: str = options.option(
      '', 'Where TFDS keeps its files; the cache folder when empty.')
  out: str = options.option('', 'JSON file to add the parts to.')
  table: bool = options.option(False, 'Print --out as tables, do not measure.')

  @property
  def all_lengths(self) -> list[int]:
    """Lengths of the steps, in tokens."""
    return [int(length) for length in self.lengths.split(',')]


def about() -> dict[str, Any]:
  """Returns the machine, and the versions on both sides."""
  with workers.Worker(sides.OURS) as ours, workers.Worker(sides.PEER) as peer:
    return {'cpu': ours.ask('cpu').value, 'cores': os.cpu_count(),
            'load': os.getloadavg()[0], 'ours': ours.ask('about').value,
            'peer': peer.ask('about').value}


def main(config: Config) -> None:
  """Measures parts and writes them, or prints tables of a file."""
  found: dict[str, Any] = {}
  if config.out and os.path.exists(config.out):
    found = json_files.read(config.out)
  if config.table:
    if not found:
      raise errors.UserError('--table: --out must name a file of results')
    try:
      print(benchmark_table.tables(found))
    except KeyError as error:
      raise errors.UserError(
          f'--out={config.out}: an earlier version measured it; measure again'
      ) from error
    return
  parts = config.parts.split(',')
  for part in parts:
    if part not in benchmark_table.TIMED:
      raise errors.unknown('--parts', part, benchmark_table.TIMED)
  found['about'] = about()
  for part in parts:
    start = time.perf_counter()
    row = measures.MEASURE[part](config)
    found = {**found, part: {'timed': benchmark_table.TIMED[part], **row}}
    print(f'{part}: took {time.perf_counter() - start:.0f} s\n'
          f'{benchmark_table.tables(found, [part])}\n', flush=True)
    if config.out:
      atomic.write_json(config.out, found)  # Keeps the parts before a failure.


if __name__ == '__main__':
  flags.start(Config, main)
