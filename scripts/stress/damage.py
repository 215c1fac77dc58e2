"""Damaged files: each change is refused, repaired, or changes no result."""

from collections.abc import Callable
import dataclasses
import json
import os
import random
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import prediction
from adapters_jax.runs import group as group_lib
from adapters_jax.runs import rungs
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import workdirs
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import vmapped
from adapters_jax.training import resume as resume_lib
from scripts.stress import place as place_lib

_TEXTS = (('good film',), ('a very bad plot',), ('fine',))
_VALUES = (None, True, -1, 0, 1, 2, 1e999, float('nan'), 1e-40, 10**20, '', 'x',
           [], {}, [[]], 'x' * 5000)


@dataclasses.dataclass(frozen=True)
class Kind:
  """A kind of file to damage.

  Attributes:
    path: Path of the file.
    read: Reads it as the commands do, and returns comparable values.
    json: Whether values of JSON are changed as well.
  """
  path: str
  read: Callable[[], Any]
  json: bool = False


def changed(content: bytes, rng: random.Random) -> bytes:
  """Returns a content with one random change.

  Args:
    content: Bytes of the file.
    rng: Generator.
  """
  size = len(content)
  first = rng.randrange(size)
  last = min(size, first + 1 + int(rng.expovariate(1 / 40)))
  part = content[first:last]
  how = rng.randrange(9)
  if how == 0:
    return content[:first]
  if how == 1:  # One bit.
    return content[:first] + bytes(
        [content[first] ^ (1 << rng.randrange(8))]) + content[first + 1:]
  if how == 2:
    return content[:first] + content[last:]
  if how == 3:
    return content[:first] + part + content[first:]
  if how == 4:
    return content[:first] + bytes(len(part)) + content[last:]
  if how == 5:
    return content[:first] + rng.randbytes(len(part)) + content[last:]
  if how == 6:
    return content[first:]
  if how == 7:  # Another digit, as the likeliest change without an error.
    digits = [i for i, c in enumerate(content) if chr(c).isdecimal()]
    if digits:
      at = rng.choice(digits)
      return content[:at] + str(rng.randrange(10)).encode() + content[at + 1:]
  return rng.choice((b'', b'null', b'[]', b'{}', b'\xef\xbb\xbf' + content,
                     content + content, rng.randbytes(size)))


def changed_json(content: bytes, rng: random.Random) -> bytes:
  """Returns JSON with one entry changed, removed or renamed.

  Args:
    content: JSON text.
    rng: Generator.
  """
  value = json.loads(content)
  places: list[tuple[Any, Any]] = []

  def walk(node):
    for key in node if isinstance(node, dict) else range(len(node)):
      places.append((node, key))
      if isinstance(node[key], (dict, list)):
        walk(node[key])

  walk(value)
  if places:
    node, key = rng.choice(places)
    if rng.random() < 0.2:
      del node[key]
    elif rng.random() < 0.2 and isinstance(node, dict):
      node[f'{key}x'] = node.pop(key)
    else:
      node[key] = rng.choice(_VALUES)
  return json.dumps(value).encode()


def kinds(place: place_lib.Place) -> dict[str, Kind]:
  """Makes one run, a run in progress and a group; returns files to damage.

  Args:
    place: Place of the runs.
  """
  config = place.config('damage')
  place_lib.train(config)
  run = config.workdir
  second = _with_tokenizer(place)
  # An adapter of its own, which knows the file's hash.
  other = dataclasses.replace(
      place.config('damage-second'), checkpoint=second)
  place_lib.train(other)

  def predict(base, run=run):
    def read():
      loaded, adapter = prediction.load(run, base)
      # Few damaged files get this far, so compiling would not pay.
      with jax.disable_jit():
        outputs, _ = prediction.values(
            loaded, {'': adapter}, [''] * len(_TEXTS), _TEXTS)
      return [value.tolist() for value in outputs]
    return read

  def adapter():
    return adapter_lib.load(run)

  def settings():
    workdirs.check_free(config, place_lib.EXPERIMENT)

  base = place.path('tiny')
  found = {
      'base: config.json': Kind(f'{base}/config.json', predict(base), True),
      'base: vocab.txt': Kind(f'{base}/vocab.txt', predict(base)),
      'base: model.safetensors': Kind(
          f'{base}/model.safetensors', predict(base)),
      'base: tokenizer.json': Kind(
          f'{second}/tokenizer.json', predict(second, other.workdir), True),
      'adapter: config.json': Kind(f'{run}/adapter/config.json', adapter, True),
      'adapter: tuned.safetensors': Kind(
          f'{run}/adapter/tuned.safetensors', adapter),
      'run.json': Kind(f'{run}/run.json', settings, True),
      'record.json': Kind(
          f'{run}/record.json', lambda: workdirs.finished(run), True),
      'data: train.tsv': Kind(
          place.path('data', 'train.tsv'),
          lambda: setup_lib.load_data(config)[1]['train'].labels.shape),
  }
  found |= _rungs(place) | _group(place) | _state(place)
  return found


