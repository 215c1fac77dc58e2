"""Tests of sweeps that stop weak settings at rungs."""

import dataclasses
import math
import os
from unittest import mock

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.adapters import storage
from adapters_jax.analysis import halving_replay
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import regroup
from adapters_jax.runs import run as run_lib
from adapters_jax.runs import rungs
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import halving
from adapters_jax.sweeps import store
from tests.sweeps import grid_test

# The last rate diverges.
GRID = 'learning_rate=1e-4,3e-2,1e30'


def runs_of(text):
  config = config_lib.Config(task='cola')
  return grid.expand([config], grid.Options(grid=text))


def scored(runs, values):
  return dict(zip(runs, values, strict=True))


def test_the_mean_over_seeds_decides():
  runs = runs_of('learning_rate=0.1,0.2,0.3,0.4 seed=0,1')
  scores = scored(runs, [.9, .1, .6, .6, .5, .5, .6, .6])
  kept = halving.survivors(runs, scores, 2)
  # 0.1 has the best seed, but not the best mean.
  assert [(run.learning_rate, run.seed) for run in kept] == [
      (.2, 0), (.2, 1), (.4, 0), (.4, 1)]
  # Of equal means the first stays.
  kept = halving.survivors(runs, scores, 4)
  assert [run.learning_rate for run in kept] == [.2, .2]


def test_picked_settings_compete_among_their_own():
  runs = runs_of('adapter_size=8,64 learning_rate=0.1,0.2,0.3')
  scores = scored(runs, [.9, .8, .7, .1, .2, -math.inf])
  kept = halving.survivors(runs, scores, 3, ['learning_rate'])
  assert [(run.adapter_size, run.learning_rate) for run in kept] == [
      (8, .1), (64, .2)]
  assert [run.learning_rate for run in halving.survivors(
      runs, scores, 3)] == [.1, .2]


def test_settings_of_one_length_compete():
  runs = runs_of('epochs=3,20 learning_rate=0.1,0.2')
  scores = scored(runs, [.9, .8, .1, .2])
  for pick in ((), ['learning_rate', 'epochs']):
    kept = halving.survivors(runs, scores, 2, pick)
    assert [(run.epochs, run.learning_rate) for run in kept] == [
        (3, .1), (20, .2)]


def test_runs_that_end_before_a_rung_stay():
  runs = runs_of('epochs=1,3,20 learning_rate=0.1,0.2')
  made = []

  def make(among, todo, epochs):
    made.append((epochs, [run.epochs for run in todo]))
    assert among == todo
    return [(run, rungs.Paused(run.learning_rate, 4)) for run in todo]

  left, failures = halving.run_rungs(
      runs, store.Store('glue'), make, factor=2, first=2.0)
  assert made == [(2, [3, 3, 20, 20]), (4, [20]), (8, [20]), (16, [20])]
  assert [(run.epochs, run.learning_rate) for run in left] == [
      (1, .1), (1, .2), (3, .2), (20, .2)]
  assert not failures


def test_nothing_survives_if_all_fail():
  runs = runs_of('learning_rate=0.1,0.2')
  assert not halving.survivors(runs, scored(runs, [-math.inf] * 2), 2)


@pytest.mark.parametrize('epochs, wanted', [(6, [1, 3]), (3, [1]), (10, [
    1, 3, 9])])
def test_rungs_are_below_the_longest_run(epochs, wanted):
  runs = runs_of('epochs=2') + runs_of(f'epochs={epochs}')
  assert halving.rungs_of(runs, 3, 1) == wanted


@pytest.mark.parametrize('changed, message', [
    ({'stop': 'halfing'}, 'stop=halfing'),
    ({'stop': 'halving', 'halving_factor': 1}, 'halving_factor=1'),
    ({'stop': 'halving', 'halving_first': 0.0}, 'halving_first=0')])
def test_wrong_options(changed, message):
  with pytest.raises(errors.UserError, match=f'`{message}`'):
    execution.check(execution.HowToRun(**changed))


