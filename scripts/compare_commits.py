"""Compares small runs of two checkouts: bytes of adapters, and records.

  git worktree add ../before d3bbe21
  python -m scripts.compare_commits --old=../before --new=.

For refactorings that must not change a number. Each command trains a tiny
model in both checkouts. A difference in a saved adapter, a record's hash, its
metrics or its history is printed and makes the exit status 1. Both checkouts
run on the same interpreter and machine: bits differ between machines.
"""

from collections.abc import Mapping, Sequence
import json
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

from scripts import run_differences
from tests import xla_flags

_OLD = flags.DEFINE_string('old', None, 'Checkout before the change.')
_NEW = flags.DEFINE_string('new', '.', 'Checkout after the change.')
_PYTHON = flags.DEFINE_string(
    'python', sys.executable, 'Interpreter with the dependencies of both.')
_ONLY = flags.DEFINE_list(
    'only', [], 'Names of commands to run, all when empty.')
_KEEP = flags.DEFINE_string(
    'keep', '', 'Folder for data and runs, a temporary one when empty. The '
    'next comparison in it trains in the new checkout alone.')

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
# Commands that may differ by `run_differences.TOLERANCE`: vmapped programs may
# sum in another order once they are compiled differently.
CLOSE = ('vmapped',)


def write_inputs(folder: str) -> None:
  """Writes a tiny checkpoint, texts with classes or scores, and questions."""
  from tests import tiny  # Imports JAX, which the comparison does not need.
  tiny.write_checkpoint(os.path.join(folder, 'tiny'), layers=2)
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
      'XLA_FLAGS': os.environ.get(
          'XLA_FLAGS', ' '.join(xla_flags.quick_to_compile()))}


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
    lines = lines or run_differences.differences(*folders, close=False)
    verdict = 'DIFFERS' if lines else 'equal'
    if lines and not failed and name in CLOSE:
      lines = run_differences.differences(*folders, close=True)
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
  for flag, checkout in (('old', _OLD.value), ('new', _NEW.value)):
    if not os.path.isdir(os.path.join(checkout, 'adapters_jax')):
      raise app.UsageError(
          f'--{flag}: {checkout} is no checkout; git worktree add makes one '
          'of a commit')
  names = [name for name in COMMANDS if name in (_ONLY.value or COMMANDS)]
  with tempfile.TemporaryDirectory() as scratch:
    if not compare(os.path.abspath(_KEEP.value or scratch), names):
      raise SystemExit(1)


if __name__ == '__main__':
  flags.mark_flag_as_required('old')
  app.run(main)
