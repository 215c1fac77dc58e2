"""Tests of settings that do not fit their base."""

import pytest

from adapters_jax import errors
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
