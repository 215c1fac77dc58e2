"""Tests of files of multiple choice."""

import json

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import choices


def rows_of(folder, name, text, **columns):
  path = str(folder / name)
  (folder / name).write_text(text)
  return choices.read(path, **columns)


@pytest.mark.parametrize('name, text, columns, wanted', [
    ('plain.jsonl', json.dumps(
        {'context': 'c', 'choices': ['x', 'y', 'z'], 'answer': 2}), {},
     ('c', ('x', 'y', 'z'), 2)),
    ('plain.csv', 'context,choice1,choice2,answer\nc,x,y,y\n', {},
     ('c', ('x', 'y'), 1)),
    ('asked.jsonl', json.dumps(
        {'context': 'c', 'question': 'q?', 'choices': ['x', 'y'], 'answer': 1}),
     {}, ('c q?', ('x', 'y'), 1)),
    ('asked.csv', 'question,context,choice1,choice2,label\nq?,c,x,y,0\n', {},
     ('c q?', ('x', 'y'), 0)),
    *((f'{n}.jsonl', json.dumps(
        {'context': 'c', **asked, 'choices': ['x', 'y'], 'answer': 1}), {},
       ('c', ('x', 'y'), 1)) for n, asked in enumerate(
           ({'question': None}, {'question': ''}))),
    ('gold.jsonl', json.dumps(
        {'context': 'c', 'choices': ['x', 'y'], 'answer': 0, 'gold': 1}),
     {'answer': 'gold'}, ('c', ('x', 'y'), 1)),
    ('swag.csv', 'sent1,sent2,ending0,ending1,ending2,ending3,label\n'
     'A man sits.,He,runs.,eats.,sings.,sleeps.,3\n', {},
     ('A man sits.', ('He runs.', 'He eats.', 'He sings.', 'He sleeps.'), 3)),
    ('copa.jsonl', json.dumps(
        {'premise': 'It rained.', 'choice1': 'Wet.', 'choice2': 'Dry.',
         'question': 'cause', 'label': 0, 'idx': 7}), {},
     ('It rained. What was the cause of this?', ('Wet.', 'Dry.'), 0)),
    ('own.tsv', 'article\tquestion\tb\ta\tright\nt\tq\tx\ty\t1\n',
     {'contexts': ('article', 'question'), 'choices': ('b', 'a'),
      'answer': 'right'}, ('t q', ('x', 'y'), 1))])
def test_layouts(tmp_path, name, text, columns, wanted):
  table = rows_of(tmp_path, name, text, **columns)
  (context, found), = table.texts
  assert (context, found, table.labels[0]) == wanted


def test_questions_of_some_rows(tmp_path):
  rows = [{'context': 'c', **asked, 'choices': ['x', 'y'], 'answer': 0}
          for asked in ({}, {'question': 'q?'}, {})]
  table = rows_of(tmp_path, 'a.jsonl', '\n'.join(map(json.dumps, rows)))
  assert [context for context, _ in table.texts] == ['c', 'c q?', 'c']


def test_two_columns_of_answers_are_refused(tmp_path):
  with pytest.raises(
      errors.UserError, match="line 1: .*'answer' and 'label' may both"):
    rows_of(tmp_path, 'a.jsonl', json.dumps(
        {'context': 'c', 'choices': ['x', 'y'], 'answer': 0, 'label': 1}))


@pytest.mark.parametrize('some, answer, number', [
    (['1', '0'], 1, 1), (['1', '0'], 1.0, 1),  # Numbers are no texts.
    (['3', '4'], '4', 1), (['0', '1'], '1', 1), (['b', 'a'], 'a', 1),
    (['x', '0.5'], '1', 1)])
def test_answers_by_number_or_text(tmp_path, some, answer, number):
  assert rows_of(tmp_path, 'a.jsonl', json.dumps(
      {'context': 'c', 'choices': some, 'answer': answer})).labels == [number]


