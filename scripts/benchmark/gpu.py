"""Measures this project against plain PyTorch on one GPU, offline.

  sh scripts/benchmark/gpu.sh OUT.json

The script also runs the tests marked `gpu`. Nothing is downloaded and TFDS is
not imported. `--pack=DIR`, on a machine with the embedded model and data,
writes 45 MB that may be copied along; without them (`--packed` empty) weights
are random and the sweep trains on made sentences. Cases that the time does not
allow are listed under 'left_out'.
"""

import contextlib
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from adapters_jax.api import flags
from adapters_jax.downloads import atomic
from adapters_jax.runs.options import option
from scripts.benchmark import workers

OURS = ('-m', 'scripts.benchmark.gpu_ours')
TORCH = ('-m', 'scripts.benchmark.gpu_torch')
_LEAST = 30.0  # Seconds that a case is given, torch.compile included.


@dataclasses.dataclass(frozen=True)
class Config:
  """Sizes and time of the measurement."""
  model: str = option(
      'base', 'Shape of random weights: tiny, minilm-l6, base or large.')
  packed: str = option('', 'Folder of --pack; random weights when empty.')
  pack: str = option('', 'Folder to write packed weights and data to.')
  batch: int = option(32, 'Examples a step.')
  lengths: str = option('64,128', 'Tokens of an example, with commas.')
  groups: str = option('1,4,16', 'Runs of vmapped groups, with commas.')
  adapters: str = option('1,8', 'Adapters of mixed batches, with commas.')
  steps: int = option(20, 'Steps of a turn.')
  turns: int = option(3, 'Turns of each case.')
  seconds: float = option(330.0, 'Time of the whole measurement.')
  compiled: bool = option(True, 'Measure torch.compile too.')
  sweep: bool = option(True, 'Train a sweep.')
  tests: str = option('', 'Text file with the outcome of the tests.')
  out: str = option('gpu.json', 'JSON file to write.')


class _Clock:
  """Remaining time of the measurement."""

  def __init__(self, seconds: float):
    self._end = time.monotonic() + seconds

  def left(self) -> float:
    """Returns seconds, perhaps below 0."""
    return self._end - time.monotonic()


def _numbers(text: str) -> list[int]:
  return [int(part) for part in text.split(',') if part]


def per_second(
    worker: workers.Worker, name: str, config: Config
) -> dict[str, float]:
  """Returns steps per second of a prepared case.

  Args:
    worker: Side that has prepared it.
    name: Name of the case.
    config: Numbers of steps and turns.
  """
  worker.ask('step', name=name, steps=2)  # Compiles, and fills the caches.
  rates = [config.steps / worker.ask(
      'step', name=name, steps=config.steps).seconds
           for _ in range(config.turns)]
  return {'best': max(rates), 'median': statistics.median(rates)}


def measure_steps(
    config: Config, ours: workers.Worker, torch: workers.Worker | None,
    clock: _Clock,
) -> dict[str, Any]:
  """Returns steps per second and peak bytes of each case on all sides.

  Args:
    config: Sizes.
    ours: Worker of this project.
    torch: Worker of torch; None without it.
    clock: Remaining time of the measurement.
  """
  from scripts.benchmark import gpu_cases  # Imports JAX.
  cases = gpu_cases.training_cases(config.batch, _numbers(config.lengths))
  failed = {'ours': ours.ask('prepare', cases=cases).value}
  found, left_out = {}, []
  for case in cases:
    name = gpu_cases.name(case)
    if clock.left() < _LEAST:
      left_out.append(name)
      continue
    row = found[name] = {}
    if name not in failed['ours']:
      row['ours'] = per_second(ours, name, config)
      row['ours_peak_bytes'] = ours.ask('memory').value
      ours.ask('free', name=name)
    for side, compiled in (('torch', False), ('torch_compile', True)):
      if torch is None or (compiled and not config.compiled):
        continue
      try:
        torch.ask('prepare', **case, compiled=compiled)
        row[side] = per_second(torch, name, config)
        row[f'{side}_peak_bytes'] = torch.ask('memory').value
      except RuntimeError as error:
        failed.setdefault(side, {})[name] = str(error)[:300]
      torch.ask('free', name=name)
  return {'cases': found, 'failed': failed, 'left_out': left_out}


def measure_groups(
    config: Config, ours: workers.Worker, clock: _Clock
) -> dict[str, Any]:
  """Returns steps per second of vmapped groups, counted once for each run.

  Args:
    config: Sizes.
    ours: Worker of this project.
    clock: Remaining time of the measurement.
  """
  from scripts.benchmark import gpu_cases
  found = {}
  for runs in _numbers(config.groups):
    case = {'tune': 'adapters', 'precision': 'bfloat16', 'batch': config.batch,
            'length': min(_numbers(config.lengths)), 'runs': runs}
    if clock.left() < _LEAST:
      found[str(runs)] = 'left out'
      continue
    if failed := ours.ask('prepare', cases=[case]).value:
      found[str(runs)] = str(failed)
      continue
    name = gpu_cases.name(case)
    found[str(runs)] = {key: runs * rate for key, rate in per_second(
        ours, name, config).items()}
    ours.ask('free', name=name)
  return found


