"""Measures this project against `adapters` on torch, interleaved in one run.

  pip install -e '.[bench]'
  python -m scripts.benchmark --parts=step,epoch,inference,memory,start \\
    --out=experiments/results/benchmark.json

Both sides get the same MiniLM weights, data, batch size and threads. Times are
taken in turns, A B A B, on a machine that should do nothing else; each ratio is
peer / ours of one turn, so above 1 this project is faster. What is timed: a
whole training step (forward, backward, clip, AdamW) with its batch already
made; for epochs also making the batches.
"""

from collections.abc import Callable
import json
import os
import statistics
import time
from typing import Any

from absl import app
from absl import flags
import jax
import numpy as np

from adapters_jax import assets
from adapters_jax import config as config_lib
from adapters_jax import options
from adapters_jax import prepare
from adapters_jax import results
from adapters_jax import run
from adapters_jax import sharding
from adapters_jax import training
from adapters_jax import trees
from adapters_jax.data import batching
from scripts import fresh

PARTS = ('gemm', 'step', 'epoch', 'inference', 'memory', 'start')

_PARTS = flags.DEFINE_list('parts', list(PARTS), 'What to measure.')
_TURNS = flags.DEFINE_integer('turns', 9, 'Alternations of each pair.')
_SLICES = flags.DEFINE_integer('slices', 8, 'Turns an epoch is cut into.')
_TASKS = flags.DEFINE_list('tasks', ['movie_sentiment'], 'Tasks of the epochs.')
_DATA_DIR = flags.DEFINE_string('data_dir', '', 'Where TFDS keeps its files.')
_OUT = flags.DEFINE_string('out', '', 'JSON file to write or add to.')

BATCH = 32


def clocked(call: Callable[[], Any]) -> tuple[float, float]:
  """Returns (wall, processor) seconds of a call, all threads."""
  wall, cpu = time.perf_counter(), time.process_time()
  call()
  return time.perf_counter() - wall, time.process_time() - cpu


def summarize(
    ours: list[tuple[float, float]], peer: list[tuple[float, float]]
) -> dict[str, Any]:
  """Returns minima and medians in seconds, and ratios peer / ours."""
  def column(pairs, i):
    values = [pair[i] for pair in pairs]
    return {'min': min(values), 'median': statistics.median(values)}

  ratios = sorted(p[0] / o[0] for o, p in zip(ours, peer))
  return {
      'ours_seconds': column(ours, 0), 'peer_seconds': column(peer, 0),
      'ours_cpu_seconds': column(ours, 1), 'peer_cpu_seconds': column(peer, 1),
      'ratio_of_minima': min(p[0] for p in peer) / min(o[0] for o in ours),
      'ratio_median': statistics.median(ratios), 'ratio_min': ratios[0],
      'turns': len(ratios)}


def alternate(
    ours: Callable[[], Any], peer: Callable[[], Any], turns: int
) -> dict[str, Any]:
  """Returns the summary of so many turns each, after one to warm up."""
  ours(), peer()
  pairs = [(clocked(ours), clocked(peer)) for _ in range(turns)]
  return summarize([p[0] for p in pairs], [p[1] for p in pairs])


