"""Compares small runs of two checkouts: bytes of adapters, and records.

  git worktree add ../before d3bbe21
  python -m scripts.compare_commits --old=../before --new=.

For refactorings that must not change a number. Each command trains a tiny
model in both checkouts. A difference in a saved adapter, a record's hash, its
metrics or its history is printed and makes the exit status 1. Both checkouts
run on the same interpreter and machine: bits differ between machines.
"""

from collections.abc import Iterator, Mapping, Sequence
import hashlib
import json
import math
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

from absl import app
from absl import flags
import numpy as np
from safetensors import numpy as safetensors_numpy

_OLD = flags.DEFINE_string('old', None, 'Checkout before the change.')
_NEW = flags.DEFINE_string('new', '.', 'Checkout after the change.')
_PYTHON = flags.DEFINE_string(
    'python', sys.executable, 'Interpreter with the dependencies of both.')
_ONLY = flags.DEFINE_list(
    'only', [], 'Names of commands to run, all when empty.')
_KEEP = flags.DEFINE_string(
    'keep', '', 'Folder for data and runs, a temporary one when empty. The '
    'next comparison in it trains in the new checkout alone.')

ADAPTER = os.path.join('adapter', 'tuned.safetensors')
RECORD = 'record.json'
# Fields of a record that the settings determine, unlike times and versions.
EXACT = ('experiment', 'config', 'metrics', 'history', 'trained_params',
         'total_params', 'roles', 'steps', 'best_step', 'padded_tokens',
         'real_tokens')
TOLERANCE = 1e-6

_QUICK_TO_COMPILE = (
    '--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false')
_FILES = ('--train_file=DATA/train.tsv --dev_file=DATA/dev.tsv '
          '--test_file=DATA/test.tsv')
_SCORES = ('--train_file=DATA/train_scores.tsv '
           '--dev_file=DATA/dev_scores.tsv --file_task=regression')
_QUESTIONS = '--train_file=DATA/train.json --dev_file=DATA/dev.json'
_SHORT = ('--checkpoint=DATA/tiny --batch_size=8 --epochs=2 --eval_every=5 '
          '--learning_rate=3e-3 --max_length=20 --buckets=1')
_GLUE = f'experiments.glue {_SHORT} {_FILES}'

# {name: module and flags}
COMMANDS = {
    'adapters': f'{_GLUE} --adapter_size=4',
    'lora': f'{_GLUE} --adapter_config=lora[r=2]',
    'prefix': f'{_GLUE} --adapter_config=prefix_tuning[prefix_length=3]',
    'compacter': f'{_GLUE} --adapter_config=compacter[reduction_factor=3]',
    'union': f'{_GLUE} --adapter_config=par_bn[size=3]|ia3',
    'full': f'{_GLUE} --tune=full',
    'top_k': f'{_GLUE} --tune=top_k --top_k=1',
    'norms': f'{_GLUE} --tune=norms',
    'bias': f'{_GLUE} --tune=bias --head_input=pooler',
    'accumulate': f'{_GLUE} --adapter_size=4 --accumulate=2',
    'cached': f'{_GLUE} --adapter_size=4 --adapter_layers=1 '
              '--norm_layers=same --cache_frozen',
    'bfloat16': f'{_GLUE} --adapter_size=4 --precision=bfloat16',
    'preset': f'{_GLUE} --preset=adapter_bert --adapter_size=4',
    'regression': f'experiments.glue {_SHORT} {_SCORES} --adapter_size=4',
    'squad': f'experiments.squad {_SHORT} {_QUESTIONS} --adapter_size=4 '
             '--max_length=24',
    'grid': f'{_GLUE} --workdir=grid --epochs=1 --seeds=0-1 '
            '--grid=adapter_size=3,5',
    'vmapped': f'experiments.sweep {_SHORT} {_FILES} --workdir=vmapped '
               '--adapter_size=4 --group=2 --seeds=0-1 '
               '--grid=learning_rate=1e-3,3e-3',
}
# Commands that may differ by TOLERANCE: vmapped programs may sum in another
# order once they are compiled differently.
CLOSE = ('vmapped',)


