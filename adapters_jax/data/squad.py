"""SQuAD v1.1: questions to windows of word pieces, and logits to answers.

`squad_files` reads the questions.
"""

from collections.abc import Iterable, Sequence
import dataclasses
from typing import Any

import numpy as np
import tokenizers

from adapters_jax.data import examples as examples_lib
from adapters_jax.data import metrics
from adapters_jax.data import tasks
from adapters_jax.data import templates
from adapters_jax.data import tokenization
from adapters_jax import errors

# In word pieces, the defaults of run_squad.py in BERT's released code.
_STRIDE = 128
_LONGEST_QUESTION = 64
_LONGEST_ANSWER = 30

TASK = tasks.Task(
    name='squad', source='squad', texts=('question', 'context'), labels=(),
    metrics=metrics.OF_ANSWERS, target='answers',
    splits=(('train', 'train'), ('dev', 'validation')))


@dataclasses.dataclass(frozen=True)
class Question:
  """A question about a paragraph.

  Attributes:
    name: Id of the question.
    question: Text of the question.
    context: Text of the paragraph.
    answers: (text, position of its first character in the paragraph) of each
      correct answer.
  """
  name: str
  question: str
  context: str
  answers: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True)
class Window:
  """Origin of an input that holds a question and a part of its paragraph.

  Attributes:
    row: Number of the question.
    prefix: Position in the input where the part of the paragraph begins.
    offsets: [pieces, 2] int, for each piece of that part its first character
      in the paragraph and the one after its last.
  """
  row: int
  prefix: int
  offsets: np.ndarray


def load_task(name: str) -> tasks.Task:
  """Returns the task of the name 'squad'; UserError for any other name."""
  if name != TASK.name:
    raise errors.unknown('`task`', name, (TASK.name,))
  return TASK


def _span(offsets: np.ndarray, answer: tuple[str, int]) -> tuple[int, int]:
  """Finds the word pieces of an answer.

  Args:
    offsets: [pieces, 2] int, characters of each piece of the paragraph.
    answer: (text, position of its first character).

  Returns:
    (first piece, last piece), or (-1, -1) where the tokenizer has dropped all
    of the answer's characters.
  """
  text, start = answer
  # Overlap, not containment: pieces may reach beyond the ends of the answer.
  inside = np.flatnonzero(
      (offsets[:, 1] > start) & (offsets[:, 0] < start + len(text)))
  return (int(inside[0]), int(inside[-1])) if len(inside) else (-1, -1)


def cut(
    tokenizer: tokenizers.Tokenizer, questions: Sequence[Question],
    max_length: int,
) -> tuple[examples_lib.Examples, list[Window]]:
  """Makes inputs from questions, with windows that slide over the paragraphs.

  Args:
    tokenizer: Tokenizer from `tokenization.load`.
    questions: Questions with at least one answer each.
    max_length: Tokens of an input, special tokens included; a question takes
      at most half of them.

  Returns:
    (inputs, origin of each). An input is a question and a window, with the
    special tokens of a pair of texts. Its labels, [inputs, 2] int32, are the
    positions of the first answer's first and last piece, or both 0, the
    position of the start token, where the window does not hold the whole
    answer.

  Raises:
    errors.UserError: a `max_length` without room for a window.
  """
  template = templates.template_of(tokenizer, 2)
  total = template.room(max_length)
  # Tokenise each paragraph once, as several questions share it.
  read = _pieces(tokenizer, [q.context for q in questions])
  asked = _pieces(tokenizer, [q.question for q in questions])
  tokens, segments, labels, windows = [], [], [], []
  for row, question in enumerate(questions):
    pieces, offsets = read[question.context]
    # At least one piece is left for the window.
    most = min(_LONGEST_QUESTION, max_length // 2, total - 1)
    ask = asked[question.question][0][:most]
    room = total - len(ask)
    prefix = sum(map(len, template.tokens[:2])) + len(ask)
    first, last = _span(offsets, question.answers[0])
    for begin in _begins(len(pieces), room):
      ids = pieces[begin:begin + room]
      filled, kinds = template.fill((ask, ids))
      tokens.append(np.array(filled, np.int32))
      segments.append(np.array(kinds, np.int32))
      # False for (-1, -1), as `begin` is never negative.
      inside = begin <= first and last < begin + len(ids)
      labels.append((first - begin + prefix, last - begin + prefix)
                    if inside else (0, 0))
      windows.append(Window(row, prefix, offsets[begin:begin + room]))
  return examples_lib.Examples(
      tokens, segments, np.array(labels, np.int32)), windows


def _pieces(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Returns {text: (pieces, characters of each)}.

  Args:
    tokenizer: Tokenizer.
    texts: Texts, some of them several times.

  Returns:
    Ids [pieces] int32, and [pieces, 2] int64, for each piece its first
    character and the one after its last.
  """
  found = {}
  firsts: dict[str, int] = {}
  for row, text in enumerate(texts):
    firsts.setdefault(text, row)
  for _, some in tokenization.chunks_of([*firsts]):
    for text, one in zip(some, tokenization.pieces(
        tokenizer, some, [firsts[text] for text in some])):
      # Reshaped for a text without any pieces: [0, 2], not [0].
      found[text] = (np.array(one.ids, np.int32),
                     np.array(one.offsets, np.int64).reshape(-1, 2))
  return found


def _begins(pieces: int, room: int) -> Iterable[int]:
  """Yields the first piece of each of a paragraph's overlapping windows.

  Args:
    pieces: Pieces of the paragraph.
    room: Pieces of a window.
  """
  stride = max(1, min(_STRIDE, room // 2))
  begin = 0
  yield begin
  while begin + room < pieces:
    begin += stride
    yield begin


def best_span(
    logits: np.ndarray, window: Window
) -> tuple[float, tuple[int, int]]:
  """Finds the answer with the highest sum of logits in a window.

  Args:
    logits: [length, 2] Logits of first and last pieces.
    window: Origin of the input.

  Returns:
    (sum of the two logits, (first character, character after the last))
  """
  pieces = len(window.offsets)
  # [pieces] each: neither the question nor padding can hold an answer.
  starts, ends = logits[window.prefix:window.prefix + pieces].T
  best = (-np.inf, (0, 0))
  # One vectorised pass for each length of an answer, instead of a matrix of all
  # pairs of ends.
  for more in range(min(_LONGEST_ANSWER, pieces)):
    scores = starts[:pieces - more] + ends[more:]  # [pieces - more]
    at = int(scores.argmax())
    if scores[at] > best[0]:
      best = (float(scores[at]), (int(window.offsets[at, 0]),
                                  int(window.offsets[at + more, 1])))
  return best


def best_answers(
    logits: Iterable[np.ndarray], windows: Sequence[Window],
    questions: Sequence[Question],
) -> list[str]:
  """Answers questions by the best window of each.

  Args:
    logits: [length, 2] for each window, with or without padding.
    windows: Origins of the inputs, from `cut`.
    questions: Questions that `cut` was called with.

  Returns:
    Text of the answer to each question.
  """
  # (0, 0) reads as '', the answer where a paragraph has no pieces.
  best: list[Any] = [(-np.inf, (0, 0))] * len(questions)
  for one, window in zip(logits, windows, strict=True):
    best[window.row] = max(
        best[window.row], best_span(one, window), key=lambda found: found[0])
  # Pieces of byte-level BPE may include the blank before a word.
  return [question.context[first:last].strip()
          for question, (_, (first, last)) in zip(questions, best)]
