"""Worker of scripts.benchmark for this project."""

import functools
import os
import resource
import statistics
import tempfile
import time
from typing import Any

import jax
import numpy as np
import psutil

from adapters_jax.adapters import readings
from adapters_jax.data import batching
from adapters_jax.data import examples as examples_lib
from adapters_jax.layers import bfloat16
from adapters_jax.runs import compiled as compiled_lib
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import console
from adapters_jax.runs import machine
from adapters_jax.runs import results
from adapters_jax.runs import session
from adapters_jax.runs.kinds import classification
from adapters_jax.training import loop
from adapters_jax.training import programs
from adapters_jax.training import sharding
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees
from scripts.benchmark import batches
from scripts.benchmark import workers


class Side:
  """A run of this project, a call at a time; `kind` is its kind of task."""
  kind = classification.KIND

  def begin(
      self, task: str, tune: str, data_dir: str, compiled: str = '',
      examples: int = 0, **settings: Any,
  ) -> None:
    """Loads and tokenises the data, and prepares a whole run.

    Args:
      task: Name in data.tasks.TASKS.
      tune: 'adapters' or 'full'.
      data_dir: Folder of the TFDS files.
      compiled: Folder of compiled programs; that of the cache when empty.
      examples: Number of training examples; 0 for all.
      **settings: Further settings of the run, such as its precision.
    """
    self.imports = time.time() - psutil.Process().create_time()
    start = time.perf_counter()
    session.enable_compilation_cache()
    if compiled:
      jax.config.update('jax_compilation_cache_dir', compiled)
      programs.keep_in(os.path.join(compiled, 'programs'))
    rate = {'adapters': 1e-3, 'full': 1e-4}[tune]
    self.config = config_lib.Config(
        task=task, tune=tune, data_dir=data_dir, learning_rate=rate,
        **{'train_examples': examples, **settings})
    self.setup = self.kind.prepare(self.config)
    tx, self.train_step = compiled_lib.make_step(
        self.config, self.setup, self.kind.loss_of(self.config, self.setup))
    # Created on the devices as in a run, or the second step would compile
    # again.
    self.make_progress = lambda: sharding.create(
        self.setup.mesh, lambda tuned: loop.init_progress(
            steps_lib.init_state(tuned, tx, jax.random.key(0))),
        self.setup.tuned)
    self.progress = self.make_progress()
    self.eval_step = steps_lib.make_eval_step(self.setup.model)
    self.loading = time.perf_counter() - start

  def trained(self) -> int:
    """Returns the number of trained parameters."""
    return trees.count_trained(self.setup.tuned)

  def about(self) -> dict[str, Any]:
    """Returns versions and device."""
    return {**machine.versions(), 'device': console.describe_devices()}

  def cpu(self) -> str:
    """Returns the name of the processor."""
    return machine.cpu_model()

  def gemm(
      self, rows: int, inner: int, columns: int, repeats: int, rounded: bool
  ) -> float:
    """Returns the seconds of the fastest of several matrix products.

    Args:
      rows: Rows of the left factor [rows, inner].
      inner: Inner dimension.
      columns: Columns of the right factor [inner, columns].
      repeats: Number of products.
      rounded: Whether the operands are bfloat16; the result is float32.
    """
    return workers.best_seconds(
        _product(rows, inner, columns, rounded), repeats)

  def step(self, length: int, steps: int = 1) -> float:
    """Takes steps on random words, and returns the last loss.

    Args:
      length: Words of each of the 32 inputs.
      steps: Number of steps.
    """
    batch = self._place(batches.random_batch(length))
    for _ in range(steps):
      loss = self._take(batch)
    return loss

  def warm_up(self) -> None:
    """Compiles the steps of every bucket, then resets the training."""
    for length in self.setup.schedule.buckets:
      self.step(length)
    self.progress = self.make_progress()

  def facts(self) -> dict[str, Any]:
    """Returns the steps, tokens and FLOPs of one epoch."""
    schedule = self.setup.schedule
    padded, real = schedule.tokens(0, schedule.steps_per_epoch)
    return {'steps': schedule.steps_per_epoch, 'real_tokens': real,
            'padded_tokens': padded, 'buckets': list(schedule.buckets),
            'necessary_flops': necessary_flops(
                self.setup.model.config, self.setup.splits['train'].lengths)}

  def epoch(self, first: int, last: int) -> None:
    """Trains the steps [first, last) of an epoch, by the loop of every run.

    Args:
      first: First step, which is the next one of the training.
      last: Step after the last.
    """
    if int(self.progress.state.step) != first:
      raise ValueError(f'this is step {int(self.progress.state.step)}')
    self.progress = loop.fit(
        self.train_step, self.progress, self.setup.base,
        lambda step: self._place(self.setup.schedule.batch(step)),
        # No work but steps and batches: the score is constant, and nothing is
        # saved.
        loop.Hooks(evaluate=lambda tuned, step: 0.0), steps=last,
        eval_every=last)

  def phases(self) -> dict[str, float]:
    """Trains an epoch, evaluates and saves; returns seconds of each phase.

    'programs' is the time of first calls beyond that of later ones: tracing,
    and loading or compiling.
    """
    schedule, spent, last = self.setup.schedule, {}, {}
    for number in range(schedule.steps_per_epoch):
      length = schedule.at(number).length
      last[length] = self._place(schedule.batch(number))
      spent.setdefault(length, []).append(
          workers.best_seconds(lambda: self._take(last[length]), 1))
    typical = {  # A length with a single step is timed again.
        length: statistics.median(row[1:] or [workers.best_seconds(
            lambda: self._take(last[length]), 1)])
        for length, row in spent.items()}
    programs_ = sum(row[0] - typical[n] for n, row in spent.items())
    steps = sum(map(sum, spent.values())) - programs_
    score, evaluations = self.kind.make_score(self.setup, batches.SIZE), []
    for _ in range(2):
      start = time.perf_counter()
      score(self.progress.state.tuned, 'dev')
      evaluations.append(time.perf_counter() - start)
    start = time.perf_counter()
    self.memory()  # Saves.
    return {
        'imports': self.imports, 'data, base, initialisation': self.loading,
        'programs': programs_ + evaluations[0] - evaluations[1],
        'steps': steps, 'evaluation': evaluations[1],
        'saving': time.perf_counter() - start}

  def _take(self, batch: Any) -> float:
    """Takes a step, and returns the loss."""
    state, metrics = self.train_step(
        self.progress.state, self.setup.base, batch)
    self.progress = self.progress.replace(state=state)
    # Waits for the step, which JAX only dispatched.
    return float(metrics['loss'])

  def predict(self, batch_size: int, examples: int) -> int:
    """Classifies the first dev sentences, and returns their number.

    Args:
      batch_size: Sentences of a batch.
      examples: Largest number of sentences.
    """
    dev = self.setup.splits['dev']
    some = examples_lib.Examples(dev.tokens[:examples], dev.segments[:examples],
                             dev.labels[:examples])
    logits = steps_lib.example_logits(
        self.eval_step, self.setup.base, self.progress.state.tuned,
        batching.eval_batches(some, readings.BUCKETS, batch_size), len(some))
    return len(logits)

  def memory(self) -> dict[str, int]:
    """Returns bytes of the process's peak, the optimizer and the saved file."""
    with tempfile.TemporaryDirectory() as folder:
      results.make_adapter(
          self.config, self.setup, self.kind,
          jax.device_get(self.progress.state.tuned), {}).save(folder)
      saved = sum(os.path.getsize(os.path.join(folder, name))
                  for name in os.listdir(folder))
    return {
        # Linux counts in KiB.
        'peak_bytes': 1024 * resource.getrusage(
            resource.RUSAGE_SELF).ru_maxrss,
        'optimizer_bytes': sum(
            # Only moments: step counts and rates are scalars.
            leaf.nbytes for leaf in jax.tree.leaves(
                self.progress.state.opt_state) if leaf.ndim),
        'saved_bytes': saved}

  def _place(self, batch):
    return sharding.place_batch(self.setup.mesh, batch, batches.SIZE)


