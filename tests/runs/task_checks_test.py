"""Tests of settings that do not fit their base or task."""

import dataclasses

import pytest

from adapters_jax import errors
from adapters_jax.data import tasks
from adapters_jax.model import heads
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import task_checks
from tests import tiny_families


def test_bias_tuning_needs_biases(tmp_path):
  def check(case, tune):
    folder = tiny_families.write_checkpoint(case, str(tmp_path / case))
    task_checks.check_model(config_lib.Config(
        checkpoint=folder, tune=tune, max_length=8))

  with pytest.raises(errors.UserError, match='`tune=bias`.*tune=norms'):
    check('modernbert', 'bias')
  check('modernbert', 'norms')
  check('modernbert-128', 'bias')


@pytest.mark.parametrize('least_classes, task, message', [
    (2, 'cola', ''), (2, 'stsb', ''), (1, 'cola', ''),
    (1, 'stsb', 'is for classes, and the task has scores'),
    (None, 'cola', 'is for scores, and the task has classes'),
    (None, 'stsb', '')])
def test_a_head_of_classes_or_of_scores_alone(
    least_classes, task, message, monkeypatch):
  monkeypatch.setitem(heads.HEADS, 'pooler', dataclasses.replace(
      heads.HEADS['pooler'], least_classes=least_classes))
  config = config_lib.Config(head_input='pooler')
  if not message:
    task_checks.check_classes(config, tasks.find(task))
    return
  with pytest.raises(
      errors.UserError, match=f'^`head_input=pooler`: {message}'):
    task_checks.check_classes(config, tasks.find(task))
