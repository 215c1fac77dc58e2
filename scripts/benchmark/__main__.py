"""Measures this project against `adapters` on torch, on the same machine.

  pip install -e '.[bench]'
  python -m scripts.benchmark --data_dir=DATA --out=BENCHMARK.json
  python -m scripts.benchmark --table --out=BENCHMARK.json

Each side is a process of its own, in turns, A B A B, on an otherwise idle
machine; see scripts.benchmark.workers. Both have the same MiniLM weights, data,
batch size and cores. A ratio is peer / ours: above 1, this project is faster.
"""

import dataclasses
import os
import statistics
import tempfile
import time
from typing import Any

from adapters_jax.api import flags
from adapters_jax import errors

from adapters_jax.data import tasks
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.runs import options
from scripts.benchmark import table as benchmark_table
from scripts.benchmark import workers

OURS, PEER = ('-m', 'scripts.benchmark.ours'), ('-m', 'scripts.benchmark.peer')
LENGTHS = (16, 32, 64, 128)
_STEPS = 3  # Steps in a row in a turn of the part 'step'.
_SENTENCES = {1: 128, 8: 512, 64: 512}  # {batch size: dev sentences}


@dataclasses.dataclass(frozen=True)
class Config:
  """Parts to measure, and the target."""
  parts: str = options.option(
      ','.join(benchmark_table.TIMED), 'What to measure, with commas.')
  turns: int = options.option(7, 'Alternations of each pair.')
  slices: int = options.option(8, 'Turns that an epoch is cut into.')
  tasks: str = options.option(
      'cola,movie_sentiment', 'Tasks of the epochs, with commas.')
  data_dir: str = options.option(
      '', 'Where TFDS keeps its files; the cache folder when empty.')
  out: str = options.option('', 'JSON file to add the parts to.')
  table: bool = options.option(False, 'Print --out as tables, do not measure.')


def begun(
    config: Config, command: tuple[str, ...], tune: str = 'adapters',
    task: str = 'movie_sentiment', **arguments: Any,
) -> workers.Worker:
  """Returns a side that has loaded data and model.

  Args:
    config: Settings.
    command: OURS or PEER.
    tune: 'adapters' or 'full'.
    task: Name of the task.
    **arguments: Further arguments of the side's `begin`.
  """
  worker = workers.Worker(command)
  worker.ask('begin', task=task, tune=tune, data_dir=config.data_dir,
             **arguments)
  return worker


def compare(
    ours: list[workers.Answer], peer: list[workers.Answer]
) -> dict[str, Any]:
  """Returns minima and medians in seconds, and ratios peer / ours.

  Args:
    ours: Answers of this project, a turn each.
    peer: Answers of the peer in the same turns.
  """
  def column(answers, name):
    values = [getattr(answer, name) for answer in answers]
    return {'min': min(values), 'median': statistics.median(values)}

  # By turn, in which both sides saw the same load of the machine.
  ratios = [p.seconds / o.seconds for o, p in zip(ours, peer, strict=True)]
  found = {
      f'{side}_{name}': column(answers, name)
      for name in ('seconds', 'cpu_seconds')
      for side, answers in (('ours', ours), ('peer', peer))}
  return {
      **found, 'turns': len(ratios), 'ratio_min': min(ratios),
      'ratio_median': statistics.median(ratios),
      'ratio_of_minima': found['peer_seconds']['min']
                         / found['ours_seconds']['min'],
      'idle_cpu_seconds': max(a.idle_cpu_seconds for a in (*ours, *peer))}


def measure_gemm(config: Config) -> dict[str, Any]:
  """Returns GFLOP/s of matrix products with the shapes of a step."""
  found = {}
  with workers.Worker(OURS) as ours, workers.Worker(PEER) as peer:
    for length in LENGTHS:
      # Projections, and both feed-forward layers of MiniLM.
      for inner, columns in ((384, 384), (384, 1536), (1536, 384)):
        shape = {'rows': 32 * length, 'inner': inner, 'columns': columns}
        call = 'gemm', {**shape, 'repeats': 5}
        answers = workers.in_turns(
            {'ours': ours, 'peer': peer}, config.turns,
            {'ours': call, 'peer': call})
        found['x'.join(map(str, shape.values()))] = {
            side: 2 * 32 * length * inner * columns / 1e9
                  / min(answer.value for answer in some)
            for side, some in answers.items()}
  peak = {side: max(row[side] for row in found.values())
          for side in ('ours', 'peer')}
  return {'shapes': found, 'peak': peak}