@pytest.mark.parametrize('some, answer, message', [
    (['1', '0'], '1', "the answer '1' may be the choices '1' and '0', by numb"),
    (['2', ' 0', '1'], '0', "the choices '2' and ' 0'"),
    (['a', 'a'], 'a', "the choices 'a' and 'a'"),
    (['x', 'y'], 'choices', 'is none of the 2'),
    (['3', '4', '5'], 4, "'4' is none .*0 to 2, or its text in quotes"),
    (['x', 'y', ' '], 'x', "column 'choices': a choice is empty")])
def test_answers_with_two_readings(tmp_path, some, answer, message):
  with pytest.raises(errors.UserError, match=f'a.jsonl, line 1, .*{message}'):
    rows_of(tmp_path, 'a.jsonl', json.dumps(
        {'context': 'c', 'choices': some, 'answer': answer}))


@pytest.mark.parametrize('own, texts, answer, number', [
    (('choice1', 'choice2'), ('x', 'y'), 'choice2', 1),
    (('choice1', 'choice2'), ('x', 'choice2'), 'choice2', 1),
    (('choice1', 'choice2'), ('choice2', 'y'), 'choice2', 0),
    (('b', 'a'), ('x', 'y'), 'b', 0), (('b', 'a'), ('a', 'y'), 'a', 0),
    (('0', '1'), ('x', 'y'), '1', 1), (('1', '2'), ('x', 'y'), '1', 1)])
def test_answers_by_column(tmp_path, own, texts, answer, number):
  assert rows_of(
      tmp_path, 'a.csv', f'context,{",".join(own)},answer\n'
      f'c,{",".join(texts)},{answer}\n', contexts=('context',), choices=own,
      answer='answer').labels == [number]


def test_no_column_is_an_answer_by_number(tmp_path):
  with pytest.raises(errors.UserError, match="line 3.*'2' is none of the 2 ch"):
    rows_of(tmp_path, 'a.csv', 'context,1,2,answer\nc,x,y,1\nc,x,y,2\n',
            contexts=('context',), choices=('1', '2'), answer='answer')


@pytest.mark.parametrize('lines, message', [
    ([('c', ['x'], 0)], 'line 1: there is 1 choice; two or more'),
    ([('c', ['x', 'y'], 0), ('c', ['x', 'y'], 2)],
     "line 2, column 'answer': the answer '2' is none of the 2 choices; give "
     'its number, 0 to 1'),
    ([('c', ['x', 'y'], 0), ('c', ['x', 'y', 'z'], 2)],
     'line 2: there are 3 choices, the first training example has 2'),
    ([('c', ['x', None], 0)], "line 1, column 'choices': the text is null")])
def test_faults_are_named_by_line(tmp_path, lines, message):
  path = tmp_path / 'a.jsonl'
  path.write_text('\n'.join(json.dumps(
      {'context': c, 'choices': some, 'answer': answer})
                            for c, some, answer in lines) + '\n')
  with pytest.raises(errors.UserError, match=message):
    choices.load({'train': str(path)}, (), (), '', dev_fraction=0.5)


def test_unknown_columns_are_listed(tmp_path):
  with pytest.raises(errors.UserError, match='name yours with `text_columns`'):
    rows_of(tmp_path, 'a.csv', 'story,end1,end2\na,b,c\n')


@pytest.mark.parametrize('unknown', ['-1', '-1.0', '" -1"'])
def test_a_test_file_may_lack_answers(tmp_path, unknown):
  text = json.dumps({'context': 'c', 'choices': ['x', 'y'], 'answer': 1})
  for name in ('train', 'dev'):
    (tmp_path / f'{name}.jsonl').write_text(text + '\n')
  (tmp_path / 'test.jsonl').write_text(text.replace('1', unknown) + '\n')
  task, splits = choices.load(
      {name: str(tmp_path / f'{name}.jsonl') for name in (
          'train', 'dev', 'test')}, (), (), '')
  assert (task.labels, task.outputs) == (('0', '1'), 1)
  np.testing.assert_array_equal(splits['train'].labels, [1])
  assert not splits['test'].labelled
  assert choices.flat(splits['test'].texts) == [('c', 'x'), ('c', 'y')]
