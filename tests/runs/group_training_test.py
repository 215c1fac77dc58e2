"""Threads of a group's training."""

import dataclasses

import pytest

from adapters_jax.runs import group_training
from adapters_jax.runs import run
from adapters_jax.runs import trackers
from tests import tiny


@pytest.fixture(scope='module')
def checkpoint(one_layer) -> str:
  """One layer: nothing here depends on their number."""
  return one_layer


@pytest.mark.parametrize('fails', [True, False])
def test_reading_ahead_ends_with_the_training(
    fails, checkpoint, own_files, tmp_path, monkeypatch):
  ended = []

  class Ahead:
    def shutdown(self, cancel_futures):
      ended.append(cancel_futures)

  class Fails(trackers.Tracker):
    def _begin(self, done):
      if fails:
        raise RuntimeError('no service')

  monkeypatch.setattr(group_training, '_load_ahead', lambda *args: Ahead())
  monkeypatch.setitem(trackers.TRACKERS, 'jsonl', Fails)
  config = dataclasses.replace(
      tiny.run_config(checkpoint, own_files, str(tmp_path / 'work')),
      track='jsonl', max_steps=1, eval_every=1)
  if fails:
    with pytest.raises(RuntimeError, match='no service'):
      run.run(config, 'glue')
  else:
    run.run(config, 'glue')
  assert ended == [True]