def measure_step(config: Config) -> dict[str, Any]:
  """Returns the times of a training step at fixed shapes."""
  found = {}
  for tune in ('adapters', 'full'):
    with begun(config, OURS, tune) as ours, begun(config, PEER, tune) as peer:
      lengths = {}
      found[tune] = {
          'trained': {'ours': ours.ask('trained').value,
                      'peer': peer.ask('trained').value},
          'lengths': lengths}
      for length in LENGTHS:
        call = 'step', {'length': length, 'steps': _STEPS}
        answers = workers.in_turns(
            {'ours': ours, 'peer': peer}, config.turns,
            {'ours': call, 'peer': call}, awaken=('step', {'length': length}))
        lengths[str(length)] = compare(*(
            [dataclasses.replace(a, seconds=a.seconds / _STEPS,
                                 cpu_seconds=a.cpu_seconds / _STEPS)
             for a in answers[side]] for side in ('ours', 'peer')))
  return found


def measure_epoch(config: Config) -> dict[str, Any]:
  """Returns the times of an epoch of each task."""
  found = {}
  for task in config.tasks.split(','):
    tasks.load(tasks.find(task), config.data_dir)  # Prepared untimed.
    with tempfile.TemporaryDirectory() as compiled:
      found[task] = _epoch_of(config, task, compiled)
  return {'tasks': found}


def _epoch_of(config: Config, task: str, compiled: str) -> dict[str, Any]:
  """Returns the times of an epoch, the sides in turns of a slice each."""
  setup, starts = {}, {}
  for name, command, arguments in (
      ('ours', OURS, {'compiled': compiled}),
      ('ours_warm', OURS, {'compiled': compiled}), ('peer', PEER, {})):
    start = time.perf_counter()
    worker = begun(config, command, task=task, **arguments)
    if command == OURS:
      worker.ask('warm_up')
    else:
      worker.ask('step', length=32)
    starts[name] = time.perf_counter() - start
    if name == 'ours_warm':  # It replaces the cold process.
      setup.pop('ours').close()
      name = 'ours'
    setup[name] = worker
  with setup['ours'] as ours, setup['peer'] as peer:
    facts = {'ours': ours.ask('facts').value, 'peer': peer.ask('facts').value}
    peer.ask('epoch', first=0, last=1, length=128)  # Warms the shape up.
    steps = {side: row['steps'] for side, row in facts.items()}
    answers = {'ours': [], 'peer': [], 'to_128': []}
    for i in range(config.slices):
      first, last = ({side: count * j // config.slices  # Steps of a slice.
                      for side, count in steps.items()} for j in (i, i + 1))
      answers['ours'].append(
          workers.turn(ours, 'epoch', first=first['ours'], last=last['ours']))
      answers['peer'].append(
          workers.turn(peer, 'epoch', first=first['peer'], last=last['peer']))
      answers['to_128'].append(workers.turn(
          peer, 'epoch', first=first['peer'], last=first['peer'] + 1,
          length=128))  # One step for a slice.
  totals = {side: {name: sum(getattr(answer, name) for answer in some)
                   for name in ('seconds', 'cpu_seconds')}
            for side, some in answers.items()}
  totals['to_128'] = {  # Extrapolated: every step has the same shape.
      name: steps['peer'] * statistics.median(
          getattr(answer, name) for answer in answers['to_128'])
      for name in ('seconds', 'cpu_seconds')}
  slices = [(o.seconds, p.seconds, q.seconds * steps['peer'] / config.slices)
            for o, p, q in zip(*answers.values())]
  seconds = {side: row['seconds'] for side, row in totals.items()}
  return {
      **{side: {**totals[side], **facts.get(side, {})} for side in totals},
      'steps_at_128_timed': config.slices,
      'start_seconds': starts,
      'ratios': {
          name: {'total': seconds[name] / seconds['ours'],
                 'slice_min': min(s[i] / s[0] for s in slices),
                 'slice_median': statistics.median(s[i] / s[0] for s in slices)}
          for i, name in ((1, 'peer'), (2, 'to_128'))},
      'idle_cpu_seconds': max(
          a.idle_cpu_seconds for some in answers.values() for a in some)}


