"""Tests of failures at the rungs of a sweep that stops weak settings."""

import dataclasses
import os
from unittest import mock

import pytest

from adapters_jax import errors
from adapters_jax.data import prepared
from adapters_jax.data import tasks
from adapters_jax.downloads import atomic
from adapters_jax.downloads import locks
from adapters_jax.runs import at_hand as at_hand_lib
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import rungs
from adapters_jax.runs import workdirs
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import halving
from adapters_jax.sweeps import store
from adapters_jax.sweeps import vmapped
from tests.sweeps import grid_test

FULL_DISK = '[Errno 28] No space left on device'
DIVERGED = 'diverged: the loss is nan'


@pytest.fixture
def runs(tmp_path):
  """Returns runs of three rates that wait at one epoch, with states."""
  base = config_lib.Config(task='cola', epochs=2.0, resume=True)
  found = [
      dataclasses.replace(run, workdir=str(tmp_path / f'{run.learning_rate}'))
      for run in grid.expand(
          [base], grid.Options(grid='learning_rate=.1,.2,.3'))]
  for run in found:
    os.makedirs(os.path.join(run.workdir, 'resume', '4'))
    workdirs.begin(run.workdir, 'glue', identity.portable(run))
  return found


def halved(runs, scores, first=1.0, at_hand=None):
  """Makes the rungs of runs that have the given scores, or messages."""
  known = dict(zip(runs, scores, strict=True))

  def make(among, todo, epochs):
    for run in todo:
      score = known[run]
      if not isinstance(score, str):
        rungs.write(run.workdir, rungs.Rungs({rungs.key(epochs): score}, 1.0))
        score = rungs.Paused(score, 4)
      yield run, score

  return halving.run_rungs(
      runs, store.Store('glue', at_hand=at_hand), make, factor=2, first=first)


def kept(runs):
  return [os.path.exists(os.path.join(run.workdir, 'resume')) for run in runs]


def test_only_divergence_decides_against_a_setting(runs):
  with pytest.raises(
      errors.UserError, match='`stop=halving`: 1 of the runs before the '
      r'rung at 1 epochs failed, such as .*rate=0.2.*No space left.*same '
      'command'):
    halved(runs, [.1, FULL_DISK, DIVERGED])
  assert all(kept(runs))
  # The same command with room on the disk.
  left, failures = halved(runs, [.1, .2, DIVERGED])
  assert (left, failures) == ([runs[1]], [(runs[2], DIVERGED)])
  assert kept(runs) == [False, True, False]
  assert rungs.read(runs[0].workdir) == rungs.Rungs({'1': .1}, stopped=1.0)


def test_the_state_of_another_process_stays(runs):
  lock = os.path.join(runs[0].workdir, '.lock')
  with locks.held(lock, timeout=0):
    assert halved(runs, [.1, .2, .3])[0] == [runs[2]]
  assert kept(runs) == [True, False, True]
  assert not rungs.read(runs[0].workdir).stopped


def test_scores_of_other_data_or_another_base_decide_nothing(
    runs, monkeypatch):
  monkeypatch.setattr(prepared, 'is_prepared', lambda *_: True)
  old, new = ({'dev': {'examples': 2, 'sha256': one}} for one in 'ab')
  here = at_hand_lib.AtHand(mock.Mock(find=tasks.find, facts=lambda _: new))
  for run in runs:
    rungs.write(run.workdir, rungs.Rungs({'1': .1}, 1.0, data=old))
  with pytest.raises(
      errors.UserError, match='`workdir`: .*rungs.json is of other dev examples'
      ' of cola'):
    halved(runs, [.1, .2, .3], at_hand=here)
  for run in runs:
    rungs.write(run.workdir, rungs.Rungs({'1': .1}, base='minilm-l6#0'))
  monkeypatch.setattr(here, '_base_of', lambda _: 'minilm-l6#1')
  with pytest.raises(errors.UserError, match='rungs.json is of the base'):
    halved(runs, [.1, .2, .3], at_hand=here)
  assert all(kept(runs))
  # Files of earlier versions name neither; the first of equals stays.
  for run in runs:
    atomic.write_json(rungs.path_of(run.workdir), {
        'scores': {'1': .1}, 'waits': 1.0, 'stopped': 0.0})
  assert halved(runs, [.1, .2, .3], at_hand=here)[0] == [runs[0]]


def test_groups_of_a_stopped_run_go_with_it_within_the_sweep(runs):
  folders = [vmapped.begin_group(group) for group in (
      runs[:2], runs[1:], [runs[0], runs[2]])]
  for folder in folders:  # A kill came before they were removed.
    os.makedirs(os.path.join(folder, 'resume', '4'))
  halved(runs[1:], [.2, .3])
  # The first group is the state of a run of another sweep too.
  assert [os.path.exists(folder) for folder in folders] == [True, False, True]
  halved(runs, [.3, .2, .1])
  assert not any(map(os.path.exists, folders))


def test_a_record_without_an_evaluation_at_the_rung_is_no_failure(runs):
  for run in runs:  # As a sweep without rungs leaves them.
    records_lib.write(f'{run.workdir}/record.json', grid_test.make_record(
        run, steps=8, history=[{'step': 8, 'dev': {'matthews': .2}}]))
  for _ in range(2):
    with pytest.raises(errors.UserError, match='`halving_first=1`.*no eval'):
      halved(runs, [.1, .2, .3])


def test_a_rung_before_the_first_evaluation_ends_the_sweep_at_once(
    checkpoint, own_files, tmp_path):
  config = config_lib.Config(
      checkpoint=checkpoint, **own_files, batch_size=16, buckets=0,
      max_length=12, epochs=2.0, adapter_size=3, eval_every=3,
      workdir=str(tmp_path))
  prepare = mock.Mock(wraps=classification.KIND.prepare)
  kind = dataclasses.replace(classification.KIND, prepare=prepare)
  for count in (1, 2):  # Not the second of two units.
    with pytest.raises(
        errors.UserError, match='^`halving_first`: the rung at 0.5 epochs is '
        'step 2, and the first evaluation step 3; give more'):
      engine.go(
          [config], 'glue', grid.Options(grid='learning_rate=.1,.2'),
          execution.HowToRun(group='1', stop='halving', halving_first=0.5),
          kind)
    assert prepare.call_count == count
  # Nothing trained.
  assert not list(tmp_path.glob('**/rungs.json'))
  assert not list(tmp_path.glob('**/run.json'))


@pytest.mark.parametrize('epochs, eval_every, wrong', [
    ('2', 0, True), ('2', 3, False), ('0.25,2', 0, True), ('1', 0, True)])
def test_a_rung_within_the_first_epoch_needs_evaluations_in_it(
    epochs, eval_every, wrong):
  found = grid.expand(
      [config_lib.Config(task='cola', eval_every=eval_every)],
      grid.Options(grid=f'epochs={epochs}'))
  if not wrong:
    assert halving.rungs_of(found, 3, 0.5) == [0.5, 1.5]
    return
  with pytest.raises(
      errors.UserError, match='`halving_first=0.5`: the first evaluation comes '
      'after an epoch; give 1 or more, or set `eval_every`'):
    halving.rungs_of(found, 3, 0.5)
