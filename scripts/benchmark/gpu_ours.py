"""Worker of scripts.benchmark.gpu for this project."""

from collections.abc import Callable
from concurrent import futures
import dataclasses
from typing import Any

import jax
import numpy as np

from adapters_jax import trees
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.model import heads
from adapters_jax.model import precision as precision_lib
from adapters_jax.training import optimizers
from adapters_jax.training import selections
from adapters_jax.training import steps
from scripts.benchmark import gpu_cases
from scripts.benchmark import workers


class Side:
  """Training steps and predictions of this project, a call at a time."""

  def begin(self, model: str, folder: str, weights: str) -> dict[str, Any]:
    """Initialises the base; writes it for the other side.

    Args:
      model: Key of `gpu_cases.SHAPES`.
      folder: Folder of a checkpoint; random weights when empty.
      weights: .npz file to write.
    """
    self._shape = gpu_cases.shape_of(model, folder)
    self._params = gpu_cases.params_of(self._shape, folder)
    np.savez(weights, **jax.tree.map(np.asarray, trees.flatten(self._params)))
    self._cases: dict[str, Any] = {}
    self._bases: dict[Any, trees.Tree] = {}
    device = jax.devices()[0]
    return {'jax': jax.__version__, 'device': device.device_kind,
            'platform': device.platform,
            'parameters': trees.count(self._params)}

  def _model(self, tune: str, precision: str) -> heads.Classifier:
    chosen = precision_lib.choose(precision, self._shape.head_dim)
    return gpu_cases.model_of(dataclasses.replace(
        self._shape, dtype=chosen.dtype, attention=chosen.attention,
        products=chosen.products), tune)

  def prepare(self, cases: list[dict[str, Any]]) -> dict[str, str]:
    """Compiles the steps of cases, several at a time.

    Args:
      cases: tune, precision, batch, length and runs of each.

    Returns:
      {name of a case: reason of its failure}
    """
    failed = {}
    with futures.ThreadPoolExecutor(8) as pool:
      jobs = {}
      for case in cases:
        try:  # Traced one by one, compiled together.
          lowered, state, base, batch = self._lowered(**case)
        except Exception as error:  # pylint: disable=broad-except
          failed[gpu_cases.name(case)] = repr(error)[:300]
          continue
        jobs[gpu_cases.name(case)] = (
            pool.submit(lowered.compile), state, base, batch)
      for name, (job, *rest) in jobs.items():
        try:
          self._cases[name] = [job.result(), *rest]
        except Exception as error:  # pylint: disable=broad-except
          failed[name] = repr(error)[:300]
    return failed

  def _lowered(self, tune, precision, batch, length, runs=1):
    """Returns (lowered step, function that makes its state, base, batch)."""
    model = self._model(tune, precision)
    tuned, base = self._split(tune, precision)
    tx = optimizers.make_optimizer(
        learning_rate=1e-4, select=self._selection(tune), steps=10_000)
    step = steps.make_train_step(
        model, tx, heads.cross_entropy, grouped=runs > 1)

    def one():
      return steps.init_state(tuned, tx, jax.random.key(0))

    make = jax.jit(
        one if runs == 1 else lambda: trees.stack([one()] * runs))
    data = gpu_cases.batch_of(self._shape, batch, length)
    if runs > 1:
      data = {name: np.stack([value] * runs) for name, value in data.items()}
    data = jax.device_put(data)
    chosen = precision_lib.choose(precision, self._shape.head_dim)
    with jax.default_matmul_precision(chosen.matmul):
      lowered = step.lower(jax.eval_shape(make), base, data)
    return lowered, make, base, data

  def _selection(self, tune: str) -> Callable[[str], bool]:
    return selections.make_select(tune, self._shape.layers, True, None, 1)

  def _split(
      self, tune: str, precision: str
  ) -> tuple[trees.Tree, trees.Tree]:
    """Returns the tuned leaves and the base, cast once for each precision."""
    tuned, base = trees.split(
        gpu_cases.with_tune(self._params, tune), self._selection(tune))
    key = tune, precision
    if key not in self._bases:
      self._bases[key] = precision_lib.cast(precision, base)
    return tuned, self._bases[key]

  def step(self, name: str, steps: int) -> float:
    """Takes steps of a prepared case, and returns the last loss.

    Args:
      name: Name of the case.
      steps: Number of steps.
    """
    entry = self._cases[name]
    call, state, base, batch = entry
    if callable(state):
      state = state()
    for _ in range(steps):
      state, metrics = call(state, base, batch)
    entry[1] = state
    return float(np.mean(metrics['loss']))  # Waits for the steps.

  def free(self, name: str) -> None:
    """Frees the memory of a case."""
    self._cases.pop(name, None)

  def memory(self) -> int:
    """Returns the peak bytes on the device so far, 0 where unknown."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get('peak_bytes_in_use', 0)

  def mixed(
      self, adapters: int, batch: int, length: int, precision: str,
      repeats: int,
  ) -> float:
    """Returns seconds of a batch whose examples have different adapters.

    Args:
      adapters: Number of adapters; 1 for the ordinary step.
      batch: Examples.
      length: Tokens of each example.
      precision: Precision of the computation.
      repeats: Number of calls; the fastest counts.
    """
    model = self._model('adapters', precision)
    tuned, base = self._split('adapters', precision)
    data = jax.device_put(gpu_cases.batch_of(self._shape, batch, length))
    chosen = precision_lib.choose(precision, self._shape.head_dim)
    with jax.default_matmul_precision(chosen.matmul):
      if adapters == 1:
        step, arguments = steps.make_eval_step(model), (base, tuned, data)
      else:
        stacked = trees.stack([tuned] * adapters)
        ids = jax.device_put(np.arange(batch, dtype=np.int32) % adapters)
        step = jax.jit(lambda base, stacked, ids, data: bank_lib.apply_mixed(
            model, base, stacked, ids, data['tokens'], data['segments'],
            data['mask']))
        arguments = base, stacked, ids, data

      def call():
        return step(*arguments).block_until_ready()

      call()  # Compiles.
      return workers.best_seconds(call, repeats)

  def logits(self, tune: str) -> list[list[float]]:
    """Returns logits in float32, to compare with the other side."""
    model = self._model(tune, 'float32')
    data = gpu_cases.batch_of(self._shape, 2, 8)
    with jax.default_matmul_precision('highest'):
      return np.asarray(steps.make_eval_step(model)(
          {}, gpu_cases.with_tune(self._params, tune), data)).tolist()


if __name__ == '__main__':
  workers.serve(Side())
