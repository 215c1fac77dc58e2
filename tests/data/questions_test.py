"""Questions on paragraphs in memory."""

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax.data import questions

TEXT = 'Ann left early and Bob left late.'


@pytest.mark.parametrize('answers, wanted', [
    ('Ann', (('Ann', 0),)),
    ('left', (('left', 4),)),  # The first place.
    (['Bob', 'Bob left'], (('Bob', 19), ('Bob left', 19))),
    (np.array(['late']), (('late', 28),)),
    # As rows of Hugging Face's squad, whose other keys do not matter.
    ({'text': ['left'], 'answer_start': [23]}, (('left', 23),)),
    ({'text': np.array(['left']), 'answer_start': np.array([23]), 'id': 1},
     (('left', 23),)),
])
def test_places_of_answers(answers, wanted):
  one, = aj.Questions(['Who?'], [TEXT], [answers]).asked
  assert (one.question, one.context, one.answers) == ('Who?', TEXT, wanted)


@pytest.mark.parametrize('answers, message', [
    ('Eve', "`answers.0.`: 'Eve' is not in its paragraph$"),
    ('', 'strings that are not empty'), ([], 'an answer at least'),
    ([3], 'not 3'), ({'text': ['Ann']}, "'text' and 'answer_start'"),
    ({'text': ['Ann'], 'answer_start': [1]}, 'not in its paragraph at char'),
    ({'text': ['Ann'], 'answer_start': ['0']}, 'not in its paragraph'),
    ({'text': ['Ann'], 'answer_start': [-33]}, 'not in its paragraph'),
    ({'text': ['Ann', 'Bob'], 'answer_start': [0]}, '2 texts and 1 starts'),
    ({'text': [], 'answer_start': []}, 'an answer at least'),
])
def test_answers_that_cannot_be_found(answers, message):
  with pytest.raises(aj.UserError, match=message):
    aj.Questions(['Who?'], [TEXT], [answers])


@pytest.mark.parametrize('given, message', [
    (('Who?', [TEXT], ['Ann']), 'not a single string'),
    ((['Who?'], [TEXT], ['Ann', 'Bob']), '`answers`: there are 2 for 1'),
    ((['Who?'], [], ['Ann']), '`contexts`: there are 0 for 1'),
    (([], [], []), 'no question'), (([3], [TEXT], ['Ann']), 'not int'),
    ((['Who?'], [3], ['Ann']), r'`contexts\[0\]`: give a string, not int'),
])
def test_lists_that_do_not_fit(given, message):
  with pytest.raises(aj.UserError, match=message):
    aj.Questions(*given)


def test_a_paragraph_is_held_out_with_all_of_its_questions():
  contexts = [f'Ann has {number} hats.' for number in range(20) for _ in '12']
  given = aj.Questions(['Who?', 'How many?'] * 20, contexts, [
      ('Ann', str(row // 2))[row % 2] for row in range(40)])
  found = questions.splits(given)
  assert list(found) == ['train', 'dev']
  assert [len(split) for split in found.values()] == [36, 4]
  train, dev = ({one.context for one in split} for split in found.values())
  assert not train & dev and len(dev) == 2
  test = aj.Questions(['Who?'], [TEXT], ['Ann'])
  whole = questions.splits(given, given, test)
  assert [len(split) for split in whole.values()] == [40, 40, 1]
  with pytest.raises(aj.UserError, match='two different paragraphs'):
    questions.splits(test)