def write_inputs(folder: str) -> None:
  """Writes a tiny checkpoint, texts with classes or scores, and questions."""
  from tests import tiny  # Imports JAX, which the comparison does not need.
  tiny.write_checkpoint(os.path.join(folder, 'tiny'))
  for split, path in tiny.write_data(folder).items():
    split = split.removesuffix('_file')
    with open(path, encoding='utf-8') as file:
      rows = [line.rstrip('\n').split('\t') for line in file]
    with open(os.path.join(folder, f'{split}_scores.tsv'), 'w') as file:
      file.write('sentence\tlabel\n')
      for text, label in rows[1:]:
        score = len(text.split()) / 4 + (label == 'yes')
        file.write(f'{text}\t{score}\n')
  for split, count in (('train', 30), ('dev', 12)):
    write_questions(
        os.path.join(folder, f'{split}.json'), count, tiny.WORDS[:6])


def write_questions(path: str, count: int, words: Sequence[str]) -> None:
  """Writes questions on random paragraphs in the format of SQuAD 1.1.

  Args:
    path: JSON file to write.
    count: Number of paragraphs, of one question each.
    words: Vocabulary of paragraphs and answers.
  """
  rng = random.Random(count)
  paragraphs = []
  for number in range(count):
    text = [rng.choice(words) for _ in range(30)]
    first = rng.randrange(28)
    # Characters; a blank precedes the answer unless it comes first.
    start = len(' '.join(text[:first])) + (first > 0)
    paragraphs.append({'context': ' '.join(text), 'qas': [{
        'id': f'q{number}', 'question': 'the plot very good', 'answers': [{
            'text': ' '.join(text[first:first + 2]),
            'answer_start': start}]}]})
  with open(path, 'w', encoding='utf-8') as file:
    json.dump({'version': '1.1', 'data': [
        {'title': 't', 'paragraphs': paragraphs}]}, file)


def environment(checkout: str, cache: str) -> dict[str, str]:
  """Returns the variables of a run.

  Args:
    checkout: Root of the checkout whose modules are imported.
    cache: Folder for compiled programs. Both checkouts may share it: equal
      programs are compiled once.
  """
  return {
      **os.environ, 'PYTHONPATH': checkout, 'JAX_PLATFORMS': 'cpu',
      'ADAPTERS_JAX_CACHE': cache,
      # When set, scripts do not restart themselves for it.
      'GLIBC_TUNABLES': os.environ.get('GLIBC_TUNABLES', ''),
      # Tiny programs compile for longer than they run.
      'XLA_FLAGS': os.environ.get('XLA_FLAGS', _QUICK_TO_COMPILE)}


def check_imports(
    python: str, folder: str, variables: Mapping[str, str]
) -> None:
  """Raises ValueError unless a run imports the modules of its checkout.

  An installed copy of the package must not shadow the checkout, or the
  comparison would be of a commit with itself.

  Args:
    python: Interpreter of the run.
    folder: Working folder of the run.
    variables: Environment of the run, with the checkout in PYTHONPATH.
  """
  found = subprocess.run(
      [python, '-c', 'import adapters_jax; print(adapters_jax.__file__)'],
      cwd=folder, env=variables, capture_output=True, text=True, check=True)
  package = os.path.dirname(os.path.realpath(found.stdout.strip()))
  if os.path.dirname(package) != os.path.realpath(variables['PYTHONPATH']):
    raise ValueError(
        f'{variables["PYTHONPATH"]}: the package is imported from {package}')


def make(
    command: Sequence[str], folder: str, variables: Mapping[str, str]
) -> str:
  """Runs a command and returns the end of its errors, '' if it succeeded.

  Args:
    command: Interpreter, module and flags.
    folder: Working folder, where runs are saved.
    variables: Environment.
  """
  os.makedirs(folder, exist_ok=True)
  done = subprocess.run(
      command, cwd=folder, env=variables, capture_output=True, text=True)
  return done.stderr[-1500:] if done.returncode else ''


def runs_below(folder: str) -> Iterator[str]:
  """Yields the paths, relative to a folder, of the finished runs below it."""
  for parent, folders, names in os.walk(folder):
    folders.sort()
    if RECORD in names:
      yield os.path.relpath(parent, folder)


def distance(old: str, new: str) -> float:
  """Returns the largest difference of two adapters' values.

  Args:
    old: Path of a .safetensors file.
    new: Path of another.

  Returns:
    0 if the files are equal byte by byte, infinity if their tensors differ in
    name, shape or type.
  """
  digests = []
  for path in (old, new):
    with open(path, 'rb') as file:
      digests.append(hashlib.file_digest(file, 'sha256').hexdigest())
  if digests[0] == digests[1]:
    return 0.0
  a, b = (safetensors_numpy.load_file(path) for path in (old, new))
  if {k: (v.shape, v.dtype) for k, v in a.items()} != {
      k: (v.shape, v.dtype) for k, v in b.items()}:
    return math.inf
  # Equal values in another order of bytes are a change of the file too.
  return max([sys.float_info.min, *(
      # float64, so that the difference itself is not rounded.
      float(np.max(np.abs(a[k].astype(np.float64) - b[k]))) for k in a
      if a[k].size)])


