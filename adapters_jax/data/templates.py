"""Special tokens around and between the texts of an example."""

from collections.abc import Sequence
import dataclasses

import numpy as np
import tokenizers

from adapters_jax import errors

# Every tokenizer makes at least one piece of it, if only the unknown one.
_PROBE = 'a'


@dataclasses.dataclass(frozen=True)
class Template:
  """The special tokens of an example and the segments of all its tokens.

  Families differ in the tokens: BERT has one between two texts, RoBERTa and
  MPNet have two.

  Attributes:
    tokens: Ids of the special tokens before the first text, after it, and so
      on: a tuple for each gap, one gap more than texts.
    segments: Segment of each of these tokens.
    text_segments: Segment of the pieces of each text.
  """
  tokens: tuple[tuple[int, ...], ...]
  segments: tuple[tuple[int, ...], ...]
  text_segments: tuple[int, ...]

  @property
  def size(self) -> int:
    """Number of special tokens."""
    return sum(map(len, self.tokens))

  def room(self, max_length: int) -> int:
    """Returns the number of pieces that the texts may have together.

    Args:
      max_length: Largest number of tokens, special tokens included.

    Raises:
      errors.UserError: there is no room for one piece of each text.
    """
    room = max_length - self.size
    if room < len(self.text_segments):
      raise errors.UserError(
          f'`max_length={max_length}`: the special tokens take {self.size}; '
          f'give {self.size + len(self.text_segments)} or more')
    return room

  def fill(
      self, parts: Sequence[Sequence[int] | np.ndarray]
  ) -> tuple[list[int], list[int]]:
    """Returns (tokens, segments) of an example, [length] each.

    Args:
      parts: Pieces of each text, already cut.
    """
    tokens, segments = [*self.tokens[0]], [*self.segments[0]]
    for part, kind, after, kinds in zip(
        parts, self.text_segments, self.tokens[1:], self.segments[1:],
        strict=True):
      tokens += [*part, *after]
      segments += [kind] * len(part) + [*kinds]
    return tokens, segments


def template_of(tokenizer: tokenizers.Tokenizer, texts: int) -> Template:
  """Returns the template of a tokenizer.

  It is read off an encoded example: names such as '[CLS]' differ between
  families, and MPNet's vocabulary has '[CLS]' as an ordinary piece.

  Args:
    tokenizer: Tokenizer with a post-processor.
    texts: Number of texts of an example, 1 or 2.

  Raises:
    errors.UserError: no special token at the start, where heads read, or texts
      in another order.
  """
  try:
    found = tokenizer.encode(_PROBE, _PROBE if texts == 2 else None)
  except Exception as error:  # `tokenizers` raises no narrower class.
    raise errors.UserError(
        f'`checkpoint`: its tokenizer fails on {_PROBE!r} ({error})') from error
  tokens, segments = ([[] for _ in range(texts + 1)] for _ in range(2))
  kinds, order = [0] * texts, [-1]
  for token, kind, text in zip(
      found.ids, found.type_ids, found.sequence_ids, strict=True):
    if text is None:  # A special token.
      tokens[order[-1] + 1].append(token)
      segments[order[-1] + 1].append(kind)
    else:
      kinds[text] = kind
      order.append(text)
  if not tokens[0] or sorted(order) != order or len({*order}) != texts + 1:
    raise errors.UserError(
        '`checkpoint`: its tokenizer puts no special token before a text, as '
        'encoders need; give tokenizer.json a post_processor, such as '
        'BertProcessing')
  return Template(
      tuple(map(tuple, tokens)), tuple(map(tuple, segments)), tuple(kinds))
