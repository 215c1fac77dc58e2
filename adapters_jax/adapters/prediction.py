"""Adapters put to use: texts in; classes, scores or answers out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
from typing import Any

import jax
import numpy as np
from scipy import special

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import composing
from adapters_jax.adapters import tagging
from adapters_jax.data import batching
from adapters_jax.data import choices
from adapters_jax.data import memory
from adapters_jax.data import squad
from adapters_jax.data import thresholds
from adapters_jax.data import tags as tags_lib
from adapters_jax.data import tokenization
from adapters_jax.model import base as base_lib
from adapters_jax.model import composition
from adapters_jax.model import pretrained
from adapters_jax.training import steps

# Lengths to pad batches to: few, so that few programs are compiled.
BUCKETS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 192, 256, 384, 512)

Text = arguments.Text

# Memory for the leaves of a mixed batch, a copy for each example. Adapters take
# a few hundred MB at most; fully fine-tuned models would take tens of GB.
_MIXED_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class Prediction:
  """Output for one input; the fields of other kinds of task are None.

  Attributes:
    label: Most probable class, or the one that the adapter's threshold gives.
    probabilities: {class: probability}
    score: Score of a regression.
    answer: Answer to a question, a part of the paragraph.
    labels: Labels of a text that may have several or none.
    choice: Number of the most probable choice, from 0. `probabilities` then has
      the numbers of the choices as keys.
    words: Words of a tagged sentence.
    tags: Tag of each word.
    entities: Entities that the tags mark, each with its `type` and `text`.
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

  def __repr__(self) -> str:
    given = (f'{field.name}={value!r}' for field in dataclasses.fields(self)
             if (value := getattr(self, field.name)) is not None)
    return f'Prediction({", ".join(given)})'


def load(
    folder: str, checkpoint: str = ''
) -> tuple[base_lib.Base, adapter_lib.Adapter]:
  """Loads an adapter and the base that it was trained on.

  Args:
    folder: Workdir of a run, or folder of an adapter.
    checkpoint: Name or folder of the base; by default the name that the adapter
      was trained with.

  Returns:
    (base in the precision of the training, adapter)

  Raises:
    errors.UserError: no adapter in the folder, another base, or an adapter that
      does not fit it.
  """
  adapter = adapter_lib.load(folder)
  if not checkpoint and '@' in adapter.base:
    raise errors.UserError(
        f'`checkpoint`: the adapter in {folder} was trained on the folder '
        f'{adapter.base.split("@")[0]}; name it')
  checkpoint = checkpoint or adapter.base
  if not checkpoint:
    raise errors.UserError(
        f'`checkpoint`: the adapter in {folder} does not name its base; name '
        'it')
  pretrained.config_of(checkpoint)  # Raises for an unknown name.
  compiled.check_base(
      base_lib.identity(checkpoint), adapter, f'the adapter in {folder}')
  compiled.warn_of_files(checkpoint, adapter, f'the adapter in {folder}')
  base = base_lib.load(
      checkpoint, adapter.settings.get('precision', 'float32'))
  compiled.check_adapter(base, adapter, f'the adapter in {folder}')
  return base, adapter


