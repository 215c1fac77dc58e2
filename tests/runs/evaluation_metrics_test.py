"""Tests of metrics beyond the usual ones, in training and by `evaluate`."""

import dataclasses

import numpy as np
import pytest
from sklearn import metrics

import adapters_jax as aj
from adapters_jax.data import tasks
from tests import outputs
from tests.adapters import bank_test
from tests.runs import evaluation_test


def sets_of(labels):
  """Returns [examples, 4] of 0 and 1."""
  names = sorted({name for row in labels for name in row})
  return np.array([[name in row for name in names] for row in labels], int)


def made(base, labels):
  """Returns an adapter without training, for two classes."""
  return dataclasses.replace(
      bank_test.make('lora[r=2]'), base=base.identity, labels=labels,
      max_length=16)


@pytest.fixture(scope='module')
def scored(base):
  """An adapter for scores."""
  return aj.train(
      base, evaluation_test.data_of('scores of pairs'), 'lora[r=2]',
      **evaluation_test.SHORT)


@pytest.mark.parametrize('form', ['classes', 'several labels'])
def test_areas_pick_a_step_and_are_those_of_sklearn(base, form):
  data = evaluation_test.data_of(form)
  adapter = aj.train(
      base, data, 'lora[r=2]', dev=data, metric='roc_auc', threshold='dev',
      **evaluation_test.SHORT)
  assert next(iter(adapter.scores['dev'])) == 'roc_auc'
  logits = np.array(outputs.logits(base, adapter, data.texts))
  wanted = metrics.roc_auc_score(
      sets_of(data.labels), logits, average='macro') if (
          form == 'several labels') else metrics.roc_auc_score(
              [one == 'yes' for one in data.labels],
              logits[:, 1] - logits[:, 0])
  assert adapter.scores['dev']['roc_auc'] == pytest.approx(wanted)
  assert aj.evaluate(base, adapter, data) == pytest.approx(
      adapter.scores['dev'], abs=1e-9)


@pytest.mark.parametrize('name', ['precision', 'recall', 'roc_auc'])
def test_the_second_class_is_that_of_the_data(base, monkeypatch, name):
  words = evaluation_test.texts()
  right = np.arange(len(words)) % 2
  monkeypatch.setattr(tasks, 'load', lambda task, data_dir='': {
      'dev': tasks.Split([(one,) for one in words], right.astype(np.int32))})
  for labels in (('negative', 'positive'), ('positive', 'negative')):
    adapter = made(base, labels)
    shares = [one.probabilities[labels[1]]
              for one in aj.predict(base, adapter, words)]
    adapter = dataclasses.replace(adapter, threshold=float(np.median(shares)))
    found = aj.predict(base, adapter, words)
    said = ([one.probabilities['positive'] for one in found]
            if name == 'roc_auc' else
            [one.label == 'positive' for one in found])
    assert len({*said}) > 1
    assert aj.evaluate(
        base, adapter, 'movie_sentiment', split='dev', metric=name)[name] == (
            pytest.approx(getattr(metrics, name + '_score')(right, said)))


def test_one_class_is_scored_without_a_ranking(base):
  found = aj.evaluate(
      base, made(base, ('no', 'yes')), aj.Examples(['a film'], ['yes']),
      metric='roc_auc')
  assert found['roc_auc'] == 0.5


def test_errors_of_scores(base, scored):
  data = evaluation_test.data_of('scores of pairs')
  usual = aj.evaluate(base, scored, data)
  assert list(usual) == ['spearman', 'pearson']
  found = np.array([one.score for one in aj.predict(base, scored, data.texts)])
  for name, value in (
      ('rmse', np.sqrt(np.mean((found - data.labels) ** 2))),
      ('mae', np.mean(np.abs(found - data.labels)))):
    again = aj.evaluate(base, scored, data, metric=name)
    assert list(again) == [name, 'spearman', 'pearson']
    assert again == pytest.approx({**usual, name: value}, rel=1e-5)


def test_no_training_picks_the_largest_error(base):
  data = evaluation_test.data_of('scores of pairs')
  with pytest.raises(aj.UserError, match=(
      '^`metric=rmse`: picks no step, as the highest score wins; give r2')):
    aj.train(base, data, metric='rmse', **evaluation_test.SHORT)


@pytest.mark.parametrize('name, ours, form', [
    ('mse', 'rmse', 'scores of pairs'), ('auc', 'roc_auc', 'classes')])
def test_names_of_other_libraries(base, scored, name, ours, form):
  adapter = scored if ours == 'rmse' else made(base, ('no', 'yes'))
  with pytest.raises(aj.UserError, match=f'did you mean {ours}'):
    aj.evaluate(base, adapter, evaluation_test.data_of(form), metric=name)
