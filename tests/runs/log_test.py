"""Tests of the log of a run."""

import numpy as np
import pytest

from adapters_jax.runs import log as log_lib


@pytest.mark.parametrize('scores, wanted', [
    ([], 0), ([0.5], 0), ([0.5, 0.7, 0.7, 0.6], 2), ([0.7, 0.5, 0.8], 0),
    # Equal as float32, in which the best score is kept.
    ([0.7, 0.7 + 1e-12], 1), ([np.nan, np.nan, 0.5], 0), ([0.5, np.nan], 1)])
def test_evaluations_since_the_best(scores, wanted):
  assert log_lib.since_best(scores) == wanted