def predict(
    base: base_lib.Base,
    adapter: adapter_lib.Adapter | Mapping[str, adapter_lib.Adapter],
    texts: Sequence[Text] | None = None,
    adapters: Sequence[str] | None = None, batch_size: int = 32, *,
    setup: composition.Setup | None = None,
) -> list[Any]:
  """Applies an adapter, one of a bank for each text, or a setup of several.

  Adapters of one method and shape share their batches; others are computed one
  after another. Compiled programs are kept for the next call.

  >>> aj.predict(base, film, ['A joy from start to end.'])
  [Prediction(label=..., probabilities={'negative': ..., 'positive': ...})]
  >>> bank = {'film': film, 'food': food}
  >>> len(aj.predict(base, bank, ['A joy.', 'Dull.'], ['film', 'food']))
  2
  >>> aj.predict(base, bank, ['A joy.'], setup=aj.Parallel('film', 'food'))
  [{'film': Prediction(label=..., ...), 'food': Prediction(label=..., ...)}]

  Args:
    base: Pretrained encoder.
    adapter: Adapter, or a bank {name: adapter} of any methods.
    texts: Texts, or pairs for adapters that read two; (context, choices) for
      multiple choice. Taggers take lists of words too, and split texts at
      blanks and punctuation.
    adapters: With a bank, the name of the adapter for each text.
    batch_size: Inputs a step.
    setup: With a bank, a setup such as Stack('lang', 'task'), or its text,
      for all texts.

  Returns:
    A prediction for each text, in order; {member: prediction} with a
    `Parallel`.

  Raises:
    errors.UserError: an adapter of another base, without a head, or not in the
      bank; texts of another form; outputs that are NaN.
  """
  # Without `texts` the base was forgotten, which its own check explains.
  arguments.check_types(base, adapter, batch_size)
  if texts is None:
    raise errors.UserError('`texts`: give a list of texts')
  given = memory.as_list('texts', texts)
  rows = arguments.rows_of(given)
  if setup is not None:
    if adapters is not None or not isinstance(adapter, Mapping):
      raise errors.UserError(
          '`setup`: is for a bank {name: adapter}, and without `adapters`')
    columns = [(names, predict(base, bank, given, names, batch_size))
               for bank, names in composing.segments(adapter, setup, len(rows))]
    if len(columns) == 1:
      return columns[0][1]
    return [{names[row]: found[row] for names, found in columns}
            for row in range(len(rows))]
  bank, names = arguments.named(adapter, adapters, len(rows))
  for number, (name, row) in enumerate(zip(names, rows, strict=True)):
    if bank[name].head.name == 'tags':
      tagging.words_of(number, given[number])
    else:
      compiled.check_texts(bank[name], number, row)
  found: list[Any] = [None] * len(rows)
  for group in _groups(bank, names, batch_size):
    chosen = [row for row, name in enumerate(names) if name in group]
    some = [rows[row] for row in chosen]
    try:
      if bank[group[0]].head_input == 'tokens':
        answered = answers(base, bank[group[0]], some, batch_size)
        predictions = [Prediction(answer=answer) for answer in answered]
      elif bank[group[0]].head.name == 'tags':
        predictions = [Prediction(**vars(one)) for one in tagging.tag(
            base, bank, [names[row] for row in chosen],
            [given[row] for row in chosen], BUCKETS, batch_size)]
      else:
        logits_of = (choice_logits if bank[group[0]].head.choices
                     else mixed_logits)
        values = logits_of(
            base, bank, [names[row] for row in chosen], some, batch_size)
        predictions = [_prediction(bank[names[row]], value)
                       for row, value in zip(chosen, values, strict=True)]
    except steps.NotFinite as error:
      raise steps.not_finite(chosen[error.row], 'text') from error
    for row, prediction in zip(chosen, predictions, strict=True):
      found[row] = prediction
  return found


def _groups(
    bank: Mapping[str, adapter_lib.Adapter], names: Iterable[str], batch: int
) -> Iterator[list[str]]:
  """Yields the names of adapters that share a batch, each name once."""
  groups = {}
  for name in dict.fromkeys(names):
    adapter = bank[name]
    leaves = jax.tree.leaves(adapter.tuned)
    memory = batch * sum(leaf.nbytes for leaf in leaves)
    # Mixed steps are for classifiers and taggers.
    alone = adapter.head.name == 'tokens' or memory > _MIXED_BYTES
    key = name if alone else bank_lib.signature(adapter)
    groups.setdefault(key, []).append(name)
  yield from groups.values()


def _prediction(adapter: adapter_lib.Adapter, values: np.ndarray) -> Prediction:
  """Returns the prediction of the logits [outputs] of one input."""
  classes = adapter.classes
  if not classes and not adapter.head.choices:
    return Prediction(score=float(values[0]))
  shares = shares_of(adapter, values)
  if adapter.head.choices:
    return Prediction(
        choice=int(shares.argmax()),
        probabilities=dict(enumerate(map(float, shares))))
  if adapter.head.multilabel:
    given = thresholds.given(shares, adapter.threshold)
    return Prediction(
        labels=tuple(np.array(classes)[given].tolist()),
        probabilities=dict(zip(classes, map(float, shares), strict=True)))
  return Prediction(
      classes[int(thresholds.choose(shares, adapter.threshold))],
      {name: float(share) for name, share in zip(classes, shares, strict=True)})


def logits(
    base: base_lib.Base, adapter: adapter_lib.Adapter,
    texts: Sequence[Text], batch_size: int = 32,
) -> np.ndarray:
  """Computes the outputs of an adapter's head on [CLS].

  Args:
    base: Pretrained encoder.
    adapter: Adapter of classes or a score.
    texts: Texts, or pairs.
    batch_size: Inputs a step.

  Returns:
    [texts, outputs] float32

  Raises:
    errors.UserError: an adapter of another base or without a head; texts of
      another form.
  """
  return mixed_logits(
      base, {'': adapter}, [''] * len(texts), texts, batch_size)


