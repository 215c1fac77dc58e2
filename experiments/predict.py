"""Labels sentences with a trained adapter, or answers questions.

  echo 'A joy from start to end.' | python -m experiments.predict --adapter=DIR

One input a line; the two texts of a pair (of an adapter for SQuAD: a question
and a paragraph) are separated by a tab.
"""

from collections.abc import Iterable, Iterator
import dataclasses
import itertools
import json
import sys
from typing import Any

from adapters_jax import errors
from adapters_jax.runs.options import option
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
      raise errors.UserError(
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


def format_answer(form: str, texts: tuple[str, ...], answer: str) -> str:
  """Returns one output line for the answer to a question on a paragraph."""
  if form == 'jsonl':
    return json.dumps(
        {'texts': list(texts), 'answer': answer}, ensure_ascii=False)
  return '\t'.join([answer, *texts])


def predict(
    loaded: Any, texts: list[tuple[str, ...]], config: Config
) -> Iterator[str]:
  """Yields the output line of each input."""
  from adapters_jax.adapters import prediction
  if loaded.finds_spans:
    found = prediction.answers(loaded, texts, config.batch_size)
    for row, answer in zip(texts, found):
      yield format_answer(config.format, row, answer)
    return
  values = prediction.logits(loaded, texts, config.batch_size)
  if loaded.labels:
    values = prediction.probabilities(values)
  for row, value in zip(texts, values):
    yield format_row(config.format, loaded.labels, row, value)


def column_names(loaded: Any) -> list[str]:
  """Returns the names of the columns of a table."""
  if loaded.finds_spans:
    return ['answer', *loaded.texts]
  names = [f'p({label})' for label in loaded.labels] or ['score']
  return [*(['label'] if loaded.labels else []), *names, *loaded.texts]


def main(config: Config) -> None:
  """Labels every line of the input."""
  if not config.adapter:
    raise errors.UserError('--adapter: name the workdir of a finished run')
  if config.format not in ('tsv', 'jsonl'):
    raise errors.unknown('--format', config.format, ('tsv', 'jsonl'))
  if config.batch_size < 1:
    raise errors.UserError('--batch_size: give 1 or more')
  try:
    file = (sys.stdin if config.input == '-'
            else open(config.input, encoding='utf-8'))
  except OSError as error:
    raise errors.UserError(f'--input: {error}') from error
  from adapters_jax.adapters import prediction
  from adapters_jax.runs import run
  run.enable_compilation_cache()
  loaded = prediction.load(config.adapter, config.checkpoint)
  with file:
    if config.format == 'tsv':
      print('\t'.join(column_names(loaded)))
    rows = read_texts(file, len(loaded.texts))
    while chunk := list(itertools.islice(rows, _CHUNK)):
      for line in predict(loaded, chunk, config):
        print(line)


if __name__ == '__main__':
  flags.define(Config)
  flags.start(Config, main)
