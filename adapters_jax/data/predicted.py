"""Rows of predictions, as TSV or JSONL."""

from collections.abc import Sequence
import dataclasses
import json
from typing import Any

import numpy as np

from adapters_jax.data import quoting
from adapters_jax.data import thresholds

FORMATS = ('tsv', 'jsonl')


@dataclasses.dataclass(frozen=True)
class Writer:
  """Format of predictions.

  Cells of TSV are in quotes where they hold a quote, a tab or a line break, as
  pandas and `data.rows` read them.

  Attributes:
    form: One of FORMATS.
    texts: Names of the texts of an input.
    classes: Names of the classes; empty for a score.
    answers: Whether a prediction is a text, such as the answer to a question.
    checked: Whether the correct label, score or answer follows. It is named
      'label' then, and the predicted one 'prediction'.
    threshold: Probability from which on the second of two classes is predicted;
      None for the most probable class.
  """
  form: str
  texts: tuple[str, ...]
  classes: tuple[str, ...] = ()
  answers: bool = False
  checked: bool = False
  threshold: float | None = None

  @property
  def name(self) -> str:
    """Name of the predicted label, score or answer."""
    if self.checked:
      return 'prediction'
    if self.answers:
      return 'answer'
    return 'label' if self.classes else 'score'

  def header(self) -> list[str]:
    """Returns the first lines of the file: of TSV one, of JSONL none."""
    if self.form == 'jsonl':
      return []
    return [quoting.quote_row(
        [self.name, *(f'p({name})' for name in self.classes),
         *(['label'] if self.checked else []), *self.texts])]

  def line(
      self, texts: Sequence[str], found: np.ndarray | str, truth: Any = None
  ) -> str:
    """Returns the line of one prediction.

    Args:
      texts: Texts of the input.
      found: [classes] probabilities, [1] score, or the answer.
      truth: Correct label, score or answer; None if unknown.
    """
    answer = self._answer(found)
    if self.form == 'jsonl':
      right = {'label': truth} if self.checked else {}
      return json.dumps(
          {'texts': list(texts), **answer, **right}, ensure_ascii=False)
    shares = answer.pop('probabilities', {})
    right = ['' if truth is None else truth] if self.checked else []
    return quoting.quote_row(
        [str(cell) for cell in (
            *answer.values(), *shares.values(), *right, *texts)])

  def _answer(self, found: np.ndarray | str) -> dict[str, Any]:
    """Returns the entries of a prediction."""
    if isinstance(found, str):
      return {self.name: found}
    numbers = [round(float(value), 6) for value in found]
    if not self.classes:
      return {self.name: numbers[0]}
    chosen = int(thresholds.choose(found, self.threshold))
    return {self.name: self.classes[chosen],
            'probabilities': dict(zip(self.classes, numbers, strict=True))}
