"""Tests of rows of predictions."""

import csv
import json

import numpy as np
import pytest

from adapters_jax.data import predicted
from adapters_jax.data import rows

TEXT = 'He said\t"no",\r\nthen\u2028left'
FOUND = np.array([0.25, 0.75])


def read_back(tmp_path, writer, *lines):
  """Returns the rows of a file that a writer has written."""
  path = tmp_path / f'a.{writer.form}'
  path.write_text(''.join(
      f'{line}\n' for line in (*writer.header(), *lines)), newline='')
  return [row for _, row in rows.read(str(path))]


def test_classes_and_any_text_are_read_back(tmp_path):
  writer = predicted.Writer('tsv', ('sentence',), ('no', 'yes'))
  assert read_back(tmp_path, writer, writer.line((TEXT,), FOUND)) == [{
      'label': 'yes', 'p(no)': '0.25', 'p(yes)': '0.75', 'sentence': TEXT}]
  writer = predicted.Writer('jsonl', ('sentence',), ('no', 'yes'))
  assert read_back(tmp_path, writer, writer.line((TEXT,), FOUND)) == [{
      'texts': [TEXT], 'label': 'yes',
      'probabilities': {'no': 0.25, 'yes': 0.75}}]


def test_correct_labels_stand_beside_predictions(tmp_path):
  writer = predicted.Writer('tsv', ('a', 'b'), ('no', 'yes'), checked=True)
  assert read_back(
      tmp_path, writer, writer.line(('x', ''), FOUND, 'no'),
      writer.line(('x', 'y'), FOUND)) == [
          {'prediction': 'yes', 'p(no)': '0.25', 'p(yes)': '0.75',
           'label': label, 'a': 'x', 'b': text}
          for label, text in (('no', ''), ('', 'y'))]
  writer = predicted.Writer('jsonl', ('a',), checked=True)
  assert json.loads(writer.line(('x',), np.array([-1.5]), 2.0)) == {
      'texts': ['x'], 'prediction': -1.5, 'label': 2.0}


def test_scores_and_answers(tmp_path):
  writer = predicted.Writer('tsv', ('a',))
  assert read_back(tmp_path, writer, writer.line(('x',), np.array([2.5]))) == [
      {'score': '2.5', 'a': 'x'}]
  writer = predicted.Writer('tsv', ('q', 'c'), answers=True)
  assert read_back(tmp_path, writer, writer.line(('x', 'y z'), 'y')) == [
      {'answer': 'y', 'q': 'x', 'c': 'y z'}]


@pytest.mark.parametrize('score, label', [
    ('1.2e-07', '3.8'), ('0.1', '-1.0'), ('-12345.678', '0.33333334'),
    ('1e+20', '1.5e-10')])
def test_scores_have_the_digits_of_float32(tmp_path, score, label):
  found, truth = np.array([score], np.float32), float(np.float32(label))
  writer = predicted.Writer('tsv', ('a',), checked=True)
  row, = read_back(tmp_path, writer, writer.line(('x',), found, truth))
  assert (row['prediction'], row['label']) == (score, label)
  writer = predicted.Writer('jsonl', ('a',), checked=True)
  row, = read_back(tmp_path, writer, writer.line(('x',), found, truth))
  assert (row['prediction'], row['label']) == (float(score), float(label))
  assert np.float32(row['prediction']) == found[0]


def test_probabilities_have_six_decimals():
  writer = predicted.Writer('jsonl', ('a',), ('no', 'yes'))
  assert json.loads(writer.line(('x',), np.array([1.2e-7, 1 - 1.2e-7])))[
      'probabilities'] == {'no': 0, 'yes': 1}


@pytest.mark.parametrize('texts, classes, checked, wanted', [
    (('label',), ('no', 'yes'), False,
     ['predicted_label', 'p(no)', 'p(yes)', 'label']),
    (('p(no)', 'label'), ('no', 'yes'), True,
     ['prediction', 'predicted_p(no)', 'p(yes)', 'correct_label', 'p(no)',
      'label']),
    (('score', 'predicted_score'), (), False,
     ['predicted_predicted_score', 'score', 'predicted_score']),
    (('prediction', 'label'), (), True,
     ['predicted_prediction', 'correct_label', 'prediction', 'label'])])
def test_columns_have_names_of_their_own(
    tmp_path, texts, classes, checked, wanted):
  writer = predicted.Writer('tsv', texts, classes, checked=checked)
  row, = read_back(tmp_path, writer, writer.line(
      texts, FOUND if classes else np.array([2.5])))
  assert list(row) == wanted
  assert [row[name] for name in texts] == list(texts)


def test_labels_that_hold_the_separator_are_quoted(tmp_path):
  classes = ('ham', 'spam', 'spam, ham', '"so"')
  for separator in (',', ', ', '|', ' | '):
    writer = predicted.Writer(
        'tsv', ('a',), classes, multilabel=True, checked=True,
        separator=separator)
    given = [(.9, .9, .1, .1), (.1, .1, .9, .1), (.9, .1, .9, .9), (0, 0, 0, 0)]
    rows_read = read_back(tmp_path, writer, *(
        writer.line(('x',), np.array(one), classes[:n])
        for n, one in enumerate(given)))
    assert rows_read[0]['prediction'] == f'ham{separator}spam'
    for n, (row, one) in enumerate(zip(rows_read, given, strict=True)):
      for name, wanted in (
          ('prediction', [c for c, p in zip(classes, one) if p > .5]),
          ('label', list(classes[:n]))):
        cells = next(csv.reader([row[name]], delimiter=separator.strip(),
                                skipinitialspace=True), [])
        assert [cell.strip() for cell in cells] == wanted
