"""Kills, damages and starves tiny runs, and checks that nothing is lost.

  python -m scripts.stress --quick
  python -m scripts.stress --full --out=experiments/results/reliability.json

--quick takes about a minute on two idle cores, --full ten minutes. The same
--seed makes the same kills, damages and flags. Exit status 1 if any run is lost
or differs, any file is misread silently, or any message is a traceback.
"""

import argparse
import os
import random
import sys
import time

from tests import xla_flags

# Before JAX is imported.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['XLA_FLAGS'] = ' '.join([
    os.environ.get('XLA_FLAGS', ''), *xla_flags.quick_to_compile()])
# The processes that the parts start inherit the value; see `runs.allocator`.
os.environ.setdefault('GLIBC_TUNABLES', 'glibc.malloc.hugetlb=0')

from adapters_jax.downloads import atomic  # noqa: E402
from adapters_jax.downloads import json_files  # noqa: E402
from adapters_jax.runs import machine  # noqa: E402
from adapters_jax.runs import records  # noqa: E402
from adapters_jax.runs import session  # noqa: E402
from scripts.stress import damage  # noqa: E402
from scripts.stress import disk  # noqa: E402
from scripts.stress import kills  # noqa: E402
from scripts.stress import place as place_lib  # noqa: E402
from scripts.stress import starts  # noqa: E402
from scripts.stress import wrong_flags  # noqa: E402

# {part: (number in quick, number in full)}
SIZES = {'flags': (20, 300), 'file_events': (4, 150), 'random_kills': (1, 40),
         'damage': (80, 2000), 'full_disk': (2, 400), 'cold_starts': (2, 8)}


def measure(
    place: place_lib.Place, sizes: dict[str, int], seed: int
) -> dict[str, dict]:
  """Runs all parts; returns {part: its figures}.

  Args:
    place: Place of the runs.
    sizes: {part: number of its cases}; a part with 0 is left out.
    seed: Seed of the cases.
  """
  os.environ['ADAPTERS_JAX_CACHE'] = place.path('cache')
  found, whole = {}, []

  def part(name, function):
    if sizes.get(name):
      start = time.monotonic()
      # Its own generator: a part left out changes no other.
      with place_lib.stderr() as text:
        found[name] = function(
            random.Random(f'{seed} {name}'), sizes[name])
        # Threads print tracebacks that end no call.
        found[name]['printed'] = text().count('Traceback')
      found[name]['seconds'] = round(time.monotonic() - start, 1)
      print(f'{name}: {found[name]}', flush=True)

  def repeated(rng, number):
    for name in ('whole', 'again')[:number]:
      place_lib.train(place.config(name))
      whole.append(place_lib.result(place.path(name)))
    return {'runs': number, 'different': [
        'another result' for other in whole if other != whole[0]]}

  # First: they need a process without JAX's threads.
  part('flags', lambda rng, n: wrong_flags.run(place, rng, n))
  session.enable_compilation_cache()
  sizes = {**sizes, 'repeated': 2}
  part('repeated', repeated)
  part('file_events',
       lambda rng, n: kills.at_file_events(
           place, whole[0], rng, n, every=1 if n > 20 else 50))
  part('damage', lambda rng, n: damage.run(place, rng, n))
  part('full_disk', lambda rng, n: disk.run(place, whole[0], rng, n))
  part('random_kills',
       lambda rng, n: kills.at_random_times(place, whole[0], rng, n))
  part('cold_starts', lambda rng, n: starts.run(place, whole[0], n))
  return found


def faults(found: dict[str, dict]) -> int:
  """Returns the number of faults in the figures of all parts."""
  return sum(len(figures.get('faults', [])) + len(figures.get('different', []))
             + figures.get('printed', 0) for figures in found.values())


def write(path: str, found: dict[str, dict], seed: int) -> None:
  """Adds the figures of the parts to a JSON file.

  Args:
    path: Path of the file.
    found: {part: its figures}.
    seed: Seed of the cases.
  """
  here = {'seed': seed, 'machine': machine.describe(),
          'versions': machine.versions(),
          'commit': records.commit_of(__file__)}
  before = json_files.read(path) if os.path.exists(path) else {}
  atomic.write_json(path, {**before, **{
      name: {**figures, **here} for name, figures in found.items()}})


def main() -> None:
  """Runs the parts as the arguments say."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  size = parser.add_mutually_exclusive_group(required=True)
  size.add_argument('--quick', action='store_true')
  size.add_argument('--full', action='store_true')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--parts', default=','.join(SIZES),
                      help='parts to run, with commas')
  parser.add_argument('--out', default='',
                      help='JSON file to add the figures to')
  chosen = parser.parse_args()
  parts = chosen.parts.split(',')
  if unknown := set(parts) - set(SIZES):
    parser.error(f'unknown parts: {", ".join(sorted(unknown))}')
  sizes = {name: SIZES[name][chosen.full] for name in parts}
  start = time.monotonic()
  with place_lib.made() as place:
    found = measure(place, sizes, chosen.seed)
  total = faults(found)
  print(f'{total} faults, {time.monotonic() - start:.0f} s')
  if chosen.out:
    write(chosen.out, found, chosen.seed)
  sys.exit(bool(total))


if __name__ == '__main__':
  main()
