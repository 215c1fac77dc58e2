"""Tests of the lines on the progress of a sweep."""

import dataclasses
import types

import pytest

from adapters_jax.runs import config as config_lib
from adapters_jax.runs import rungs
from adapters_jax.sweeps import progress as progress_lib
from tests.sweeps import grid_test


@pytest.fixture
def said(monkeypatch, caplog):
  """Returns the log; by the clock, a sweep has taken 60 seconds so far."""
  times = iter([0.0, *[60.0] * 9])
  monkeypatch.setattr(progress_lib, 'time', types.SimpleNamespace(
      monotonic=lambda: next(times)))
  caplog.set_level('INFO', progress_lib.__name__)
  return caplog


def test_the_rest_follows_from_a_whole_group(said):
  progress = progress_lib.SweepProgress(6)
  record = grid_test.make_record(config_lib.Config(task='cola'), dev=0.5)
  progress.add([('a', record), ('b', 'diverged: the loss is nan'),
                ('c', rungs.Paused(0.25, 7))])
  assert said.messages == [
      '1 of 6 runs: a: dev 50.00 (best so far 50.00)',
      '2 of 6 runs: b: failed: diverged: the loss is nan',
      '3 of 6 runs: c: dev 25.00 after 7 steps; about 1.0 min for the other 3']


def test_records_of_earlier_versions_compete_with_new_ones(said):
  progress = progress_lib.SweepProgress(2)
  record = grid_test.make_record(config_lib.Config(task='cola'), dev=0.5)
  old = {name: value for name, value in record.config.items()
         if name not in ('mask_rate', 'whole_words', 'metric')}
  progress.add([('old', dataclasses.replace(record, config=old))])
  progress.add([('new', grid_test.make_record(
      config_lib.Config(task='cola'), dev=0.4))])
  assert said.messages[-1] == '2 of 2 runs: new: dev 40.00 (best so far 50.00)'