def measure_mixed(
    config: Config, ours: workers.Worker
) -> dict[str, Any]:
  """Returns examples per second of batches with several adapters.

  Args:
    config: Sizes.
    ours: Worker of this project.

  Returns:
    {number of adapters: examples a second, or the reason of the failure}
  """
  batch, length = 2 * config.batch, min(_numbers(config.lengths))
  found: dict[str, Any] = {}
  for count in _numbers(config.adapters):
    try:
      found[str(count)] = batch / ours.ask(
          'mixed', adapters=count, batch=batch, length=length,
          precision='bfloat16', repeats=10).value
    except RuntimeError as error:  # The other numbers are measured.
      found[str(count)] = str(error)[:300]
  return found


def measure_sweep(config: Config) -> dict[str, Any]:
  """Trains a grid of four runs by the sweep command; returns its time.

  Args:
    config: Packed folder, if any.
  """
  with tempfile.TemporaryDirectory() as folder:
    more = []
    if config.packed:
      base, data = os.path.join(config.packed, 'model'), config.packed
      size, epochs = 64, 3
    else:
      from tests import tiny
      base = tiny.write_checkpoint(os.path.join(folder, 'tiny'), layers=1)
      data = os.path.dirname(tiny.write_data(folder)['train_file'])
      size, epochs, more = 4, 2, ['--buckets=0']  # Short texts: one program.
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, '-m', 'experiments.sweep', '--experiment=glue',
         f'--checkpoint={base}', f'--train_file={data}/train.tsv',
         f'--dev_file={data}/dev.tsv', f'--adapter_size={size}',
         f'--epochs={epochs}', '--max_length=40', '--group=4',
         '--grid=learning_rate=1e-3,3e-3', '--seeds=0-1',
         f'--workdir={folder}/runs', *more],
        capture_output=True, text=True)
    return {'seconds': time.perf_counter() - start, 'status': done.returncode,
            'packed': bool(config.packed),
            'output': (done.stdout + done.stderr)[-2000:]}


def _agree(
    ours: workers.Worker, torch: workers.Worker
) -> dict[str, float]:
  """Returns the largest difference of both sides' logits in float32."""
  found = {}
  for tune in ('adapters', 'full'):
    pairs = zip(*(side.ask('logits', tune=tune).value
                  for side in (ours, torch)), strict=True)
    found[tune] = max(abs(a - b) for row in pairs for a, b in zip(*row))
  return found


def measure(config: Config) -> dict[str, Any]:
  """Returns all measurements; writes after each part."""
  clock, model = _Clock(config.seconds), os.path.join(
      config.packed, 'model') if config.packed else ''
  found: dict[str, Any] = {'settings': dataclasses.asdict(config)}
  if config.tests:
    with open(config.tests, encoding='utf-8') as file:
      found['tests'] = file.read()[-4000:]

  def add(name, call, *arguments):
    start = time.perf_counter()
    try:
      found[name] = call(*arguments)
    except Exception as error:  # pylint: disable=broad-except
      found[name] = {'failed': f'{type(error).__name__}: {error}'[:1000]}
    found.setdefault('took', {})[name] = round(time.perf_counter() - start, 1)
    atomic.write_json(config.out, found)  # A stop keeps the results so far.
    print(f'{name}: {found[name]}', flush=True)

  with contextlib.ExitStack() as stack:
    weights = os.path.join(
        stack.enter_context(tempfile.TemporaryDirectory()), 'weights.npz')
    ours = stack.enter_context(workers.Worker(OURS))
    begin = {'model': config.model, 'folder': model, 'weights': weights}
    add('ours', lambda: ours.ask('begin', **begin).value)
    torch: workers.Worker | None = stack.enter_context(workers.Worker(TORCH))
    add('torch', lambda: torch.ask('begin', **begin).value)
    if 'failed' in found['torch']:
      torch = None
    else:
      add('difference_of_logits', _agree, ours, torch)
    add('groups', measure_groups, config, ours, clock)
    add('mixed', measure_mixed, config, ours)
    if config.sweep:
      add('sweep', measure_sweep, config)
    add('steps', measure_steps, config, ours, torch, clock)
  return found


def main(config: Config) -> None:
  """Packs, or measures and writes."""
  if config.pack:
    from scripts.benchmark import gpu_cases
    gpu_cases.pack(config.pack)
    return
  measure(config)


if __name__ == '__main__':
  flags.start(Config, main)