def measure_inference(config: Config) -> dict[str, Any]:
  """Returns the times of dev sentences at several batch sizes."""
  found = {}
  with begun(config, OURS) as ours, begun(config, PEER) as peer:
    for size, examples in _SENTENCES.items():
      some = {'batch_size': size, 'examples': examples}
      answers = workers.in_turns(
          {'ours': ours, 'peer': peer, 'peer_sorted': peer}, config.turns,
          {'ours': ('predict', some),
           'peer': ('predict', {**some, 'ordered': False}),
           'peer_sorted': ('predict', {**some, 'ordered': True})})
      row = {'examples': answers['ours'][0].value}
      for side in ('peer', 'peer_sorted'):
        row[side] = compare(answers['ours'], answers[side])
      found[str(size)] = row
  return {'sizes': found}


def measure_start(config: Config) -> dict[str, Any]:
  """Returns seconds from starting Python to the loss of the first step."""
  found = {'cold': [], 'warm': [], 'peer': []}
  for _ in range(-(-config.turns // 3)):  # Rounded up.
    with tempfile.TemporaryDirectory() as compiled:
      for name, command, arguments in (
          ('cold', OURS, {'compiled': compiled}),
          ('warm', OURS, {'compiled': compiled}), ('peer', PEER, {})):
        start = time.perf_counter()
        with begun(config, command, **arguments) as worker:
          worker.ask('step', length=32)
          found[name].append(time.perf_counter() - start)
  return {'seconds': {
      name: {'min': min(seconds), 'median': statistics.median(seconds)}
      for name, seconds in found.items()}}


def measure_memory(config: Config) -> dict[str, Any]:
  """Returns bytes of a process that trained, its optimizer and its file."""
  found = {}
  with tempfile.TemporaryDirectory() as compiled:
    for tune in ('adapters', 'full'):
      for side, command, arguments in (
          ('ours', OURS, {'compiled': compiled}), ('peer', PEER, {})):
        with begun(config, command, tune, **arguments) as worker:
          for _ in range(3):
            worker.ask('step', length=128)
          found.setdefault(tune, {})[side] = worker.ask('memory').value
  return {'sides': found}


def about() -> dict[str, Any]:
  """Returns the machine, and the versions on both sides."""
  with workers.Worker(OURS) as ours, workers.Worker(PEER) as peer:
    versions = {'ours': ours.ask('about').value,
                'peer': peer.ask('about').value}
  cpu = ''
  if os.path.exists('/proc/cpuinfo'):
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      cpu = next((line.partition(':')[2].strip() for line in file
                  if line.startswith('model name')), '')
  return {'cpu': cpu, 'cores': os.cpu_count(), **versions}


MEASURE = {
    'gemm': measure_gemm, 'step': measure_step, 'epoch': measure_epoch,
    'inference': measure_inference, 'start': measure_start,
    'memory': measure_memory}


def main(config: Config) -> None:
  """Measures parts and writes them, or prints tables of a file."""
  found: dict[str, Any] = {}
  if config.out and os.path.exists(config.out):
    found = json_files.read(config.out)
  if config.table:
    if not found:
      raise errors.UserError('--table: --out must name a file of results')
    print(benchmark_table.tables(found))
    return
  parts = config.parts.split(',')
  for part in parts:
    if part not in benchmark_table.TIMED:
      raise errors.unknown('--parts', part, benchmark_table.TIMED)
  found['about'] = about()
  for part in parts:
    start = time.perf_counter()
    row = MEASURE[part](config)
    found = {**found, part: {'timed': benchmark_table.TIMED[part], **row}}
    print(f'{part}: took {time.perf_counter() - start:.0f} s\n'
          f'{benchmark_table.tables(found, [part])}\n', flush=True)
    if config.out:
      atomic.write_json(config.out, found)  # Keeps the parts before a failure.


if __name__ == '__main__':
  flags.define(Config)
  flags.start(Config, main)
