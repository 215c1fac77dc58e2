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
  """Writes predictions, row by row.

  Cells of TSV are in quotes where they hold a quote, a tab or a line break, as
  pandas and `data.rows` read them. Probabilities have six decimals, scores the
  digits that distinguish them in float32.

  Attributes:
    form: One of FORMATS.
    texts: Names of the texts of an input.
    classes: Names of the classes; empty for a score.
    answers: Whether a prediction is a text, such as the answer to a question.
    tagged: Whether a prediction is a tag for each word. TSV then has a line for
      each word, and a blank line after each sentence.
    checked: Whether the correct label, score or answer follows. It is then
      named 'label', and the predicted one 'prediction'. In TSV, if a text has
      such a name, they get the prefixes 'correct_' and 'predicted_'.
    threshold: Probability from which on the second of two classes, or each of
      several labels, is predicted; None for the most probable class, or 0.5
      with several labels.
    multilabel: Whether a text may have several labels, or none.
    choices: Whether a prediction is one of an input's choices. TSV then has the
      text of that choice, JSONL all of them.
    separator: Separator of several labels in TSV. Labels that hold it are in
      quotes, as a cell of CSV.
  """
  form: str
  texts: tuple[str, ...]
  classes: tuple[str, ...] = ()
  answers: bool = False
  tagged: bool = False
  checked: bool = False
  threshold: float | None = None
  multilabel: bool = False
  choices: bool = False
  separator: str = ','

  @property
  def name(self) -> str:
    """Name of the predicted label, score or answer."""
    if self.checked:
      return 'prediction'
    if self.answers:
      return 'answer'
    if self.choices:
      return 'choice'
    if self.multilabel:
      return 'labels'
    return 'label' if self.classes else 'score'

  def header(self) -> list[str]:
    """Returns the header lines of the file: one for TSV, none for JSONL."""
    if self.form == 'jsonl' or self.tagged:
      return []
    shares = (['probability'] if self.choices else
              [f'p({name})' for name in self.classes])
    texts = ('context', 'chosen') if self.choices else self.texts
    names = [('predicted_', self.name), *(('predicted_', p) for p in shares),
             *([('correct_', 'label')] if self.checked else [])]
    own: list[str] = []
    for start, name in names:
      # Two columns of one name could not be read again.
      while name in texts or name in own:
        name = start + name
      own.append(name)
    return [quoting.quote_row([*own, *texts])]

  def line(
      self, texts: Sequence[Any], found: Any, truth: Any = None,
      cut: bool = False,
  ) -> str:
    """Returns the line of one prediction.

    Args:
      texts: Texts of the input; (context, choices) of multiple choice.
      found: [classes] probabilities, [1] score, the answer, or an object with
        words, tags and entities.
      truth: Correct label or labels, score, answer, number of the choice, or
        tags; None if unknown.
      cut: Whether only the beginning of a text was read, which JSONL says.
    """
    if self.tagged:
      return self._tagged(found, truth)
    if isinstance(truth, float):
      truth = _shortest(truth)
    answer = self.entries(found, cut and self.form == 'jsonl')
    if self.multilabel and self.form == 'tsv':
      answer[self.name] = self._joined(answer[self.name])
      truth = None if truth is None else self._joined(truth)
    if self.form == 'jsonl':
      right = {'label': truth} if self.checked else {}
      return json.dumps(
          {'texts': list(texts), **answer, **right}, ensure_ascii=False)
    shares = answer.pop('probabilities', {})
    if self.choices:
      number = answer[self.name]
      shares, texts = {number: shares[number]}, (texts[0], texts[1][number])
    right = ['' if truth is None else truth] if self.checked else []
    return quoting.quote_row(
        [str(cell) for cell in (
            *answer.values(), *shares.values(), *right, *texts)])

  def _joined(self, labels: Sequence[str]) -> str:
    """Returns the cell of several labels."""
    # Readers strip the labels, so spaces of a separator do not separate.
    mark = self.separator.strip() or self.separator
    return self.separator.join(
        '"' + label.replace('"', '""') + '"'
        if mark in label or label.startswith('"') else label
        for label in labels)

  def _tagged(self, found: Any, truth: Sequence[str] | None) -> str:
    """Returns the lines of a tagged sentence, or its line of JSON.

    Args:
      found: Object with words, tags and entities.
      truth: Correct tags.
    """
    if self.form == 'jsonl':
      right = {'label': list(truth or ())} if self.checked else {}
      return json.dumps(
          {**self.entries(found), **right}, ensure_ascii=False)
    # As CoNLL's files: without quotes, the correct tag before the predicted.
    columns = [found.words, *([truth] if truth else []), found.tags]
    return ''.join('\t'.join(row) + '\n' for row in zip(*columns, strict=True))

  def entries(self, found: Any, cut: bool = False) -> dict[str, Any]:
    """Returns the JSON entries of a prediction.

    Args:
      found: As for `line`.
      cut: As for `line`.
    """
    return {**self._entries(found), **({'truncated': True} if cut else {})}

  def _entries(self, found: Any) -> dict[str, Any]:
    """Returns the entries of a prediction itself."""
    if self.tagged:
      spans = [{name: value for name, value in vars(one).items()
                if value is not None} for one in found.entities]
      return {'words': found.words, 'tags': found.tags, 'spans': spans}
    if isinstance(found, str):
      return {self.name: found}
    if not self.classes and not self.choices:
      return {self.name: _shortest(found[0])}
    numbers = [round(float(value), 6) for value in found]
    if self.choices:
      return {self.name: int(found.argmax()), 'probabilities': numbers}
    shares = dict(zip(self.classes, numbers, strict=True))
    if self.multilabel:
      given = thresholds.given(found, self.threshold)
      return {self.name: [name for name, one in zip(
          self.classes, given, strict=True) if one], 'probabilities': shares}
    chosen = int(thresholds.predicted_class(found, self.threshold))
    return {self.name: self.classes[chosen], 'probabilities': shares}


def _shortest(score: float) -> float:
  """Returns the float64 with the fewest digits that is a score in float32."""
  return float(str(np.float32(score)))
