"""Labels texts with a saved adapter, or answers questions."""

from collections.abc import Iterable, Iterator
import dataclasses
import itertools
import json
import sys
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.api import flags
from adapters_jax.runs.options import option

_CHUNK = 1024  # Lines of input per call, which bounds the memory.


@dataclasses.dataclass(frozen=True)
class PredictConfig:
  """Settings of a prediction; every field is a flag."""
  adapter: str = option('', "A run's workdir, or a saved adapter's folder.")
  checkpoint: str = option(
      '', 'The base, where the adapter was trained on a folder.')
  input: str = option('-', "File to read; '-' for standard input.")
  format: str = option('tsv', "Output: 'tsv' or 'jsonl'.")
  batch_size: int = option(32, 'Inputs a step.')


def read_texts(
    lines: Iterable[str], parts: int
) -> Iterator[tuple[str, ...]]:
  """Yields the texts of each line.

  Args:
    lines: Lines of input.
    parts: Texts of an input, separated by tabs.

  Raises:
    errors.UserError: a line with another number of texts.
  """
  for number, line in enumerate(lines, 1):
    texts = tuple(line.rstrip('\r\n').split('\t'))
    if parts == 1:
      texts = (' '.join(texts),)  # Tabs in a single text.
    if len(texts) != parts:
      raise errors.UserError(
          f'line {number}: {parts} texts separated by a tab are needed')
    yield texts


def format_row(
    form: str, labels: tuple[str, ...], texts: tuple[str, ...],
    values: np.ndarray,
) -> str:
  """Returns one output line for a class or a score.

  Args:
    form: 'tsv' or 'jsonl'.
    labels: Class names, empty for a score.
    texts: Texts of the input.
    values: [classes] Probabilities, or [1] score.
  """
  numbers = [round(float(value), 6) for value in values]
  label = labels[int(values.argmax())] if labels else ''
  answer: dict[str, Any] = {'score': numbers[0]} if not labels else {
      'label': label, 'probabilities': dict(zip(labels, numbers))}
  if form == 'jsonl':
    return json.dumps({'texts': list(texts), **answer}, ensure_ascii=False)
  head = [label] if labels else []
  return '\t'.join([*head, *map(str, numbers), *texts])


def format_answer(form: str, texts: tuple[str, ...], answer: str) -> str:
  """Returns one output line for the answer to a question.

  Args:
    form: 'tsv' or 'jsonl'.
    texts: Question and paragraph.
    answer: The answer.
  """
  if form == 'jsonl':
    return json.dumps(
        {'texts': list(texts), 'answer': answer}, ensure_ascii=False)
  return '\t'.join([answer, *texts])


def main(config: PredictConfig) -> None:
  """Labels every line of the input."""
  if not config.adapter:
    raise errors.UserError('`adapter`: name the workdir of a finished run')
  if config.format not in ('tsv', 'jsonl'):
    raise errors.unknown('`format`', config.format, ('tsv', 'jsonl'))
  if config.batch_size < 1:
    raise errors.UserError('`batch_size`: give 1 or more')
  try:
    file = (sys.stdin if config.input == '-'
            else open(config.input, encoding='utf-8'))
  except OSError as error:
    raise errors.UserError(f'`input`: {error}') from error
  from adapters_jax.adapters import prediction  # Slow: after the checks.
  from adapters_jax.runs import console
  from adapters_jax.runs import session
  console.show(flags.as_text, 'stderr')
  session.enable_compilation_cache()
  base, adapter = prediction.load(config.adapter, config.checkpoint)
  labels, answers = adapter.classes, adapter.head_input == 'tokens'
  with file:
    if config.format == 'tsv':
      names = [f'p({label})' for label in labels] or ['score']
      names = ['answer'] if answers else (
          [*(['label'] if labels else []), *names])
      print('\t'.join([*names, *adapter.texts]))
    rows = read_texts(file, len(adapter.texts))
    # Output starts before the input ends, and a fault in a late line comes
    # late.
    while chunk := list(itertools.islice(rows, _CHUNK)):
      if answers:
        found = prediction.answers(base, adapter, chunk, config.batch_size)
        lines = [format_answer(config.format, texts, answer)
                 for texts, answer in zip(chunk, found)]
      else:
        values = prediction.logits(base, adapter, chunk, config.batch_size)
        # [chunk, outputs]
        values = prediction.probabilities(values) if labels else values
        lines = [format_row(config.format, labels, texts, value)
                 for texts, value in zip(chunk, values)]
      print('\n'.join(lines))


def start() -> None:
  """Runs the command with the flags of the command line."""
  flags.define(PredictConfig)
  flags.start(PredictConfig, main)
