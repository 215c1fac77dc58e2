"""Threads of a group's training."""

import dataclasses

import pytest

from adapters_jax import errors
from adapters_jax.runs import compiled
from adapters_jax.runs import console
from adapters_jax.runs import group_training
from adapters_jax.runs import run
from adapters_jax.runs import trackers
from tests import tiny


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


def test_no_rate_is_computed_where_nobody_reads_it(
    checkpoint, own_files, tmp_path, monkeypatch):
  console.hide()
  asked = []

  def rate_at(step):
    asked.append(step)
    return 0.25

  monkeypatch.setattr(compiled, 'make_rate', lambda config, total: rate_at)
  config = dataclasses.replace(
      tiny.run_config(checkpoint, own_files, str(tmp_path / 'work')),
      max_steps=3, eval_every=3)
  run.run(config, 'glue')
  assert not asked
  with pytest.raises(errors.UserError, match='with learning rate 0.25: '):
    run.run(dataclasses.replace(
        config, workdir=str(tmp_path / 'other'), learning_rate=1e30), 'glue')
  assert asked
