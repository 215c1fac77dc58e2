"""Measurements of scripts.benchmark, one function for each part."""

from collections.abc import Callable, Mapping
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from adapters_jax.data import tasks
from adapters_jax.downloads import pinned
from scripts.benchmark import sides as sides_lib
from scripts.benchmark import workers

_STEPS = 3  # Steps in a row in a turn of the part 'step'.
_SENTENCES = {1: 128, 8: 512, 64: 512}  # {batch size: dev sentences}


def _arguments(config: Any, **changed: Any) -> dict[str, Any]:
  """Returns arguments of `begin`."""
  return {'task': 'movie_sentiment', 'tune': 'adapters',
          'data_dir': config.data_dir, 'examples': config.examples, **changed}


def gemm(config: Any) -> dict[str, Any]:
  """Returns GFLOP/s of matrix products with the shapes of a step."""
  found = {}
  with workers.Worker(sides_lib.OURS) as ours, workers.Worker(
      sides_lib.PEER) as peer:
    sides = {'ours': ours, 'ours_bfloat16': ours, 'peer': peer,
             'peer_bfloat16': peer}
    for length in config.all_lengths:
      # Projections, and both feed-forward layers of MiniLM.
      for inner, columns in ((384, 384), (384, 1536), (1536, 384)):
        shape = {'rows': 32 * length, 'inner': inner, 'columns': columns}
        answers = workers.in_turns(sides, config.turns, {
            side: ('gemm', {**shape, 'repeats': 5,
                            'rounded': side.endswith('bfloat16')})
            for side in sides})
        found['x'.join(map(str, shape.values()))] = {
            side: 2 * 32 * length * inner * columns / 1e9
                  / min(answer.value for answer in some)
            for side, some in answers.items()}
  peak = {side: max(row[side] for row in found.values()) for side in sides}
  return {'shapes': found, 'peak': peak}


def step(config: Any) -> dict[str, Any]:
  """Returns the times of a training step at fixed shapes."""
  found = {}
  for tune in ('adapters', 'full'):
    with sides_lib.all_begun(**_arguments(config, tune=tune)) as sides:
      lengths = {}
      found[tune] = {
          'trained': {side: worker.ask('trained').value
                      for side, worker in sides.items()},
          'lengths': lengths}
      for length in config.all_lengths:
        call = 'step', {'length': length, 'steps': _STEPS}
        answers = workers.in_turns(
            sides, config.turns, dict.fromkeys(sides, call),
            awaken=('step', {'length': length}))
        lengths[str(length)] = sides_lib.compare(
            sides_lib.per_step(answers, _STEPS))
  return found


def epoch(config: Any) -> dict[str, Any]:
  """Returns the times of an epoch of each task."""
  found = {}
  for task in config.tasks.split(','):
    tasks.load(tasks.find(task), config.data_dir)  # Prepared untimed.
    with sides_lib.all_begun(**_arguments(config, task=task)) as sides:
      found[task] = _epoch_of(config, sides)
  return {'tasks': found}