def mixed_logits(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter],
    names: Sequence[str], texts: Sequence[Text], batch_size: int = 32,
) -> np.ndarray:
  """Computes the outputs of a named adapter's head for each text.

  Args:
    base: Pretrained encoder.
    bank: Adapters; the named ones are of one method and shape.
    names: Name of the adapter for each text.
    texts: Texts, or pairs.
    batch_size: Inputs a step.

  Returns:
    [texts, outputs] float32

  Raises:
    errors.UserError: as in `logits`, or adapters that do not stack.
  """
  used = list(dict.fromkeys(names))
  examples = compiled.encode(base, bank, names, arguments.rows_of(texts))
  for name in used or bank:
    compiled.check_adapter(base, bank[name])
  if not used:
    outputs = next(iter(bank.values())).outputs if bank else 0
    return np.zeros((0, outputs), np.float32)
  first = bank[used[0]]
  model = compiled.model_of(base, first)
  batches = batching.eval_batches(examples, BUCKETS, batch_size)
  if len(used) == 1:
    step, tuned = compiled.eval_step(model), first.tuned
  else:
    _, tuned = bank_lib.stack(bank, used)
    step = compiled.mixed_step(model)
    ids = np.array([used.index(name) for name in names], np.int32)
    # `resize` repeats ids for filler rows, whose logits are dropped.
    batches = [(rows, {**batch, 'ids': np.resize(ids[rows], batch_size)})
               for rows, batch in batches]
  with compiled.matmul_precision(base):
    return steps.example_logits(
        step, compiled.params_of(base, first), jax.device_put(tuned), batches,
        len(examples))


def choice_logits(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter],
    names: Sequence[str], texts: Sequence[Any], batch_size: int = 32,
) -> list[np.ndarray]:
  """Computes the logits of the choices of each input.

  Choices are rows of their own, so inputs may differ in their number.

  Args:
    base: Pretrained encoder.
    bank: Adapters of multiple choice, of one method and shape.
    names: Name of the adapter for each input.
    texts: (context, choices) of each input.
    batch_size: Choices a step.

  Returns:
    [choices] float32 for each input.

  Raises:
    errors.UserError: as in `logits`, or adapters that do not stack.
  """
  counts = [len(row[1]) for row in texts]
  try:
    found = mixed_logits(
        base, bank, np.repeat(names, counts).tolist(), choices.flat(texts),
        batch_size)
  except steps.NotFinite as error:  # Its row counts choices.
    row = int(np.searchsorted(np.cumsum(counts), error.row, 'right'))
    raise steps.not_finite(row, 'text') from error
  return np.split(found[:, 0], np.cumsum(counts)[:-1]) if counts else []


def answers(
    base: base_lib.Base, adapter: adapter_lib.Adapter,
    texts: Sequence[Sequence[str]], batch_size: int = 32,
) -> list[str]:
  """Finds the best answer in each paragraph.

  Long paragraphs are read in windows, as in training.

  Args:
    base: Pretrained encoder.
    adapter: Adapter for question answering.
    texts: (question, paragraph) pairs.
    batch_size: Windows a step.

  Returns:
    The answer to each question, a part of its paragraph.
  """
  compiled.check_adapter(base, adapter)
  asked = []
  for row, pair in enumerate(texts):
    question, paragraph = compiled.check_texts(adapter, row, pair)
    # `cut` reads an answer, for labels that prediction ignores.
    asked.append(squad.Question(str(row), question, paragraph, (('', 0),)))
  examples, windows = squad.cut(
      compiled.tokenizer_of(base), asked, compiled.max_length(base, adapter))
  batches = batching.eval_batches(examples, BUCKETS, batch_size)
  with compiled.matmul_precision(base):
    try:
      found = steps.predict_ragged(
          compiled.eval_step(compiled.model_of(base, adapter)),
          compiled.params_of(base, adapter), jax.device_put(adapter.tuned),
          batches, len(examples))
    except steps.NotFinite as error:  # Its row counts windows.
      raise steps.not_finite(windows[error.row].row, 'question') from error
  return squad.best_answers(found, windows, asked)


def count_cut(
    base: base_lib.Base, adapter: adapter_lib.Adapter, texts: Sequence[Text]
) -> int:
  """Returns the number of inputs that are cut to the adapter's length limit.

  Args:
    base: Pretrained encoder.
    adapter: Adapter; one that reads long paragraphs in windows cuts none.
    texts: Texts, or pairs.
  """
  if adapter.head.per_token:
    return 0
  if adapter.head.choices:
    inputs: Sequence[Any] = texts
    return sum(tokenization.count_truncated(
        compiled.tokenizer_of(base), choices.flat([row]),
        compiled.max_length(base, adapter)) > 0 for row in inputs)
  return tokenization.count_truncated(
      compiled.tokenizer_of(base), arguments.rows_of(texts),
      compiled.max_length(base, adapter))


def shares_of(adapter: adapter_lib.Adapter, logits: np.ndarray) -> np.ndarray:
  """Returns the probabilities of an adapter's classes, labels or choices.

  Args:
    adapter: Adapter.
    logits: [..., outputs], or [choices]
  """
  return (special.expit(logits) if adapter.head.multilabel
          else probabilities(logits))


def probabilities(logits: np.ndarray) -> np.ndarray:
  """Returns the softmax over the last axis of [..., classes]."""
  return special.softmax(logits, axis=-1)
