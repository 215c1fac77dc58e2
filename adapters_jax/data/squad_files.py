"""Questions of SQuAD v1.1 from files and from TensorFlow Datasets."""

from collections.abc import Mapping
import json
from typing import Any

from adapters_jax import errors
from adapters_jax.data import prepared
from adapters_jax.data import rows as rows_lib
from adapters_jax.data import squad
from adapters_jax.data import tables


def read(path: str) -> list[squad.Question]:
  """Returns the questions of a file.

  Args:
    path: A .jsonl or .parquet file with a question in each row, in the columns
      of Hugging Face's datasets (id, question, context, answers); any other
      file is JSON as SQuAD's authors publish it.

  Raises:
    errors.UserError: the file cannot be read or has another format, a value has
      another type, or an answer is not at its position.
  """
  in_rows = path.lower().endswith(('.jsonl', '.parquet'))
  questions = _of_rows(path) if in_rows else _of_json(path)
  if not questions:
    raise errors.UserError(f'{path}: no questions in it')
  for question in questions:
    _check(path, question)
  return questions


def _of_json(path: str) -> list[squad.Question]:
  """Returns the questions of a file in SQuAD's JSON format, unchecked."""
  try:
    with open(path, 'rb') as file:
      content = file.read()
    rows_lib.check_start(content[:16], path)
    articles = json.loads(content.decode('utf-8-sig'))['data']
    return [
        squad.Question(
            str(qa['id']), qa['question'], paragraph['context'],
            _places(qa['answers']))
        for article in articles for paragraph in article['paragraphs']
        for qa in paragraph['qas']]
  except errors.UserError:  # Is a ValueError too.
    raise
  except (
      OSError, ValueError, KeyError, TypeError, RecursionError) as error:
    raise errors.UserError(
        f'{path}: not SQuAD v1.1 in JSON ({type(error).__name__}: {error})'
    ) from error


def _of_rows(path: str) -> list[squad.Question]:
  """Returns the questions of a file with one in each row, unchecked."""
  questions = []
  for number, row in rows_lib.read(path):
    where = f'{path}, line {number}'
    for column in ('question', 'context', 'answers'):
      if column not in row:
        raise errors.UserError(
            f'{where}: there is no column {column!r}; the columns of a row are '
            'id, question, context and answers')
    try:
      places = _places(row['answers'])
    except (KeyError, TypeError, ValueError) as error:
      raise errors.UserError(
          f"{where}, column 'answers': give {{'text': [...], 'answer_start': "
          "[...]}, with as many texts as starts") from error
    # Any type; `_check` refuses the wrong ones.
    question: Any = row['question']
    context: Any = row['context']
    questions.append(
        squad.Question(str(row.get('id', number)), question, context, places))
  return questions


def _places(answers: Any) -> tuple[tuple[str, int], ...]:
  """Returns (text, first character) of each answer, unchecked.

  Args:
    answers: List of {'text', 'answer_start'}, as SQuAD's authors publish it, or
      one mapping of lists, as in Hugging Face's datasets.

  Raises:
    KeyError, TypeError, ValueError: another form.
  """
  if isinstance(answers, Mapping):
    return tuple(zip(answers['text'], answers['answer_start'], strict=True))
  return tuple((one['text'], one['answer_start']) for one in answers)


def _check(path: str, question: squad.Question) -> None:
  """Raises UserError for a question without answers in its paragraph.

  Args:
    path: Path of the file, for messages.
    question: Question whose values are those of JSON, of any type.
  """
  place = f'{path}: question {question.name}'
  for name, text in (
      ('question', question.question), ('context', question.context),
      *(('text', text) for text, _ in question.answers)):
    tables.text_at(f'{place}, {name!r}', text)
  if not question.answers:
    raise errors.UserError(f'{place} has no answer, as v1.1 demands')
  for text, start in question.answers:
    if type(start) is not int:  # Truth values are integers too.
      raise errors.UserError(
          f"{place}: 'answer_start' is {start!r}; give a whole number")
    if start < 0 or question.context[start:start + len(text)] != text:
      raise errors.UserError(
          f'{path}: an answer of question {question.name} is not at '
          f'character {start} of its paragraph')


def read_tfds(data_dir: str) -> dict[str, list[squad.Question]]:
  """Returns {'train', 'dev': questions} from TFDS.

  They are sorted by id, as the order on disk depends on how TFDS wrote shards.
  """
  builder = prepared.dataset(squad.TASK.source, data_dir)
  splits = {}
  for name, split in squad.TASK.splits:
    rows = prepared.read_split(builder, split)
    splits[name] = sorted((
        squad.Question(
            row['id'].decode(), row['question'].decode(),
            row['context'].decode(), tuple(
                (text.decode(), int(start)) for text, start in zip(
                    row['answers']['text'], row['answers']['answer_start'])))
        for row in rows), key=lambda question: question.name)
  return splits