def test_runs_without_a_rung_are_refused():
  with pytest.raises(
      errors.UserError, match='`halving_first=1`: the longest run has 1 ep'):
    halving.rungs_of(runs_of('epochs=1'), 3, 1)
  with pytest.raises(errors.UserError, match='not `max_steps`'):
    halving.rungs_of(runs_of('max_steps=3'), 3, 1)


def test_a_finished_run_has_its_score_at_the_rung():
  run = config_lib.Config(task='cola', epochs=4.0)
  record = grid_test.make_record(run, steps=40, history=[
      {'step': step, 'dev': {'matthews': score}}
      for step, score in ((10, .1), (20, .4), (30, .2), (40, .9))])
  assert halving.record_score(record, 1) == .1
  assert halving.record_score(record, 3) == .4


HALVED = {'stop': 'halving', 'halving_factor': 2}


@pytest.fixture(scope='module')
def base(checkpoint, own_files):
  """Returns the settings of a run of two epochs of four steps."""
  return config_lib.Config(
      checkpoint=checkpoint, **own_files, batch_size=16, buckets=0,
      max_length=12, epochs=2.0, adapter_size=3)


def sweep(base, folder, group, seeds='0,1'):
  many = grid.Options(grid=f'{GRID} seed={seeds}')
  return engine.go(
      [dataclasses.replace(base, workdir=str(folder))], 'glue', many,
      execution.HowToRun(group=group, **HALVED), classification.KIND)


def tuned_in(folder):
  return storage.load_tuned(os.path.join(folder, 'adapter'))[0]


def alone(base, record, folder):
  """Returns (record, tuned tree) of a run, trained undisturbed."""
  found = run_lib.run(dataclasses.replace(
      base, learning_rate=record.config['learning_rate'],
      seed=record.config['seed'], workdir=str(folder)), 'glue')
  return found, tuned_in(str(folder))


def check_outcome(outcome, root, seeds=(0, 1)):
  # The rung at one epoch leaves one setting.
  assert tuple(r.config['seed'] for r in outcome.records) == seeds
  assert len(outcome.failures) == len(seeds)
  assert '1e+30' in outcome.failures[0][1]
  best, = {r.config['learning_rate'] for r in outcome.records}
  for rate in {1e-4, 3e-2} - {best}:
    folder = str(next(root.glob(f'*/*rate-{rate:g}-seed-1*')))
    found = rungs.read(folder)
    assert found.stopped == 1 and not found.waits
    assert rungs.key(found.stopped) in found.scores
    assert sorted(os.listdir(folder)) == ['.lock', 'run.json', 'rungs.json']
  for folder in outcome.folders:  # No states are left.
    assert 'resume' not in os.listdir(folder)
  assert not list(root.glob('*/.groups/*'))


def test_survivors_equal_undisturbed_runs(base, tmp_path):
  outcome = sweep(base, tmp_path, '1', '1')
  check_outcome(outcome, tmp_path, seeds=(1,))
  record, tuned = alone(base, outcome.records[0], tmp_path / 'alone')
  assert outcome.records[0].history == record.history
  assert outcome.records[0].metrics == record.metrics
  jax.tree.map(
      np.testing.assert_array_equal, tuned_in(outcome.folders[0]), tuned)
  # The same command decides again as before; only failed runs start again.
  with mock.patch.object(
      run_lib, 'run_group', return_value=['diverged: no']) as made:
    again = sweep(base, tmp_path, '1', '1')
  assert again.records == outcome.records
  assert {call.args[0][0].learning_rate for call in made.mock_calls} == {1e30}


