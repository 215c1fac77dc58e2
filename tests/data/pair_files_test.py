"""Tests of files of pairs."""

import json

import pytest

from adapters_jax import errors
from adapters_jax.data import pair_files


def load(folder, label_column, **texts):
  """Writes a file for each split and reads them as pairs."""
  paths = {}
  for split, text in texts.items():
    end = 'json' if text.startswith('{') else 'tsv'
    paths[split] = str(folder / f'{split}.{end}')
    (folder / f'{split}.{end}').write_text(text)
  return pair_files.load(paths, ('a', 'b'), label_column)


SCORED = 'a\tb\tscore\nx\ty\t0.5\nz\tw\t0\n'
PLAIN = 'a\tb\nx\ty\nz\tw\n'
ASKED = json.dumps({'data': [{'paragraphs': [{
    'context': 'x y', 'qas': [{'id': 'q', 'question': 'z?', 'answers': [
        {'text': 'x', 'answer_start': 0}]}]}]}]})


@pytest.mark.parametrize('name, text, message', [
    ('a.tsv', PLAIN, "no column 'bad', .*; name yours with `negative_column`"),
    ('a.jsonl', '{"a": "x", "b": "y", "bad": "z"}\n{"a": "x", "b": "y"}\n',
     "line 2: no column 'bad', .* `negative_column`"),
    ('a.json', ASKED, "^`negative_column=bad`: files in SQuAD's format have")])
def test_negatives_that_a_file_lacks(tmp_path, name, text, message):
  (tmp_path / name).write_text(text)
  with pytest.raises(errors.UserError, match=message):
    pair_files.read(str(tmp_path / name), ('a', 'b'), 'label', 'bad')


@pytest.mark.parametrize('column, train, message', [
    ('scores', SCORED, "train.tsv, line 2: no column 'scores', only 'a', 'b', "
     "'score'; did you mean `label_column=score`"),
    ('grade', PLAIN, "no column 'grade', .*name yours with `label_column`"),
    ('grade', ASKED, '`label_column=grade`: .* have no scores')])
def test_a_named_column_of_scores_is_in_some_file(
    tmp_path, column, train, message):
  with pytest.raises(errors.UserError, match=message):
    load(tmp_path, column, train=train, dev=train)


def test_scores_of_minus_one_are_none(tmp_path):
  unknown = 'a\tb\tscore\nx\ty\t-1\nz\tw\t-1.0\n'
  with pytest.raises(errors.UserError, match='`test_file`: .* dev have some'):
    load(tmp_path, 'score', train=SCORED, dev=SCORED, test=unknown)
  found = load(tmp_path, 'score', train=PLAIN, dev=PLAIN, test=unknown)
  assert found['test'].scores is None
  cosines = SCORED.replace('0.5', '-1')
  found = load(tmp_path, 'score', train=cosines, dev=SCORED, test=unknown)
  assert found['test'].scores.tolist() == [-1, -1]


def test_scores_may_be_absent(tmp_path):
  for column, train, dev, scored in (
      ('score', SCORED, SCORED, (True, True)),
      ('score', PLAIN, SCORED, (False, True)),
      ('label', PLAIN, SCORED, (False, False)),
      ('score', SCORED.replace('0.5', '').replace('0', ''), PLAIN,
       (False, False))):
    found = load(tmp_path, column, train=train, dev=dev)
    assert tuple(split.scores is not None for split in found.values()) == scored
