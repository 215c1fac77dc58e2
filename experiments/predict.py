"""Labels sentences with a trained adapter.

  echo 'A joy from start to end.' | python -m experiments.predict --adapter=DIR

One input a line; the two texts of a pair are separated by a tab.
"""

from collections.abc import Iterable, Iterator
import dataclasses
import itertools
import json
import sys

from adapters_jax import options
from adapters_jax.options import option
from experiments import flags

_CHUNK = 1024  # Lines read before an answer; bounds the memory.


@dataclasses.dataclass(frozen=True)
class Config:
  """What to label and with what."""
  adapter: str = option('', "A run's workdir, or a saved adapter's folder.")
  checkpoint: str = option(
      '', 'The base, where the adapter was trained on a folder.')
  input: str = option('-', "File to read; '-' for standard input.")
  format: str = option('tsv', "Output: 'tsv' or 'jsonl'.")
  batch_size: int = option(32, 'Inputs a step.')


def read_texts(
    lines: Iterable[str], parts: int
) -> Iterator[tuple[str, ...]]:
  """Yields the texts of each line; UserError names a line that lacks one."""
  for number, line in enumerate(lines, 1):
    texts = tuple(line.rstrip('\r\n').split('\t'))
    if parts == 1:
      texts = (' '.join(texts),)
    if len(texts) != parts:
      raise options.UserError(
          f'line {number}: {parts} texts separated by a tab are needed')
    yield texts


def format_row(
    form: str, labels: tuple[str, ...], texts: tuple[str, ...], values
) -> str:
  """Returns one output line for the probabilities (or score) of an input."""
  numbers = [round(float(value), 6) for value in values]
  if not labels:
    answer = {'score': numbers[0]}
  else:
    answer = {'label': labels[int(values.argmax())],
              'probabilities': dict(zip(labels, numbers))}
  if form == 'jsonl':
    return json.dumps({'texts': list(texts), **answer}, ensure_ascii=False)
  head = [answer['label']] if labels else []
  return '\t'.join([*head, *map(str, numbers), *texts])


def main(config: Config) -> None:
  """Labels every line of the input."""
  if not config.adapter:
    raise options.UserError('--adapter: name the workdir of a finished run')
  if config.format not in ('tsv', 'jsonl'):
    raise options.unknown('--format', config.format, ('tsv', 'jsonl'))
  if config.batch_size < 1:
    raise options.UserError('--batch_size: give 1 or more')
  try:
    file = (sys.stdin if config.input == '-'
            else open(config.input, encoding='utf-8'))
  except OSError as error:
    raise options.UserError(f'--input: {error}') from error
  from adapters_jax import inference  # Slow to import: after the checks.
  from adapters_jax import run
  run.enable_compilation_cache()
  loaded = inference.load(config.adapter, config.checkpoint)
  with file:
    if config.format == 'tsv':
      names = [f'p({label})' for label in loaded.labels] or ['score']
      head = ['label'] if loaded.labels else []
      print('\t'.join([*head, *names, *loaded.texts]))
    rows = read_texts(file, len(loaded.texts))
    while chunk := list(itertools.islice(rows, _CHUNK)):
      values = inference.logits(loaded, chunk, config.batch_size)
      if loaded.labels:
        values = inference.probabilities(values)
      for texts, row in zip(chunk, values):
        print(format_row(config.format, loaded.labels, texts, row))


if __name__ == '__main__':
  flags.define(Config)
  flags.start(Config, main)