def _with_tokenizer(place: place_lib.Place) -> str:
  """Returns a copy of the base with a tokenizer.json."""
  folder = shutil.copytree(place.path('tiny'), place.path('second'))
  words = tokenizers.BertWordPieceTokenizer(f'{folder}/vocab.txt')
  words.save(f'{folder}/tokenizer.json')
  os.remove(f'{folder}/vocab.txt')
  return folder


def _rungs(place: place_lib.Place) -> dict[str, Kind]:
  """Returns the file of the scores with which a run waits at a rung."""
  folder = place.path('rungs')
  rungs.write(folder, rungs.Rungs(
      {'1': 0.8125, '3': 0.875}, waits=3.0, base='tiny#0123',
      data={'dev': {'examples': 30, 'sha256': '4567'}}))
  return {'rungs.json': Kind(
      rungs.path_of(folder), lambda: rungs.read(folder), True)}


def _group(place: place_lib.Place) -> dict[str, Kind]:
  """Returns the file of a group of two runs that has begun."""
  runs = [place.config(f'group-{seed}', seed=seed) for seed in (0, 1)]
  folder = vmapped.begin_group(runs)
  os.makedirs(os.path.join(workdirs.state_of(folder), '1'))  # As of a save.

  def read():
    units = vmapped.make_units(runs, runs, place_lib.EXPERIMENT, len)
    # The same group has the same folder, and finds its state.
    return [*map(vmapped.group_folder, units)]
  return {'group.json': Kind(f'{folder}/group.json', read, True)}


def _state(place: place_lib.Place) -> dict[str, Kind]:
  """Returns the files of a saved state with one before it."""
  group = group_lib.make_group([place.config('state')], classification.KIND)
  progress, folder = group_lib.initial(group), place.path('state-saves')

  def at(step):
    return dataclasses.replace(progress, state=dataclasses.replace(
        progress.state, step=jnp.int32(step)))

  resume = resume_lib.Resume(folder)
  for step in (1, 2):
    resume.save(at(step), {'step': step})
  resume.close()

  def read():
    opened = resume_lib.Resume(folder)
    try:
      found, extra = opened.restore(at(0))
      plain = jax.tree.map(
          lambda leaf: np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(
              leaf.dtype, jax.dtypes.prng_key) else leaf).tolist(), found)
      assert int(found.state.step) == extra['step']
      # Either save is good: less work is kept, with a message.
      return jax.tree.leaves(dataclasses.replace(
          plain, state=dataclasses.replace(plain.state, step=0)))
    finally:
      opened.close()

  paths = [os.path.join(parent, name)
           for parent, _, names in os.walk(os.path.join(folder, '2'))
           for name in names] + [os.path.join(folder, '2.sha256.json')]
  return {f'state: {os.path.relpath(path, folder)}': Kind(path, read)
          for path in sorted(paths) if os.path.getsize(path)}


def run(
    place: place_lib.Place, rng: random.Random, mutations: int
) -> dict[str, Any]:
  """Damages each kind of file in turns.

  Args:
    place: Place of the files.
    rng: Generator.
    mutations: Number of changes over all files.

  Returns:
    {'mutations', 'outcomes': {outcome: number}, 'files': number, 'faults':
    descriptions}. Outcomes: 'refused' with one line; 'equal'; 'warned', another
    result after a message; 'silent', another result without one; 'traceback'.
  """
  files = kinds(place)
  whole = {name: kind.read() for name, kind in files.items()}
  outcomes = dict.fromkeys(
      ('refused', 'equal', 'warned', 'silent', 'traceback'), 0)
  faults = []
  # The state's many files share one turn, lest they crowd out the others.
  states = [name for name in files if name.startswith('state')]
  others = [name for name in files if name not in states]
  for number in range(mutations):
    turn = number % (len(others) + 1)
    name = others[turn] if turn < len(others) else rng.choice(states)
    kind = files[name]
    with open(kind.path, 'rb') as file:
      content = file.read()
    damaged = (changed_json if kind.json and rng.random() < 0.5 else
               changed)(content, rng)
    with open(kind.path, 'wb') as file:
      file.write(damaged)
    with place_lib.messages() as said:
      outcome, found = place_lib.attempt(kind.read)
    with open(kind.path, 'wb') as file:
      file.write(content)
    if outcome == 'result':
      same = found == whole[name] or name.startswith('data')
      outcome = 'equal' if same else 'warned' if said else 'silent'
    outcomes[outcome] += 1
    if outcome in ('silent', 'traceback'):
      faults.append(f'{name}, change {number}: {outcome} {str(found)[:300]}')
  return {'mutations': mutations, 'outcomes': outcomes, 'files': len(files),
          'faults': faults}