class Ours:
  """This project's step and forward pass on a task."""

  def __init__(self, task: str, tune: str):
    rate = {'adapters': 1e-3, 'full': 1e-4}[tune]
    self.config = config_lib.Config(
        task=task, tune=tune, data_dir=_DATA_DIR.value, learning_rate=rate)
    self.setup = prepare.prepare(self.config)
    tx, self.train_step = run.make_step(
        self.config, self.setup, run.CLASSIFICATION)
    self.state = sharding.create(
        self.setup.mesh,
        lambda tuned: training.init_state(tuned, tx, jax.random.key(0)),
        self.setup.tuned)
    self.eval_step = training.make_eval_step(self.setup.model)

  def step(self, batch: dict[str, np.ndarray]) -> float:
    """Takes one step and waits for its loss."""
    batch = sharding.place_batch(self.setup.mesh, batch, BATCH)
    self.state, metrics = self.train_step(self.state, self.setup.base, batch)
    return float(metrics['loss'])

  def forward(self, batch: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the logits of a batch."""
    return np.asarray(
        self.eval_step(self.setup.base, self.state.tuned, batch))


def random_batch(size: int, length: int) -> dict[str, np.ndarray]:
  """Returns a full batch of random words, no padding."""
  rng = np.random.default_rng(0)
  shape = size, length
  return {'tokens': rng.integers(1000, 30000, shape, np.int32),
          'segments': np.zeros(shape, np.int32), 'mask': np.ones(shape, bool),
          'labels': rng.integers(0, 2, size, np.int32),
          'weights': np.ones(size, np.float32)}


def measure_gemm(turns: int) -> dict[str, float]:
  """Returns the best GFLOP/s of float32 matrix products of a step's shapes."""
  best = 0.0
  for rows, inner, columns in ((1024, 384, 1536), (2048, 1536, 384),
                               (4096, 384, 1536), (2048, 2048, 2048)):
    a = jax.numpy.ones((rows, inner))
    b = jax.numpy.ones((inner, columns))
    product = jax.jit(lambda a, b: a @ b)
    product(a, b).block_until_ready()
    seconds = min(
        clocked(lambda f=product, a=a, b=b: f(a, b).block_until_ready())[0]
        for _ in range(3 * turns))
    best = max(best, 2 * rows * inner * columns / seconds / 1e9)
  return {'gflops': best}


def measure_step(turns: int, peer: Any) -> dict[str, Any]:
  """Returns the training step at fixed shapes, adapters and full."""
  found = {}
  for tune in ('adapters', 'full'):
    ours = Ours('movie_sentiment', tune)
    model = peer.make_model(assets.fetch('minilm-l6'), tune, 64)
    peer_step, _ = peer.make_step(model)
    found[f'{tune} trained'] = {
        'ours': trees.count(ours.setup.tuned),
        'peer': peer.trained_parameters(model)}
    for length in (16, 32, 64, 128):
      batch = random_batch(BATCH, length)
      theirs = peer.to_torch(batch)
      row = alternate(
          lambda o=ours, b=batch: o.step(b),
          lambda s=peer_step, b=theirs: s(b), turns)
      found[f'{tune} {BATCH} x {length}'] = row
      show(f'step, {tune}, {BATCH} x {length}', row)
  return found


def measure_epoch(slices: int, peer: Any, task: str) -> dict[str, Any]:
  """Returns one epoch in slices, against both ways of padding.

  The peer's padding to 128 takes the first two slices only, and its epoch is
  their time scaled to all steps: every step there has the same shape.
  """
  ours = Ours(task, 'adapters')
  examples = ours.setup.splits['train']
  schedule = ours.setup.schedule
  steps = schedule.steps_per_epoch
  for length in schedule.buckets:  # Compiled, or read from the cache, before.
    ours.step(random_batch(BATCH, length))
  padded, real = schedule.tokens(0, steps)
  found = {'real_tokens': real, 'ours_padded_tokens': padded, 'steps': steps,
           'necessary_flops': necessary_flops(ours)}
  for name, length in (('dynamic', None), ('to 128', 128)):
    model = peer.make_model(assets.fetch('minilm-l6'), 'adapters', 64)
    step, _ = peer.make_step(model)
    theirs = peer.batches(examples, BATCH, length, seed=0)
    step(next(peer.batches(examples, BATCH, length, seed=1)))
    shape_tokens = [
        BATCH * (length or int(examples.lengths[rows].max()))
        for rows in np.array_split(
            np.random.default_rng(0).permutation(len(examples)), steps)]
    bounds = np.linspace(0, steps, slices + 1).astype(int)
    pairs = []
    for first, last in list(zip(bounds, bounds[1:]))[:2 if length else None]:
      def ours_slice(first=first, last=last):
        for i in range(first, last):
          ours.step(schedule.batch(i))

      def peer_slice(first=first, last=last):
        for _ in range(first, last):
          step(next(theirs))

      pairs.append((last - first, clocked(ours_slice), clocked(peer_slice)))
    taken = sum(p[0] for p in pairs)
    row = {
        'ours_seconds': sum(p[1][0] for p in pairs) * steps / taken,
        'peer_seconds': sum(p[2][0] for p in pairs) * steps / taken,
        'ours_cpu_seconds': sum(p[1][1] for p in pairs) * steps / taken,
        'peer_cpu_seconds': sum(p[2][1] for p in pairs) * steps / taken,
        'slices': len(pairs), 'steps_timed': int(taken),
        'peer_padded_tokens': int(sum(shape_tokens))}
    ratios = sorted(p[2][0] / p[1][0] for p in pairs)
    row.update(ratio=row['peer_seconds'] / row['ours_seconds'],
               ratio_median=statistics.median(ratios), ratio_min=ratios[0])
    found[name] = row
    print(f'epoch of {task}, peer pads {name}: ours {row["ours_seconds"]:.1f} '
          f's, peer {row["peer_seconds"]:.1f} s, {row["ratio"]:.2f}x')
  return found


def necessary_flops(ours: Ours) -> float:
  """Returns the FLOPs of the matrix products an epoch cannot do without.

  For every real token: the projections and feed-forward layers forward and
  backward to the inputs (no gradients of frozen kernels), the adapters' kernels
  included with their own gradients, and attention over the example's own
  length; in the last layer keys and values for all tokens and the rest for
  [CLS] alone. No padding, no embeddings, norms or softmax.
  """
  config = ours.setup.model.config
  d, f, m = config.dim, config.ffn_dim, config.adapters[0].size
  lengths = ours.setup.splits['train'].lengths.astype(float)
  dense = 2.0 * (4 * d * d + 2 * d * f)  # A token, a layer, one direction.
  adapter = 2.0 * 2 * (2 * d * m)
  attention = 2.0 * 2 * d  # For each pair of positions.
  whole = (2 * dense + 3 * adapter) * lengths + 2 * attention * lengths**2
  last = (2 * 2.0 * 2 * d * d * lengths
          + 2 * 2.0 * (2 * d * d + 2 * d * f) + 3 * adapter
          + 2 * attention * lengths)
  return float(np.sum((config.layers - 1) * whole + last))


def measure_inference(turns: int, peer: Any) -> dict[str, Any]:
  """Returns examples a second on dev sentences at several batch sizes."""
  ours = Ours('movie_sentiment', 'adapters')
  forward = peer.make_forward(
      peer.make_model(assets.fetch('minilm-l6'), 'adapters', 64))
  dev = ours.setup.splits['dev']
  found = {}
  for size in (1, 8, 64):
    count = min(len(dev), 8 * size + 56)
    subset = batching.Examples(
        dev.tokens[:count], dev.segments[:count], dev.labels[:count])
    pairs = batching.eval_batches(subset, ours.setup.schedule.buckets, size)
    order = np.argsort(subset.lengths, kind='stable')
    theirs = [
        peer.to_torch(batching.make_batch(subset, batching.Plan(
            rows, int(subset.lengths[rows].max())), len(rows)))
        for rows in np.split(order, range(size, count, size))]

    def run_ours(pairs=pairs):
      for _, batch in pairs:
        ours.forward(batch)

    def run_peer(theirs=theirs):
      for batch in theirs:
        forward(batch)

    row = alternate(run_ours, run_peer, turns)
    row['examples'] = count
    row['ours_examples_per_second'] = count / row['ours_seconds']['min']
    row['peer_examples_per_second'] = count / row['peer_seconds']['min']
    found[f'batch {size}'] = row
    show(f'inference, batch {size}', row)
  return found


def show(name: str, row: dict[str, Any]) -> None:
  """Prints a comparison."""
  print(f'{name}: ours {1000 * row["ours_seconds"]["min"]:.0f} ms, peer '
        f'{1000 * row["peer_seconds"]["min"]:.0f} ms, ratio median '
        f'{row["ratio_median"]:.2f}, lowest {row["ratio_min"]:.2f}', flush=True)


def main(_) -> None:
  """Measures the parts asked for and writes them."""
  for part in _PARTS.value:
    if part not in PARTS:
      raise options.unknown('--parts', part, PARTS)
  from scripts import peer  # Imports torch: the extra `bench`.
  run.enable_compilation_cache()
  found: dict[str, Any] = {}
  if _OUT.value and os.path.exists(_OUT.value):
    with open(_OUT.value, encoding='utf-8') as file:
      found = json.load(file)
  found['versions'] = {
      **run.versions(), 'torch': peer.torch.__version__,
      'adapters': peer.adapters.__version__, 'cores': os.cpu_count()}
  measures = {
      'gemm': lambda: measure_gemm(_TURNS.value),
      'step': lambda: measure_step(_TURNS.value, peer),
      'epoch': lambda: {task: measure_epoch(_SLICES.value, peer, task)
                        for task in _TASKS.value},
      'inference': lambda: measure_inference(_TURNS.value, peer),
      'memory': fresh.measure_memory,
      'start': lambda: fresh.measure_start(max(3, _TURNS.value // 3)),
  }
  for part in _PARTS.value:
    found[part] = measures[part]()
    if _OUT.value:
      results.write_json(_OUT.value, found)


if __name__ == '__main__':
  app.run(main)
