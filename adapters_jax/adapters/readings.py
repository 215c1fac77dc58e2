"""Turns texts into inputs of a head, and its outputs into predictions.

A head that reads texts in a special way, or whose outputs are not classes of
one text, has an entry in READERS.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
import dataclasses
import logging
from typing import Any

import numpy as np
from scipy import special

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import compiled
from adapters_jax.adapters import probabilities as probabilities_lib
from adapters_jax.adapters import tagging
from adapters_jax.data import choices
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import squad
from adapters_jax.data import tags as tags_lib
from adapters_jax.data import thresholds
from adapters_jax.data import tokenization
from adapters_jax.model import base as base_lib

_log = logging.getLogger(__name__)

# Lengths in tokens to pad batches to: few, so that few programs are compiled.
BUCKETS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 192, 256, 384, 512)


@dataclasses.dataclass(frozen=True)
class Prediction:
  """Output for one input; the fields of other kinds of task are None.

  Attributes:
    label: Most probable class, or the one that the adapter's threshold gives.
    probabilities: {class: probability}; a dict up to 1,000 classes, else a
      mapping of which `dict` makes one.
    score: Score of a regression.
    answer: Answer to a question, a part of the paragraph.
    labels: Labels of a text that may have several or none.
    choice: Index of the most probable choice, from 0. `probabilities` then has
      the numbers of the choices as keys.
    words: Words of a tagged sentence.
    tags: Tag of each word.
    entities: Entities that the tags mark, each with its `type` and `text`.
    truncated: True if only the beginning of a text was read, as it is longer
      than the adapter's `max_length`.
  """
  label: str | None = None
  probabilities: Mapping[Any, float] | None = None
  score: float | None = None
  answer: str | None = None
  labels: tuple[str, ...] | None = None
  choice: int | None = None
  words: tuple[str, ...] | None = None
  tags: tuple[str, ...] | None = None
  entities: tuple[tags_lib.Entity, ...] | None = None
  truncated: bool | None = None

  def __hash__(self) -> int:
    # Mappings are not hashable: leave out the fields that hold them.
    return hash((self.label, self.score, self.answer, self.labels, self.choice,
                 self.words, self.tags))

  def __repr__(self) -> str:
    given = (f'{field.name}={value!r}' for field in dataclasses.fields(self)
             if (value := getattr(self, field.name)) is not None)
    return f'Prediction({", ".join(given)})'


@dataclasses.dataclass(frozen=True)
class Reading:
  """Inputs of a head, made from texts.

  Attributes:
    examples: Inputs, one or several per text.
    owners: Index of the text of each input.
    decode: (outputs of the inputs, in order) -> one value per text.
    cut: Numbers of the texts that are longer than the adapter's limit.
  """
  examples: examples_lib.Examples
  owners: Sequence[int]
  decode: Callable[[list[np.ndarray]], list[Any]]
  cut: Collection[int] = ()


@dataclasses.dataclass(frozen=True)
class Reader:
  """Functions by which a head reads texts and predicts.

  Attributes:
    read: (base, adapter, texts) -> Reading.
    predict: (adapter, value of `Reading.decode`) -> Prediction.
  """
  read: Callable[..., Reading]
  predict: Callable[[adapter_lib.Adapter, Any], Prediction]


def reader_of(adapter: adapter_lib.Adapter) -> Reader:
  """Returns the reader of an adapter's head."""
  if adapter.head.choices:
    return CHOICES
  return READERS.get(adapter.head_input, CLASSES)


def read(
    base: base_lib.Base, adapter: adapter_lib.Adapter, texts: Sequence[Any],
    numbers: Sequence[int] | None = None,
) -> Reading:
  """Tokenises texts, each cut to the adapter's limit or read in windows.

  Args:
    base: Pretrained encoder.
    adapter: Adapter.
    texts: Inputs, as for `prediction.predict`.
    numbers: Number of each in messages; from 0 on when None.

  Raises:
    errors.UserError: texts of another form.
  """
  numbers = numbers or range(len(texts))
  for number, given in zip(numbers, texts, strict=True):
    check(adapter, number, given)
  try:
    return reader_of(adapter).read(base, adapter, texts)
  except tokenization.Unreadable as error:  # Its row counts these texts.
    raise tokenization.Unreadable(
        numbers[error.row], error.reason) from error


def check(adapter: adapter_lib.Adapter, number: int, given: Any) -> None:
  """Raises UserError for an input that the adapter cannot read.

  Args:
    adapter: Adapter.
    number: Number of the input, for the message.
    given: The input.
  """
  if adapter.head.reads_words:
    parts, _ = tagging.words_of(number, given)
  else:
    row, = arguments.rows_of([given])
    parts = compiled.check_texts(adapter, number, row)
  for part in parts:  # With choices, the second part is a tuple of texts.
    for text in (part,) if isinstance(part, str) else part:
      tokenization.check_characters(number, text)


