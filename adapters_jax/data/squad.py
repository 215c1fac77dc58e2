"""SQuAD v1.1: questions in, windows of word pieces out, and answers back."""

from collections.abc import Iterable, Sequence
import dataclasses
import json
from typing import Any

import numpy as np
import tokenizers

from adapters_jax.data import batching
from adapters_jax.data import tasks
from adapters_jax import errors

# As in BERT's code for SQuAD, in word pieces.
_STRIDE = 128
_LONGEST_QUESTION = 64
_LONGEST_ANSWER = 30

TASK = tasks.Task(
    name='squad', source='squad', texts=('question', 'context'), labels=(),
    metrics=('f1', 'exact_match'), target='answers',
    splits=(('train', 'train'), ('dev', 'validation')))


@dataclasses.dataclass(frozen=True)
class Question:
  """A question on a paragraph.

  Attributes:
    name: Its id.
    question: Its text.
    context: The paragraph.
    answers: (text, first character in the paragraph) of the right ones.
  """
  name: str
  question: str
  context: str
  answers: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True)
class Window:
  """A question with a piece of its paragraph.

  Attributes:
    row: Number of the question.
    prefix: Position of the paragraph's first piece in the input.
    offsets: [pieces, 2] int, the characters of each of its pieces.
  """
  row: int
  prefix: int
  offsets: np.ndarray


def find(name: str) -> tasks.Task:
  """Returns the task; UserError for any other name."""
  if name != TASK.name:
    raise errors.unknown('--task', name, (TASK.name,))
  return TASK


def read_json(path: str) -> list[Question]:
  """Returns the questions of a file in SQuAD's JSON.

  Raises:
    options.UserError: it cannot be read, is of another layout, or an answer is
      not where it says.
  """
  try:
    with open(path, encoding='utf-8') as file:
      articles = json.load(file)['data']
    questions = [
        Question(str(qa['id']), qa['question'], paragraph['context'], tuple(
            (a['text'], int(a['answer_start'])) for a in qa['answers']))
        for article in articles for paragraph in article['paragraphs']
        for qa in paragraph['qas']]
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise errors.UserError(
        f'{path}: not SQuAD v1.1 in JSON ({type(error).__name__}: {error})'
    ) from error
  if not questions:
    raise errors.UserError(f'{path}: no questions in it')
  for question in questions:
    if not question.answers:
      raise errors.UserError(
          f'{path}: question {question.name} has no answer, as v1.1 demands')
    for text, start in question.answers:
      if question.context[start:start + len(text)] != text:
        raise errors.UserError(
            f'{path}: an answer of question {question.name} is not at '
            f'character {start} of its paragraph')
  return questions


def read_tfds(data_dir: str) -> dict[str, list[Question]]:
  """Returns {'train', 'dev': questions} of TFDS' dataset, in order of id."""
  builder = tasks.prepared(TASK.source, data_dir or tasks.default_data_dir())
  splits = {}
  for name, split in TASK.splits:
    source = builder.as_data_source(split)
    rows = (source[i] for i in range(len(source)))
    splits[name] = sorted((
        Question(row['id'].decode(), row['question'].decode(),
                 row['context'].decode(), tuple(
                     (text.decode(), int(start)) for text, start in zip(
                         row['answers']['text'],
                         row['answers']['answer_start'])))
        for row in rows), key=lambda question: question.name)
  return splits


def _span(offsets: np.ndarray, answer: tuple[str, int]) -> tuple[int, int]:
  """Returns the first and last piece of an answer, (-1, -1) if none is."""
  text, start = answer
  inside = np.flatnonzero(
      (offsets[:, 1] > start) & (offsets[:, 0] < start + len(text)))
  return (int(inside[0]), int(inside[-1])) if len(inside) else (-1, -1)


def cut(
    tokenizer: tokenizers.Tokenizer, questions: Sequence[Question],
    max_length: int,
) -> tuple[batching.Examples, list[Window]]:
  """Returns every question with windows that slide over its paragraph.

  Args:
    tokenizer: Of `tokenization.load`.
    questions: Of `read_json`.
    max_length: Pieces of an input, [CLS] and [SEP] included; a question gets
      at most half of it.

  Returns:
    Inputs '[CLS] question [SEP] window [SEP]' whose labels [inputs, 2] int32
    are the positions of the first answer's ends, both 0 (of [CLS]) where it is
    not wholly in the window; and where each input comes from.
  """
  start, end = (tokenizer.token_to_id(name) for name in ('[CLS]', '[SEP]'))
  asked = tokenizer.encode_batch(
      [q.question for q in questions], add_special_tokens=False)
  contexts = list(dict.fromkeys(q.context for q in questions))
  read = dict(zip(contexts, tokenizer.encode_batch(
      contexts, add_special_tokens=False)))
  tokens, segments, labels, windows = [], [], [], []
  for row, (question, query) in enumerate(zip(questions, asked)):
    context = read[question.context]
    offsets = np.array(context.offsets, np.int64).reshape(-1, 2)
    ask = query.ids[:min(_LONGEST_QUESTION, max_length // 2)]
    prefix, room = len(ask) + 2, max_length - len(ask) - 3
    first, last = _span(offsets, question.answers[0])
    for begin in _begins(len(context.ids), room):
      ids = context.ids[begin:begin + room]
      tokens.append(np.array([start, *ask, end, *ids, end], np.int32))
      segments.append(np.array(
          [0] * prefix + [1] * (len(ids) + 1), np.int32))
      inside = begin <= first and last < begin + len(ids)
      labels.append((first - begin + prefix, last - begin + prefix)
                    if inside else (0, 0))
      windows.append(Window(row, prefix, offsets[begin:begin + room]))
  return batching.Examples(
      tokens, segments, np.array(labels, np.int32)), windows


def _begins(pieces: int, room: int) -> Iterable[int]:
  """Yields where windows of `room` pieces begin, so that they overlap."""
  stride = max(1, min(_STRIDE, room // 2))
  begin = 0
  yield begin
  while begin + room < pieces:
    begin += stride
    yield begin


def best_span(
    logits: np.ndarray, window: Window, longest: int = _LONGEST_ANSWER
) -> tuple[float, tuple[int, int]]:
  """Returns (score, characters) of a window's best answer.

  Args:
    logits: [length, 2] Of starts and ends.
    window: Where its pieces come from.
    longest: Pieces of an answer at most.
  """
  pieces = len(window.offsets)
  starts, ends = logits[window.prefix:window.prefix + pieces].T
  best = (-np.inf, (0, 0))
  for more in range(min(longest, pieces)):
    scores = starts[:pieces - more] + ends[more:]
    at = int(scores.argmax())
    if scores[at] > best[0]:
      best = (float(scores[at]), (int(window.offsets[at, 0]),
                                  int(window.offsets[at + more, 1])))
  return best


def answers(
    logits: Iterable[np.ndarray], windows: Sequence[Window],
    questions: Sequence[Question], longest: int = _LONGEST_ANSWER,
) -> list[str]:
  """Returns the best answer to each question over all of its windows.

  Args:
    logits: [length, 2] for each window, its padding cut off or not.
    windows: Of `cut`.
    questions: Those that were cut.
    longest: Pieces of an answer at most.
  """
  best: list[Any] = [(-np.inf, (0, 0))] * len(questions)
  for one, window in zip(logits, windows, strict=True):
    best[window.row] = max(
        best[window.row], best_span(one, window, longest),
        key=lambda found: found[0])
  return [question.context[first:last]
          for question, (_, (first, last)) in zip(questions, best)]
