"""Masked word pieces, a pure function of the seed, the step and the row.

15 % of the pieces are predicted; of these 80 % are replaced by the mask, 10 %
by a random piece, and 10 % stay (Devlin et al., 2019, section 3.1). All pieces
of a word are masked together, as in BERT's later models; see `piece_words`.
"""

from collections.abc import Iterator, Sequence
import dataclasses
from typing import Any

import numpy as np
import tokenizers

from adapters_jax import errors
from adapters_jax.data import batching
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import piece_words
from adapters_jax.data import ragged
from adapters_jax.data import templates
from adapters_jax.data import tokenization

_MASKS = ('<mask>', '[MASK]')
# Most pieces of a word, of inflected and compound ones too; more are a URL or
# the like.
_LONGEST = 8
_MASKED, _RANDOM = 0.8, 0.1
_STREAM = 2  # Separates these random numbers from those of the data order.
_EVAL_SEED = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Texts(examples_lib.Examples):
  """Tokenised texts.

  Attributes:
    words: [length] int32 for each text, the number of the word of each piece;
      -1 for special tokens.
  """
  words: Sequence[np.ndarray] = ()


@dataclasses.dataclass(frozen=True)
class Masking:
  """Settings by which texts are masked.

  Attributes:
    rate: Share of the pieces of a text to predict.
    whole_words: Whether all pieces of a word are masked together.
    mask: Id of the mask.
    vocabulary: Number of pieces to draw random ones from.
  """
  rate: float
  whole_words: bool
  mask: int
  vocabulary: int

  def most(self, length: int) -> int:
    """Returns the maximum number of predicted pieces in `length` pieces."""
    return max(1, round(self.rate * length))


def mask_id(tokenizer: tokenizers.Tokenizer) -> int:
  """Returns the id of a tokenizer's mask.

  Raises:
    errors.UserError: it has none.
  """
  found = {token.content: number for number, token
           in tokenizer.get_added_tokens_decoder().items()}
  for name in _MASKS:
    number = found.get(name, tokenizer.token_to_id(name))
    if number is not None and (name in found or not found):
      return number
  raise errors.UserError(
      '`checkpoint`: its tokenizer has no mask, <mask> or [MASK], which '
      'language modelling needs')


def encode_words(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[str], max_length: int
) -> Texts:
  """Tokenises texts; longer ones become several examples.

  Args:
    tokenizer: Tokenizer from `tokenization.load`.
    texts: Texts.
    max_length: Largest number of tokens of an example, special ones included.
  """
  template = templates.template_of(tokenizer, 1)
  room = template.room(max_length)
  before, after = map(len, template.tokens)
  none = [piece_words.NONE]
  parts: list[list[np.ndarray]] = [[], [], []]  # Tokens, segments and words.
  lengths: list[int] = []
  for start, some in tokenization.chunks_of(texts):
    rows = range(start, start + len(some))
    tokens, segments, words = [], [], []
    for row, one in zip(
        rows, tokenization.pieces(tokenizer, some, rows), strict=True):
      numbers = piece_words.numbers_of(one, texts[row])
      for begin in range(0, len(one.ids), room):
        ids, kinds = template.fill((one.ids[begin:begin + room],))
        tokens += ids
        segments += kinds
        words += [*none * before, *numbers[begin:begin + room], *none * after]
        lengths.append(len(ids))
    for part, flat, kind in zip(
        parts, (tokens, segments, words), (np.int32, np.int8, np.int32)):
      part.append(np.array(flat, kind))
  joined = [ragged.Ragged.join(part, lengths) for part in parts]
  return Texts(
      joined[0], joined[1], np.zeros(len(lengths), np.int32), words=joined[2])


