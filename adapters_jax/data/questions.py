"""Questions on paragraphs in memory."""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import numbers
from typing import Any

from adapters_jax import errors
from adapters_jax.data import held_out
from adapters_jax.data import sequences
from adapters_jax.data import shown
from adapters_jax.data import squad

_KEYS = 'text', 'answer_start'


@dataclasses.dataclass(frozen=True, eq=False)
class Questions:
  """Questions, each with a paragraph that holds its answer.

  >>> len(aj.Questions(['Who left?'], ['Ann left early.'], ['Ann']))
  1

  Attributes:
    questions: Questions.
    contexts: Paragraph of each.
    answers: Answer of each, a part of its paragraph: a string, or a list of
      correct ones, each at its first place in the paragraph; or {'text':
      answers, 'answer_start': character where each begins}, as in SQuAD of
      Hugging Face's datasets. Training reads the first answer, scores all.
  """
  questions: Sequence[str]
  contexts: Sequence[str]
  answers: Sequence[str | Sequence[str] | Mapping[str, Sequence[Any]]]

  def __post_init__(self):
    for name in ('questions', 'contexts', 'answers'):
      object.__setattr__(
          self, name, sequences.as_list(name, getattr(self, name)))
    for name in ('contexts', 'answers'):
      if len(getattr(self, name)) != len(self.questions):
        raise errors.UserError(
            f'`{name}`: there are {len(getattr(self, name))} for '
            f'{len(self.questions)} questions')
    if not self.questions:
      raise errors.UserError('`questions`: there is no question')
    for name in ('questions', 'contexts', 'answers'):
      sequences.check_present(name, getattr(self, name))
    for name in ('questions', 'contexts'):
      for row, text in enumerate(getattr(self, name)):
        if not isinstance(text, str):
          raise errors.UserError(
              f'`{name}[{row}]`: give a string, not {type(text).__name__}')
    self.asked  # Raises for an answer that is not in its paragraph.

  def __len__(self) -> int:
    return len(self.questions)

  def __repr__(self) -> str:
    """Returns one line with the numbers of questions and paragraphs."""
    return shown.line(
        self, shown.count(len(self), 'question'),
        shown.count(len({*self.contexts}), 'paragraph'))

  @functools.cached_property
  def asked(self) -> list[squad.Question]:
    """The questions with the places of their answers."""
    return [
        squad.Question(str(row), question, context, _places(
            answers, context, f'`answers[{row}]`'))
        for row, (question, context, answers) in enumerate(zip(
            self.questions, self.contexts, self.answers))]


def _places(
    answers: Any, context: str, where: str
) -> tuple[tuple[str, int], ...]:
  """Returns (text, first character) of each answer.

  Args:
    answers: An item of `Questions.answers`.
    context: Paragraph.
    where: Name of the item, for messages.

  Raises:
    errors.UserError: answers of another form, or outside the paragraph.
  """
  if isinstance(answers, Mapping):
    if not {*_KEYS} <= {*answers}:
      raise errors.UserError(
          f'{where}: give the keys {" and ".join(map(repr, _KEYS))}')
    texts, starts = (
        list(sequences.row_of(answers[key])) for key in _KEYS)
    if len(texts) != len(starts):
      raise errors.UserError(
          f'{where}: there are {len(texts)} texts and {len(starts)} starts')
  else:
    texts = list(sequences.row_of(answers))
    starts = [context.find(text) if isinstance(text, str) else -1
              for text in texts]
  if not texts:
    raise errors.UserError(f'{where}: give an answer at least')
  for text, start in zip(texts, starts):
    if not isinstance(text, str) or not text.strip():
      raise errors.UserError(
          f'{where}: give strings that are not empty, not {text!r}')
    if (not isinstance(start, numbers.Integral) or start < 0
        or context[int(start):int(start) + len(text)] != text):
      place = f' at character {start}' if isinstance(answers, Mapping) else ''
      raise errors.UserError(
          f'{where}: {text!r} is not in its paragraph{place}')
  return tuple((text, int(start)) for text, start in zip(texts, starts))


# (questions, dev, test) -> {'train', 'dev' and perhaps 'test': questions},
# by paragraph, as one of dev must not occur in training.
splits = functools.partial(
    held_out.in_memory, of=lambda one: one.asked,
    too_few='`contexts`: two different paragraphs or more are needed',
    group=lambda one: one.context)