@pytest.mark.slow
def test_groups_of_survivors_form_anew(base, tmp_path):
  undisturbed = sweep(base, tmp_path / 'undisturbed', '4')
  check_outcome(undisturbed, tmp_path / 'undisturbed')
  record, tuned = alone(
      base, undisturbed.records[1], tmp_path / 'alone')
  np.testing.assert_allclose(
      [entry['loss'] for entry in undisturbed.records[1].history],
      [entry['loss'] for entry in record.history], rtol=1e-4)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
               tuned_in(undisturbed.folders[1]), tuned)

  save, saved = regroup._save_alone, []

  def save_some(*arguments):
    saved.append(arguments)
    if len(saved) in (2, 4):  # In the middle of a group's pause.
      raise RuntimeError('killed')
    save(*arguments)

  with mock.patch.object(regroup, '_save_alone', save_some):
    for _ in range(2):
      with pytest.raises(RuntimeError, match='killed'):
        sweep(base, tmp_path / 'killed', '4')
    with mock.patch.object(  # All runs of a group have paused.
        run_lib, '_remove_states', side_effect=RuntimeError('killed')):
      with pytest.raises(RuntimeError, match='killed'):
        sweep(base, tmp_path / 'killed', '4')
    assert list((tmp_path / 'killed').glob('*/.groups/*/resume'))
    killed = sweep(base, tmp_path / 'killed', '4')
  check_outcome(killed, tmp_path / 'killed')
  for here, there in zip(killed.folders, undisturbed.folders, strict=True):
    jax.tree.map(
        np.testing.assert_array_equal, tuned_in(here), tuned_in(there))


def recorded(rate, seed, scores):
  run = config_lib.Config(
      task='cola', epochs=4.0, learning_rate=rate, seed=seed)
  return grid_test.make_record(run, dev=max(scores), steps=40, history=[
      {'step': 10 * number, 'dev': {'matthews': score}}
      for number, score in enumerate(scores, 1)])


def test_a_recorded_sweep_is_replayed():
  records = [recorded(*one) for one in (
      (.1, 0, [.1, .5, .6, .9]), (.1, 1, [.1, .5, .6, .7]),
      (.2, 0, [.6, .6, .6, .6]), (.2, 1, [.4, .4, .4, .4]),
      (.3, 0, [.2, .3, .3, .3]), (.3, 1, [.2, .3, .3, .3]))]
  found = halving_replay.replay(records, 3, 1)
  # After one epoch 0.2 leads; at its end 0.1 would have.
  assert (found.settings, found.kept) == (3, 1)
  assert found.best == pytest.approx(.8) and found.found == pytest.approx(.5)
  assert found.sem == pytest.approx(.1)
  assert found.share == pytest.approx((2 * 40 + 4 * 10) / 240)
  # After two epochs 0.1 and 0.2 are level, and the first stays.
  found = halving_replay.replay(records, 3, 2)
  assert found.regret == 0
  assert found.share == pytest.approx((2 * 40 + 4 * 20) / 240)
  parts = halving_replay.resampled(records, 2, 1, settings=2, draws=200)
  assert {round(one.regret, 9) for one in parts} == {0.0, 0.3, 0.5}
  with pytest.raises(errors.UserError, match='`first=4`: the longest run has'):
    halving_replay.replay(records, 3, 4)


def test_a_recorded_sweep_of_own_files_and_several_lengths_is_replayed():
  records = [recorded(*one) for one in (
      (.1, 0, [.1, .5, .6, .9]), (.2, 0, [.6, .6, .6, .6]),
      (.3, 0, [.2, .3, .3, .3]), (.4, 0, [.8]), (.5, 0, [.7]))]
  for record in records:
    record.config.update(  # Files of no folder.
        train_file='train.tsv@0123', dev_file='dev.tsv@4567')
    record.config['task'] = 'train'
  for number in (3, 4):
    records[number] = dataclasses.replace(records[number], steps=10)
    records[number].config['epochs'] = 1.0
  # The short runs end at the rung, above all others, and stop none.
  found = halving_replay.replay(records, 2, 1)
  assert (found.settings, found.kept) == (5, 3)
  assert (found.best, found.found) == (.9, .8)
  assert found.share == pytest.approx((40 + 4 * 10) / 140)
  parts = halving_replay.resampled(records, 2, 1, settings=2, draws=100)
  # A draw with a short run loses nothing; one of two long ones may.
  assert any(one.share == 1 and one.kept == 2 for one in parts)
  assert {round(one.regret, 9) for one in parts} == {0.0, 0.3, 0.6}