def differences(old: str, new: str, close: bool) -> list[str]:
  """Returns a line for each difference of the runs below two folders.

  Args:
    old: Folder of runs before the change.
    new: Folder of the same runs after it.
    close: Whether values within TOLERANCE of each other count as equal.
  """
  tolerance = TOLERANCE if close else 0.0
  found = [list(runs_below(folder)) for folder in (old, new)]
  # Both lists are sorted, as `runs_below` sorts folders.
  if found[0] != found[1]:
    only = sorted(set(found[0]) ^ set(found[1]))
    return [f'run folders differ: {", ".join(only)}']
  if not found[0]:
    return ['no finished run']
  lines = []
  for run in found[0]:
    a, b = (os.path.join(folder, run) for folder in (old, new))
    apart = distance(os.path.join(a, ADAPTER), os.path.join(b, ADAPTER))
    if apart > tolerance:
      lines.append(f'{run}: {ADAPTER} differs, by at most {apart:.3g}')
    with open(os.path.join(a, RECORD)) as file, open(
        os.path.join(b, RECORD)) as other:
      a, b = json.load(file), json.load(other)
    lines += [f'{run}: {RECORD}: {name} is {a.get(name)}, then {b.get(name)}'
              for name in EXACT
              if not _equal(a.get(name), b.get(name), tolerance)]
  return lines


def _equal(a, b, tolerance):
  """Returns whether two JSON values are equal, floats within a tolerance."""
  if isinstance(a, dict) and isinstance(b, dict):
    return a.keys() == b.keys() and all(
        _equal(a[key], b[key], tolerance) for key in a)
  if isinstance(a, list) and isinstance(b, list):
    return len(a) == len(b) and all(
        _equal(x, y, tolerance) for x, y in zip(a, b))
  if isinstance(a, float) and isinstance(b, float):
    return a == b or abs(a - b) <= tolerance
  return a == b


def compare(folder: str, names: Sequence[str]) -> bool:
  """Trains the runs of both checkouts, and returns whether they are equal.

  Args:
    folder: Folder for data and runs.
    names: Keys of COMMANDS.
  """
  data = os.path.join(folder, 'data')
  if not os.path.isdir(data):
    write_inputs(data)
  # The new checkout must not find runs of an earlier comparison.
  shutil.rmtree(os.path.join(folder, 'new'), ignore_errors=True)
  sides = {}
  for side, checkout in (('old', _OLD.value), ('new', _NEW.value)):
    place = os.path.join(folder, side)
    os.makedirs(place, exist_ok=True)
    variables = environment(
        os.path.abspath(checkout), os.path.join(folder, 'cache'))
    check_imports(_PYTHON.value, place, variables)
    sides[side] = place, variables
  equal = True
  for name in names:
    command = [_PYTHON.value, '-m', *(
        part.replace('DATA', data) for part in shlex.split(COMMANDS[name]))]
    start = time.monotonic()
    lines, folders = [], []
    for side, (place, variables) in sides.items():
      folders.append(os.path.join(place, name))
      error = make(command, folders[-1], variables)
      lines += [f'{side} failed: {error}'] if error else []
    failed = bool(lines)
    # Exactly first, so that 'close' marks a change of the last bits.
    lines = lines or differences(*folders, close=False)
    verdict = 'DIFFERS' if lines else 'equal'
    if lines and not failed and name in CLOSE:
      lines = differences(*folders, close=True)
      verdict = 'DIFFERS' if lines else 'close'
    print(f'{verdict:8}{name:12}{time.monotonic() - start:6.1f} s', *lines,
          sep='\n  ', flush=True)
    equal = equal and not lines
  return equal


def main(_: Sequence[str]) -> None:
  """Compares the checkouts that the flags name."""
  if unknown := set(_ONLY.value) - set(COMMANDS):
    raise app.UsageError(f'--only: unknown {", ".join(sorted(unknown))}; '
                         f'known: {", ".join(COMMANDS)}')
  names = [name for name in COMMANDS if name in (_ONLY.value or COMMANDS)]
  with tempfile.TemporaryDirectory() as scratch:
    if not compare(os.path.abspath(_KEEP.value or scratch), names):
      raise SystemExit(1)


if __name__ == '__main__':
  flags.mark_flag_as_required('old')
  app.run(main)
