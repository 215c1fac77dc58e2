"""Tests of files with several labels a text, and of their metrics."""

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import label_metrics
from adapters_jax.data import label_sets
from adapters_jax.data import metrics
from adapters_jax.data import tasks


def load(folder, texts, columns=('labels',), separator=','):
  paths = {}
  for split, (name, text) in texts.items():
    paths[split] = str(folder / f'{split}{name}')
    (folder / f'{split}{name}').write_text(text)
  return label_sets.load(paths, ('text',), columns, separator)


def test_a_column_with_separators(tmp_path):
  task, splits = load(tmp_path, {
      'train': ('.tsv', 'text\tlabels\na\tjoy, fear\nb\t\nc\tfear\n'),
      'dev': ('.jsonl', '{"text": "d", "labels": ["joy"]}\n'
                        '{"text": "e", "labels": null}\n'),
      'test': ('.tsv', 'text\nf\n')})
  assert (task.labels, task.outputs, task.form) == (
      ('fear', 'joy'), 2, 'multilabel')
  np.testing.assert_array_equal(
      splits['train'].labels, [[1, 1], [0, 0], [1, 0]])
  np.testing.assert_array_equal(splits['dev'].labels, [[0, 1], [0, 0]])
  assert splits['train'].labels.dtype == np.float32
  assert not splits['test'].labelled


def test_a_column_for_each_label(tmp_path):
  task, splits = load(tmp_path, {
      'train': ('.csv', 'text,joy,fear\na,1,1\nb,0,0\nc,0,1\n'),
      'dev': ('.jsonl', '{"text": "d", "joy": true, "fear": false}\n')},
                      ('joy', 'fear'))
  assert task.labels == ('joy', 'fear')  # In the order of the columns.
  np.testing.assert_array_equal(
      splits['train'].labels, [[1, 1], [0, 0], [0, 1]])
  np.testing.assert_array_equal(splits['dev'].labels, [[1, 0]])


@pytest.mark.parametrize('columns, train, dev, message', [
    (('labels',), 'a\tjoy', 'b\tjyo',
     "dev.tsv, line 2, column 'labels': the label 'jyo' does not occur"),
    (('labels',), 'a\tjoy\nb\tjoy,joy', 'b\tjoy',
     "train.tsv, line 3, .* 'joy' is there 2 times"),
    (('labels',), 'a\tjoy,,fear', 'b\tjoy', 'line 2, .* is empty'),
    (('labels',), 'a\t', 'b\t', 'no row has a label'),
    (('labels',), 'a\t1,x\nb\t2\nc\t2.0,1', 'b\t1',
     "train.tsv, line 4, .*'2.0' is '2' of line 3 in another spelling"),
    (('labels', 'text'), 'a\t2', 'b\t0',
     "line 2, column 'labels': '2' is neither 0 nor 1"),
    (('lables',), 'a\tjoy', 'b\tjoy', "did you mean `label_column=labels`")])
def test_faults_are_named_by_line(tmp_path, columns, train, dev, message):
  with pytest.raises(errors.UserError, match=message):
    load(tmp_path, {'train': ('.tsv', f'text\tlabels\n{train}\n'),
                    'dev': ('.tsv', f'text\tlabels\n{dev}\n')}, columns)


def test_metrics_by_hand():
  labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], np.float32)
  shares = np.array([[.9, .1, .2], [.4, .8, .1], [.6, .7, .3], [.1, .2, .1]])
  found = label_metrics.compute_at_threshold(
      list(label_metrics.METRICS), labels, shares, 0.5)
  # Of 4 labels 3 are found, beside a false one.
  assert found['micro_f1'] == pytest.approx(2 * 3 / (4 + 4))
  assert found['macro_f1'] == pytest.approx((1 / 2 + 1 + 0) / 3)
  assert found['micro_precision'] == found['micro_recall'] == 3 / 4
  assert found['macro_precision'] == pytest.approx((1 / 2 + 1 + 0) / 3)
  assert found['macro_recall'] == pytest.approx((1 / 2 + 1 + 0) / 3)
  assert found['subset_accuracy'] == 2 / 4
  # The first label's positives have the ranks 1 and 3; the third has none.
  assert found['mean_average_precision'] == pytest.approx(
      ((1 + 2 / 3) / 2 + 1) / 2)
  # Of the first label 3 of 4 pairs are ranked correctly, of the second all.
  assert found['roc_auc'] == pytest.approx((3 / 4 + 1) / 2)
  assert label_metrics.decided_by(
      ['roc_auc', 'mean_average_precision', 'macro_f1']) == 'macro_f1'


def test_metrics_of_a_single_label():
  labels = np.array([[1], [1], [0], [0], [0], [0]])
  shares = np.array([[0.9], [0.1], [0.8], [0.2], [0.3], [0.05]])
  names = list(label_metrics.METRICS)
  found = label_metrics.compute_at_threshold(names, labels, shares, 0.5)
  assert found == pytest.approx({
      'micro_f1': 1 / 2, 'macro_f1': 1 / 2, 'subset_accuracy': 4 / 6,
      'mean_average_precision': (1 + 2 / 5) / 2,
      'micro_precision': 1 / 2, 'macro_precision': 1 / 2,
      'micro_recall': 1 / 2, 'macro_recall': 1 / 2,
      'roc_auc': (4 + 1) / (2 * 4)})
  for row in range(6):  # From the threshold on a label is given.
    at = label_metrics.compute_at_threshold(
        ['subset_accuracy'], labels, shares, shares[row, 0])
    assert at['subset_accuracy'] == np.mean(labels == (shares >= shares[row]))
  nothing = label_metrics.compute_at_threshold(
      names, np.zeros((3, 1), int), np.zeros((3, 1)), 0.5)
  assert nothing == {**dict.fromkeys(names, 0), 'roc_auc': 0.5,
                     'subset_accuracy': 1}


def test_the_first_metric_is_one_of_label_sets():
  task = tasks.Task('t', '', ('text',), ('a', 'b', 'c'), label_sets.METRICS,
                    form='multilabel')
  assert metrics.with_first(task, 'macro_f1').metrics[0] == 'macro_f1'
  with pytest.raises(errors.UserError, match='give one of micro_f1'):
    metrics.with_first(task, 'accuracy')
