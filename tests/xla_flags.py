"""XLA's flags for tiny models, which run for moments and compile for minutes.

Imports no JAX, since XLA reads its flags when JAX starts.
"""

from importlib import metadata


def quick_to_compile() -> list[str]:
  """Returns flags that cut the time to compile; programs run more slowly."""
  found = ['--xla_backend_optimization_level=0']  # LLVM need not optimise.
  release = tuple(map(int, metadata.version('jaxlib').split('.')[:2]))
  # XLA ends the process at an unknown flag, and 0.12 dropped that of emitters.
  if (0, 8) <= release < (0, 11):
    found += [
        # Older emitters of fused loops compile a step in half the time.
        '--xla_cpu_use_fusion_emitters=false',
        # One LLVM module: a tenth less time than many small ones.
        '--xla_cpu_parallel_codegen_split_count=1']
  return found