def prediction_of(
    adapter: adapter_lib.Adapter, value: Any, cut: bool
) -> Prediction:
  """Returns the prediction of an adapter for an input.

  Args:
    adapter: Adapter.
    value: Value of the input, of `Reading.decode`.
    cut: Whether only the beginning of the input was read.
  """
  found = reader_of(adapter).predict(adapter, value)
  return dataclasses.replace(found, truncated=True) if cut else found


def log_cut(cut: int, count: int, where: str = '') -> None:
  """Logs how many texts are cut, if any are.

  Args:
    cut: Number of texts that are longer than the limit.
    count: Number of texts.
    where: Start of the message.
  """
  if cut:
    _log.info('%s%d of %d texts are cut to `max_length`', where, cut, count)


def joined(parts: Sequence[examples_lib.Examples]) -> examples_lib.Examples:
  """Returns the inputs of several readings, one after the other."""
  return examples_lib.Examples(
      [one for part in parts for one in part.tokens],
      [one for part in parts for one in part.segments],
      np.concatenate([part.labels for part in parts]))


def probabilities(logits: np.ndarray) -> np.ndarray:
  """Returns the softmax over the last axis of [..., classes]."""
  return special.softmax(logits, axis=-1)


def shares_of(adapter: adapter_lib.Adapter, logits: np.ndarray) -> np.ndarray:
  """Returns the probabilities of an adapter's classes, labels or choices.

  Args:
    adapter: Adapter.
    logits: [..., outputs], or [choices]
  """
  return (special.expit(logits) if adapter.head.multilabel
          else probabilities(logits))


def _read_classes(base, adapter, texts) -> Reading:
  texts = arguments.rows_of(texts)
  tokens, segments, cut = tokenization.encode_counted(
      compiled.tokenizer_of(base), texts,
      compiled.max_length(base, adapter))
  # Batches carry labels, but no model reads them: zeros.
  examples = examples_lib.Examples(
      tokens, segments, np.zeros(len(texts), np.int32))
  return Reading(
      examples, range(len(texts)), list, np.flatnonzero(cut).tolist())


def _predict_classes(
    adapter: adapter_lib.Adapter, values: np.ndarray
) -> Prediction:
  """Returns the prediction of the logits [outputs] of one text."""
  classes = adapter.classes
  if not classes:
    return Prediction(score=float(values[0]))
  shares = shares_of(adapter, values)
  if adapter.head.multilabel:
    given = thresholds.given(shares, adapter.threshold)
    return Prediction(
        labels=tuple(np.array(classes)[given].tolist()),
        probabilities=probabilities_lib.of(classes, shares))
  return Prediction(
      classes[int(thresholds.predicted_class(shares, adapter.threshold))],
      probabilities_lib.of(classes, shares))


def _read_choices(base, adapter, texts) -> Reading:
  # Choices are rows of their own, so texts may differ in their number.
  texts = arguments.rows_of(texts)
  counts = [len(row[1]) for row in texts]
  ends = np.cumsum(counts)
  owners = np.repeat(np.arange(len(texts)), counts)
  tokens, segments, cut = tokenization.encode_counted(
      compiled.tokenizer_of(base), choices.flat(texts),
      compiled.max_length(base, adapter), owners.tolist())
  examples = examples_lib.Examples(
      tokens, segments, np.zeros(len(owners), np.int32))
  return Reading(
      examples, owners.tolist(),
      lambda found: np.split(np.array(found)[:, 0], ends[:-1]),
      set(owners[cut].tolist()))


def _predict_choices(
    adapter: adapter_lib.Adapter, values: np.ndarray
) -> Prediction:
  """Returns the prediction of the logits [choices] of one text."""
  shares = shares_of(adapter, values)
  return Prediction(
      choice=int(shares.argmax()),
      probabilities=probabilities_lib.of(
          tuple(range(len(shares))), shares))


def _read_spans(base, adapter, texts) -> Reading:
  # `cut` reads an answer, for labels that prediction ignores.
  asked = [squad.Question(str(row), question, paragraph, (('', 0),))
           for row, (question, paragraph) in enumerate(texts)]
  examples, windows = squad.cut(
      compiled.tokenizer_of(base), asked, compiled.max_length(base, adapter))
  return Reading(
      dataclasses.replace(examples, labels=np.zeros(len(windows), np.int32)),
      [window.row for window in windows],
      lambda found: squad.best_answers(found, windows, asked))


def _read_words(base, adapter, texts) -> Reading:
  return Reading(*tagging.read(base, adapter, texts))


CLASSES = Reader(_read_classes, _predict_classes)
CHOICES = Reader(_read_choices, _predict_choices)
SPANS = Reader(
    _read_spans, lambda adapter, answer: Prediction(answer=answer))
TAGS = Reader(
    _read_words, lambda adapter, tagged: Prediction(**vars(tagged)))
# {name of a head: reader}; other heads have one output vector per text.
READERS = {'tokens': SPANS, 'tags': TAGS}
