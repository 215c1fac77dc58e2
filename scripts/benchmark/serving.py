"""Measures mixed batches, replaced adapters and all adapters on every text.

  python -m scripts.benchmark.serving --length=32

Processor time, since a loaded machine stretches the time on the clock. The
sides take turns; each line has the minimum and the median.
"""

from collections.abc import Callable
import dataclasses
import statistics
import time
from typing import Any

import jax
import numpy as np

from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import every
from adapters_jax.adapters import mixed
from adapters_jax.adapters import resident
from adapters_jax.api import flags
from adapters_jax.data import batching
from adapters_jax.data import examples as examples_lib
from adapters_jax.methods import strings
from adapters_jax.model import base as base_lib
from adapters_jax.model import heads
from adapters_jax.model import shapes as shapes_lib
from adapters_jax.runs import options
from adapters_jax.runs import session


@dataclasses.dataclass(frozen=True)
class Config:
  """Sizes of the measurement; every field is a flag."""
  parts: str = options.option('mixed,every', 'Parts, with commas.')
  checkpoint: str = options.option('minilm-l6', 'Base.')
  adapters: int = options.option(16, 'Adapters of the bank.')
  size: int = options.option(64, 'Size of the bottlenecks.')
  length: int = options.option(32, 'Tokens of a text.')
  batch_size: int = options.option(32, 'Texts of a batch.')
  turns: int = options.option(7, 'Turns of each side.')


def make_adapter(
    base: base_lib.Base, method: str, seed: int, *, norms: bool = True
) -> adapter_lib.Adapter:
  """Returns an adapter with random leaves.

  Args:
    base: Pretrained encoder.
    method: Method string.
    seed: Seed of the leaves.
    norms: Whether it has layer norms of its own.
  """
  methods = strings.parse(method)
  shapes = shapes_lib.of(heads.make(base.config, methods, 2, 'cls'))
  roles = ('adapter', 'head', *(['norm'] if norms else []))
  tuned, _ = trees.split(shapes, lambda path: trees.role(path) in roles)
  rng = np.random.default_rng(seed)
  return adapter_lib.Adapter(methods, jax.tree.map(
      lambda leaf: 0.02 * rng.standard_normal(leaf.shape, np.float32), tuned))


def compare(
    sides: dict[str, Callable[[], Any]], turns: int
) -> list[float]:
  """Returns the least processor time of each side; prints all, as ratios too.

  Args:
    sides: {name: call}, measured in turns.
    turns: Turns of each.
  """
  times: dict[str, list[float]] = {name: [] for name in sides}
  for call in sides.values():
    jax.block_until_ready(call())
  for _ in range(turns):
    for name, call in sides.items():
      start = time.process_time()
      jax.block_until_ready(call())
      times[name].append(time.process_time() - start)
  first = next(iter(times.values()))
  for name, some in times.items():
    median = statistics.median(some)
    print(f'{name}: {min(some) * 1e3:.1f} ms, median {median * 1e3:.1f} ms; '
          f'ratio {min(some) / min(first):.3f}, median '
          f'{median / statistics.median(first):.3f}', flush=True)
  return [min(some) for some in times.values()]


def measure_mixed(config: Config, base: base_lib.Base) -> None:
  """Compares a mixed batch with one of a single adapter; times a swap."""
  method = f'houlsby[size={config.size}]'
  bank = {str(n): make_adapter(base, method, n) for n in range(config.adapters)}
  placed = resident.place(base, bank)
  examples = examples_of(config)
  (_, batch), = batching.eval_batches(
      examples, (config.length,), config.batch_size)
  one, tuned = bank['0'], jax.device_put(bank['0'].tuned)
  step = compiled.eval_step(compiled.model_of(base, one))
  params = compiled.params_of(base, one)
  names = [str(n % config.adapters) for n in range(config.batch_size)]
  compare({
      'one adapter': lambda: step(params, tuned, batch),
      'mixed': lambda: mixed.forward(
          placed, names, examples, config.batch_size, (config.length,))},
      config.turns)
  seconds = []
  for number in range(config.turns + 1):
    other = make_adapter(base, method, 100 + number)
    start = time.process_time()
    placed = resident.put(placed, '3', other)
    jax.block_until_ready(placed.stacks)
    seconds.append(time.process_time() - start)
  print(f'swap: {min(seconds[1:]) * 1e3:.2f} ms, median '
        f'{statistics.median(seconds[1:]) * 1e3:.2f} ms', flush=True)


def measure_every(config: Config, base: base_lib.Base) -> None:
  """Compares one pass of all adapters with a pass for each."""
  layers = base.config.layers
  examples = examples_of(config)
  for part, first in (('third', layers - layers // 3),
                      ('half', layers - layers // 2)):
    below = ','.join(map(str, range(first)))
    bank = {str(n): make_adapter(
        base, f'houlsby[size={config.size}, leave_out=[{below}]]', n,
        norms=False) for n in range(config.adapters)}
    (_, batch), = batching.eval_batches(
        examples, (config.length,), config.batch_size)
    one = bank['0']
    step = compiled.eval_step(compiled.model_of(base, one))
    params = compiled.params_of(base, one)
    trees_of = [jax.device_put(adapter.tuned) for adapter in bank.values()]
    placed = resident.place(base, bank, exact=True)
    whole = every.make_step(placed.layouts)
    print(f'adapters in the upper {part}:')
    above, hidden = upper_step(base, one, first, config)
    times = compare({
        f'{config.adapters} passes': lambda: [
            step(params, tuned, batch) for tuned in trees_of],
        'one pass': lambda: whole(params, placed.stacks, batch),
        f'{config.adapters} times the layers above': lambda: [
            above(params, tuned, hidden) for tuned in trees_of]}, config.turns)
    passes, together, upper = times
    unshared = upper / passes
    bound = 1 / ((1 - unshared) / config.adapters + unshared)
    print(f'speed-up {passes / together:.2f} of at most {bound:.2f}: '
          f'{passes / together / bound:.2f}', flush=True)


def upper_step(
    base: base_lib.Base, adapter: adapter_lib.Adapter, first: int,
    config: Config,
) -> tuple[Callable[..., Any], dict[str, Any]]:
  """Returns (step of the layers from the first adapted one, its batch)."""
  model = compiled.model_of(base, adapter)
  model = model.clone(config=dataclasses.replace(
      model.config, first_layer=first))
  shape = config.batch_size, config.length
  return compiled.eval_step(model), {
      'hidden': np.random.default_rng(0).standard_normal(
          (*shape, base.config.dim), np.float32),
      'mask': np.ones(shape, bool)}


def examples_of(config: Config) -> examples_lib.Examples:
  """Returns texts of random words, all of one length."""
  rng = np.random.default_rng(0)
  tokens = [*rng.integers(
      1000, 30000, (config.batch_size, config.length), np.int32)]
  return examples_lib.Examples(
      tokens, [row * 0 for row in tokens],
      np.zeros(config.batch_size, np.int32))


def main(config: Config) -> None:
  """Measures the parts."""
  session.enable_compilation_cache()
  base = base_lib.load(config.checkpoint)
  for part in config.parts.split(','):
    {'mixed': measure_mixed, 'every': measure_every}[part](config, base)


if __name__ == '__main__':
  flags.start(Config, main)