def mask_text(
    tokens: np.ndarray, words: np.ndarray, masking: Masking,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
  """Masks a text.

  Words are drawn until the share is reached. A word that would exceed it is
  left out; if it is the first, its leading pieces are masked. A text's only
  word and those of more than 8 pieces are masked piece by piece if they exceed
  it alone, lest their other pieces are never masked.

  Args:
    tokens: [length] int32
    words: [length] int32, as in `Texts`.
    masking: How to mask.
    rng: Random numbers of the text.

  Returns:
    (tokens [length] with masks, positions [predicted] in ascending order).
  """
  places = np.flatnonzero(words != piece_words.NONE)
  budget = masking.most(len(places))
  groups = list(places[:, None])
  if masking.whole_words:
    groups = _whole_words(places, words, budget)
  chosen: list[int] = []
  for index in rng.permutation(len(groups)):
    group = groups[index]
    if len(chosen) + len(group) <= budget:
      chosen += group.tolist()
    elif not chosen:
      chosen += group[:budget].tolist()
    if len(chosen) == budget:
      break
  positions = np.array(sorted(chosen), np.int32)
  draws = rng.random(len(positions))
  others = rng.integers(masking.vocabulary, size=len(positions))
  masked = tokens.copy()
  masked[positions] = np.where(
      draws < _MASKED, masking.mask,
      np.where(draws < _MASKED + _RANDOM, others, tokens[positions]))
  return masked, positions


def _whole_words(
    places: np.ndarray, words: np.ndarray, budget: int
) -> list[np.ndarray]:
  """Returns the positions that are masked together, in ascending order.

  Args:
    places: [pieces] positions to choose from.
    words: [length] int32, as in `Texts`.
    budget: Number of pieces to mask.
  """
  found = np.split(places, np.flatnonzero(np.diff(words[places])) + 1)
  longest = max(budget, _LONGEST if len(found) > 1 else 0)
  return [part for group in found for part in (
      group[:, None] if len(group) > longest else [group])]


def masked_batch(
    batch: dict[str, np.ndarray], examples: Any, rows: Sequence[int],
    masking: Masking, keys: Sequence[Sequence[int]],
) -> dict[str, np.ndarray]:
  """Masks the texts of a batch.

  Args:
    batch: Result of `batching.make_batch`.
    examples: The split, `Texts`.
    rows: Example of each row of the batch.
    masking: How to mask.
    keys: Seed of the random numbers of each row.

  Returns:
    The batch with masked tokens, positions [rows, predicted] int32, labels
    [rows, predicted] int32, -1 where there is none, and weights [rows] float32,
    the numbers of labels.
  """
  count = masking.most(batch['tokens'].shape[1])
  tokens = batch['tokens'].copy()
  positions = np.zeros((len(tokens), count), np.int32)
  labels = np.full((len(tokens), count), examples_lib.IGNORED, np.int32)
  for row, (example, key) in enumerate(zip(rows, keys, strict=True)):
    if not batch['weights'][row]:
      continue  # Filler.
    text = examples.tokens[example]
    masked, found = mask_text(
        text, examples.words[example], masking, np.random.default_rng(key))
    tokens[row, :len(text)] = masked
    positions[row, :len(found)] = found
    labels[row, :len(found)] = text[found]
  return {**batch, 'tokens': tokens, 'positions': positions, 'labels': labels,
          'weights': (labels != examples_lib.IGNORED).sum(1).astype(np.float32)}


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedSchedule(batching.Schedule):
  """Training batches whose masks differ in every epoch.

  Attributes:
    masking: How to mask.
  """
  masking: Masking | None = dataclasses.field(default=None, kw_only=True)

  def batch(self, step: int) -> dict[str, np.ndarray]:
    """Returns the arrays of a step; see `masked_batch`."""
    local = (range(self.batch_size) if self.local_rows is None
             else self.local_rows)
    found = self.at(step).rows
    # Rows beyond the plan are filler, which is not masked.
    rows = [int(found[row]) if row < len(found) else 0 for row in local]
    return masked_batch(
        super().batch(step), self.examples, rows, self.masking,
        [[self.seed, step, row, _STREAM] for row in local])


def masked_eval_batches(
    examples: Texts, buckets: Sequence[int], batch_size: int,
    local_rows: Sequence[int] | None, masking: Masking, *, multiple: int = 4,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
  """Yields the batches of a split; its masks are always the same.

  Args:
    examples: The split.
    buckets: Lengths to pad to.
    batch_size: Number of rows of a batch.
    local_rows: Rows of each batch to make; None for all.
    masking: How to mask.
    multiple: Divisor of a length beyond `buckets`.

  Yields:
    (rows, batch) pairs, as of `batching.eval_batches`.
  """
  local = range(batch_size) if local_rows is None else local_rows
  for chosen, batch in batching.eval_batches(
      examples, buckets, batch_size, local_rows, multiple=multiple):
    rows = [int(chosen[row]) if row < len(chosen) else 0 for row in local]
    yield chosen, masked_batch(
        batch, examples, rows, masking,
        [[_EVAL_SEED, row, _STREAM] for row in rows])
