"""Tests of the scores of classes, with and without all logits in memory."""

import dataclasses

import numpy as np
import pytest

from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs.kinds import classification
from tests import tiny


@pytest.fixture(scope='module')
def setup(tmp_path_factory):
  root = str(tmp_path_factory.mktemp('run'))
  return setup_lib.prepare(tiny.run_config(
      tiny.write_checkpoint(f'{root}/base'), tiny.write_data(f'{root}/data'),
      f'{root}/work'))


def test_metrics_of_classes_keep_no_logits(setup, monkeypatch):
  short = classification.Scorer(setup, 8)
  found = [short(setup.tuned, split) for split in setup.scored_splits()]
  monkeypatch.setattr(classification.Scorer, '_reads_logits', lambda self: True)
  whole = classification.Scorer(setup, 8)
  for split, (scores, predictions) in zip(
      setup.scored_splits(), found, strict=True):
    assert short._outputs(setup.tuned, split).ndim == 1
    assert whole._outputs(setup.tuned, split).ndim == 2
    wanted, classes = whole(setup.tuned, split)
    assert scores == wanted
    np.testing.assert_array_equal(predictions, classes, strict=True)


@pytest.mark.parametrize('of_task, threshold', [
    ({'metrics': ('accuracy', 'roc_auc')}, ''), ({}, 'dev'), ({}, '0.3'),
    ({'labels': (), 'metrics': ('r2', 'pearson')}, '')])
def test_scores_that_need_logits_have_them(setup, of_task, threshold):
  other = dataclasses.replace(
      setup, threshold=threshold,
      task=dataclasses.replace(setup.task, **of_task))
  score = classification.Scorer(other, 8)
  logits = score._outputs(other.tuned, 'dev')
  assert logits.shape == (len(other.splits['dev']), 2)
  found, _ = score(other.tuned, 'dev')
  assert found == classification.scores(
      other.task, other.task.metrics, other.splits['dev'].labels, logits,
      score.threshold(other.tuned))