def _epoch_of(
    config: Any, sides: Mapping[str, workers.Worker]
) -> dict[str, Any]:
  """Returns the times of an epoch, the sides in turns of a slice each."""
  facts = {side: worker.ask('facts').value for side, worker in sides.items()}
  for side, worker in sides.items():
    if sides_lib.is_ours(side):
      worker.ask('warm_up')  # Compiles every length.
    else:
      worker.ask('epoch', first=0, last=1)
      worker.ask('epoch', first=0, last=1, length=128)
  answers = {side: [] for side in sides}
  peers = [side for side in sides if not sides_lib.is_ours(side)]
  padded = {f'{side}_to_128': [] for side in peers}
  for i in range(config.slices):
    for side, worker in sides.items():
      first, last = (
          facts[side]['steps'] * j // config.slices for j in (i, i + 1))
      answers[side].append(
          workers.turn(worker, 'epoch', first=first, last=last))
      if side in peers:  # A slice for each step.
        padded[f'{side}_to_128'].append(workers.turn(
            worker, 'epoch', first=first, last=first + 1, length=128))
  totals = {side: {name: sum(getattr(answer, name) for answer in some)
                   for name in ('seconds', 'cpu_seconds')}
            for side, some in answers.items()}
  for side, some in padded.items():  # Every step has the same shape.
    totals[side] = {
        name: facts[peers[0]]['steps'] * statistics.median(
            getattr(answer, name) for answer in some)
        for name in ('seconds', 'cpu_seconds')}
  best = min(peers, key=lambda side: totals[side]['seconds'])
  ratios = {
      side: {'total': totals[best]['seconds'] / totals[side]['seconds'],
             **{f'slice_{name}': call(
                 p.seconds / o.seconds for o, p in zip(
                     answers[side], answers[best], strict=True))
                for name, call in (
                    ('min', min), ('median', statistics.median))}}
      for side in filter(sides_lib.is_ours, sides)}
  return {
      'sides': totals, 'facts': facts, 'best_peer': best, 'ratios': ratios,
      'steps_at_128_timed': config.slices,
      'idle_cpu_seconds': max(
          a.idle_cpu_seconds for some in answers.values() for a in some)}


def inference(config: Any) -> dict[str, Any]:
  """Returns the times of dev sentences at several batch sizes."""
  found = {}
  with sides_lib.all_begun(**_arguments(config)) as sides:
    for size, examples in _SENTENCES.items():
      some = {'batch_size': size, 'examples': config.examples or examples}
      calls = {side: ('predict', some if sides_lib.is_ours(side)
                      else {**some, 'ordered': True}) for side in sides}
      # In the order of the data, too: users would not sort by length.
      called = {**sides, 'peer_unsorted': sides['peer']}
      calls['peer_unsorted'] = 'predict', {**some, 'ordered': False}
      answers = workers.in_turns(called, config.turns, calls)
      found[str(size)] = {'examples': answers['ours'][0].value,
                          **sides_lib.compare(answers)}
  return {'sizes': found}


def phases(config: Any) -> dict[str, Any]:
  """Returns seconds of each phase of our CoLA epoch, programs on disk."""
  found = {}
  with tempfile.TemporaryDirectory() as compiled:
    for side in filter(sides_lib.is_ours, sides_lib.SIDES):
      rows = []
      for _ in range(1 + -(-config.turns // 3)):  # The first one compiles.
        with sides_lib.begun(side, **_arguments(
            config, task=config.tasks.split(',')[0], compiled=compiled
            )) as worker:
          rows.append(worker.ask('phases').value)
      found[side] = {'cold': rows[0], 'warm': {
          name: min(row[name] for row in rows[1:]) for name in rows[0]}}
  return {'sides': found}


def process(config: Any) -> dict[str, Any]:
  """Returns the times of whole processes: an epoch, evaluation and saving."""
  task = config.tasks.split(',')[0]
  tasks.load(tasks.find(task), config.data_dir)
  answers = {side: [] for side in sides_lib.SIDES}
  cold = {}
  with tempfile.TemporaryDirectory() as folder:
    # Its own folder of programs; downloads are shared.
    cache = os.path.join(folder, 'cache')
    os.makedirs(cache)
    for name in 'assets', 'tokens':
      if os.path.isdir(os.path.join(pinned.cache_dir(), name)):
        os.symlink(os.path.join(pinned.cache_dir(), name),
                   os.path.join(cache, name))
    for turn in range(-1, -(-config.turns // 2)):
      for side in sides_lib.SIDES:
        command = _command(config, side, task, os.path.join(folder, 'run'))
        answer = timed(command, {**os.environ, 'ADAPTERS_JAX_CACHE': cache})
        shutil.rmtree(os.path.join(folder, 'run'), ignore_errors=True)
        if turn < 0:
          cold[side] = answer.seconds
        else:
          answers[side].append(answer)
  return {**sides_lib.compare(answers), 'first_seconds': cold, 'task': task}


def _command(config: Any, side: str, task: str, workdir: str) -> list[str]:
  """Returns the command of a whole training."""
  (_, module), precision = sides_lib.SIDES[side]
  if sides_lib.is_ours(side):
    return ['-m', 'experiments.glue', f'--task={task}', '--epochs=1',
            f'--precision={precision}', f'--data_dir={config.data_dir}',
            f'--train_examples={config.examples}', f'--workdir={workdir}']
  return ['-m', module, f'--task={task}', f'--precision={precision}',
          f'--data_dir={config.data_dir}', f'--examples={config.examples}']


def timed(
    arguments: list[str], environment: Mapping[str, str]
) -> workers.Answer:
  """Returns the times of a Python process that must succeed.

  Args:
    arguments: Arguments of the interpreter.
    environment: Environment variables.
  """
  def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

  before, start = children(), time.perf_counter()
  done = subprocess.run([sys.executable, *arguments], env=dict(environment),
                        capture_output=True, text=True)
  seconds = time.perf_counter() - start
  if done.returncode:
    raise RuntimeError(f'{" ".join(arguments)}: {done.stderr[-500:]}')
  return workers.Answer(None, seconds, children() - before, 0.0)


def start(config: Any) -> dict[str, Any]:
  """Returns seconds from starting Python to the loss of the first step."""
  found: dict[str, list[float]] = {'cold': [], 'warm': [], 'peer': []}
  for _ in range(-(-config.turns // 3)):  # Rounded up.
    with tempfile.TemporaryDirectory() as compiled:
      for name, side, arguments in (
          ('cold', 'ours', {'compiled': compiled}),
          ('warm', 'ours', {'compiled': compiled}), ('peer', 'peer', {})):
        begin = time.perf_counter()
        with sides_lib.begun(
            side, **_arguments(config, **arguments)) as worker:
          worker.ask('step', length=32)
          found[name].append(time.perf_counter() - begin)
  return {'seconds': {
      name: sides_lib.column(seconds) for name, seconds in found.items()}}


def memory(config: Any) -> dict[str, Any]:
  """Returns bytes of a process that trained, its optimizer and its file."""
  found: dict[str, dict[str, Any]] = {}
  for tune in ('adapters', 'full'):
    for side in sides_lib.SIDES:
      with sides_lib.begun(side, **_arguments(config, tune=tune)) as worker:
        for _ in range(3):
          worker.ask('step', length=max(config.all_lengths))
        found.setdefault(tune, {})[side] = worker.ask('memory').value
  return {'sides': found}


MEASURE: dict[str, Callable[[Any], dict[str, Any]]] = {
    'gemm': gemm, 'step': step, 'epoch': epoch, 'inference': inference,
    'start': start, 'phases': phases, 'process': process, 'memory': memory}