@functools.cache
def _product(rows: int, inner: int, columns: int, rounded: bool) -> Any:
  """Returns a compiled matrix product, a function without arguments."""
  dtype = 'bfloat16' if rounded else 'float32'
  a = jax.numpy.ones((rows, inner), dtype)
  b = jax.numpy.ones((inner, columns), dtype)
  product = jax.jit(bfloat16.dense_product if rounded else lambda a, b: a @ b)
  # Compiles, outside of the timed calls.
  product(a, b).block_until_ready()
  return lambda: product(a, b).block_until_ready()


def necessary_flops(config: Any, lengths: np.ndarray) -> float:
  """Returns the FLOPs of the matrix products that an epoch needs at least.

  Counted for every real token: projections and feed-forward layers forward and
  backward to the inputs (no gradients of frozen kernels), the adapters with
  gradients of their kernels, and attention over the example's own length. In
  the last layer, keys and values count for all tokens, the rest for [CLS] only.
  Padding, embeddings, norms and softmax are left out.

  Args:
    config: BertConfig with one bottleneck at both sublayers of every layer.
    lengths: [examples] Tokens of the training examples.
  """
  d, f, m = config.dim, config.ffn_dim, config.adapters[0].size
  lengths = lengths.astype(float)
  dense = 2.0 * (4 * d * d + 2 * d * f)  # One token, layer and direction.
  adapter = 2.0 * 2 * (2 * d * m)  # Two adapters in a layer, each down and up.
  attention = 2.0 * 2 * d  # Each pair of positions: scores and weighted values.
  # Directions: 2 for frozen kernels, 3 with gradients; attention has no
  # kernels, but two inputs.
  whole = (2 * dense + 3 * adapter) * lengths + 3 * attention * lengths**2
  # Keys and values; then query, output and feed-forward of one token.
  last = (2 * 2.0 * 2 * d * d * lengths
          + 2 * 2.0 * (2 * d * d + 2 * d * f) + 3 * adapter
          + 3 * attention * lengths)
  return float(np.sum((config.layers - 1) * whole + last))


if __name__ == '__main__':
  workers.serve(Side())
