"""Tests of the warning of high learning rates."""

import pytest

from adapters_jax.runs import config as config_lib
from adapters_jax.runs import rates


@pytest.mark.parametrize('tune, rate, warned', [
    ('full', 1e-3, True), ('full', 3e-4, False), ('full', 2e-5, False),
    ('top_k', 1e-3, True), ('top_k', 9e-4, False),
    ('adapters', 1e-2, False), ('head', 0.1, False)])
def test_rates_that_ruin_a_base(tune, rate, warned, caplog):
  config = config_lib.Config(tune=tune, learning_rate=rate)
  rates.warn([config, config])
  assert len(caplog.records) == warned
  if warned:
    assert f'`learning_rate={rate:g}` is far above' in caplog.text
