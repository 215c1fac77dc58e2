"""Start-up and memory of fresh processes, for scripts.benchmark."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

_CHILD = {
    'ours': """
import jax
from scripts import benchmark
benchmark.flags.FLAGS(['benchmark'])
ours = benchmark.Ours('movie_sentiment', 'adapters')
for length in {lengths}:
  ours.step(benchmark.random_batch(32, length))
tuned = benchmark.jax.tree.leaves(ours.state.tuned)
moments = [x for x in jax.tree.leaves(ours.state.opt_state) if x.ndim]
""",
    'peer': """
from adapters_jax import assets
from scripts import benchmark, peer
model = peer.make_model(assets.fetch('minilm-l6'), 'adapters', 64)
step, optimizer = peer.make_step(model)
for length in {lengths}:
  step(peer.to_torch(benchmark.random_batch(32, length)))
tuned = [p for p in model.parameters() if p.requires_grad]
moments = [v for s in optimizer.state.values() for v in s.values() if v.ndim]
""",
}
_REPORT = """
import json, resource
print(json.dumps({
    'peak_bytes': 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    'tuned_bytes': 4 * sum(int(x.size if isinstance(x.size, int) else x.numel())
                           for x in tuned),
    'optimizer_bytes': 4 * sum(
        int(x.size if isinstance(x.size, int) else x.numel())
        for x in moments)}))
"""


def child(side: str, lengths: tuple[int, ...], cache: str) -> dict[str, Any]:
  """Returns the report and the wall seconds of a fresh process."""
  environment = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': cache}
  code = _CHILD[side].format(lengths=lengths)
  start = time.perf_counter()
  out = subprocess.run(
      [sys.executable, '-c', code + _REPORT], check=True, text=True,
      capture_output=True, env=environment)
  return {**json.loads(out.stdout.splitlines()[-1]),
          'seconds': time.perf_counter() - start}


def measure_memory() -> dict[str, Any]:
  """Returns peak resident bytes of a process that trained at 32 x 128."""
  with tempfile.TemporaryDirectory() as cache:
    found = {side: child(side, (128, 128), cache) for side in ('ours', 'peer')}
  print({side: f'{row["peak_bytes"] / 2**20:.0f} MiB'
         for side, row in found.items()})
  return found


def measure_start(turns: int) -> dict[str, Any]:
  """Returns seconds from starting Python to the first step's loss."""
  found = {'ours cold': [], 'ours warm': [], 'peer': []}
  for _ in range(turns):
    with tempfile.TemporaryDirectory() as cache:
      found['ours cold'].append(child('ours', (32,), cache)['seconds'])
      found['ours warm'].append(child('ours', (32,), cache)['seconds'])
    found['peer'].append(child('peer', (32,), '')['seconds'])
  row = {name: {'min': min(v), 'median': statistics.median(v)}
         for name, v in found.items()}
  print('start to first step:', row)
  return row
