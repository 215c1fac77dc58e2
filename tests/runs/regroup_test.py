"""Tests of runs that leave their groups at a rung, and join others."""

import dataclasses
from unittest import mock

import jax.numpy as jnp
import pytest

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import log as log_lib
from adapters_jax.runs import regroup
from adapters_jax.runs import run as run_lib
from adapters_jax.runs import rungs
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import vmapped
from adapters_jax.training import resume as resume_lib
from adapters_jax.training import saves
from adapters_jax.training import sharding


def of(runs):
  """Returns a stand-in for a group of runs with four steps an epoch."""
  group = mock.MagicMock()
  group.__len__.return_value = runs
  group.setup.schedule.steps_per_epoch = 4
  group.setup.task.metrics = ('accuracy',)
  return group


def at(*steps):
  """Returns the step counts of a progress."""
  progress = mock.MagicMock()
  progress.state.step = jnp.array(steps)
  return progress


def logged():
  return log_lib.Log([log_lib.RunLog(history=[
      {'step': step, 'dev': {'accuracy': score}}
      for step, score in ((4, .2), (8, .1), (12, .9))])])


@pytest.mark.parametrize('epochs, score, step', [(1, .2, 4), (3, .9, 12)])
def test_a_state_beyond_a_rung_has_the_score_at_the_rung(
    tmp_path, epochs, score, step):
  found = regroup.pause(of(1), at(12), logged(), [str(tmp_path)], epochs)
  assert found == [rungs.Paused(score, step)]
  # The next units are of runs whose states have trained three epochs.
  assert rungs.read(str(tmp_path)) == rungs.Rungs(
      {rungs.key(epochs): score}, waits=3.0)


def test_scores_at_rungs_name_their_data_and_base(tmp_path):
  log = logged()
  for data, scores in (('a', {'1': .2}), ('a', {'1': .2, '3': .9}),
                       ('b', {'2': .2})):
    log.inputs = {'data': {'dev': data}, 'computation': 'c', 'base': 'd'}
    regroup.pause(of(1), at(12), log, [str(tmp_path)], float([*scores][-1]))
    assert rungs.read(str(tmp_path)) == rungs.Rungs(
        scores, 3.0, data={'dev': data}, base='d')


def test_scores_at_rungs_name_the_small_files_of_their_base(tmp_path):
  log = logged()
  for files, scores in (
      ({}, {'1': .2}), ({'f': '1'}, {'1': .2, '2': .2}),  # As of before.
      ({'f': '1'}, {'1': .2, '2': .2, '3': .9}), ({'f': '2'}, {'2': .2})):
    log.inputs = {'data': {'dev': 'a'}, 'computation': 'c', 'base': 'd',
                  **({'base_files': files} if files else {})}
    regroup.pause(of(1), at(12), log, [str(tmp_path)], float([*scores][-1]))
    found = rungs.read(str(tmp_path))
    assert (found.scores, found.base_files) == (scores, files)


def test_a_kill_within_a_save_leaves_no_state_that_waits(tmp_path):
  rungs.write(str(tmp_path), rungs.Rungs({'1': .2}, waits=1.0))
  with mock.patch.object(regroup, '_save_alone', side_effect=RuntimeError):
    with pytest.raises(RuntimeError):
      regroup.pause(of(2), at(12, 12), logged(), [str(tmp_path)], 3)
  assert rungs.read(str(tmp_path)) == rungs.Rungs({'1': .2})


@pytest.mark.parametrize('steps, joins', [((4, 4), True), ((12, 4), False)])
def test_states_of_unequal_steps_do_not_join(tmp_path, steps, joins):
  folders = [str(tmp_path / str(i)) for i in range(2)]
  for folder in folders:  # Both note the same rung.
    rungs.write(folder, rungs.Rungs({'1': .2}, waits=1.0))
  resume = mock.Mock()
  resume.restore.side_effect = [
      (at(step), log_lib.Log([log_lib.RunLog()]).to_json()) for step in steps]
  with (mock.patch.object(resume_lib, 'Resume', return_value=resume),
        mock.patch.object(saves, 'exists', return_value=True),
        mock.patch.multiple(
            regroup, jax=mock.DEFAULT, _alone=mock.DEFAULT,
            group_lib=mock.DEFAULT) as mocks,
        mock.patch.object(sharding, 'create', return_value='joined')):
    mocks['group_lib'].widen = lambda progress, wide: progress
    found = regroup.join_progress(of(2), folders)
  assert (found is not None and found[0] == 'joined') == joins


def test_states_of_other_data_do_not_join(tmp_path):
  folders = [str(tmp_path / str(i)) for i in range(2)]
  for folder in folders:
    rungs.write(folder, rungs.Rungs({'1': .2}, waits=1.0))
  inputs = [{'data': {'dev': {'examples': 1, 'sha256': digest}},
             'computation': '', 'base': '', 'base_files': {}}
            for digest in 'ab']
  resume = mock.Mock(folder='there')
  resume.restore.side_effect = [
      (at(4), log_lib.Log([log_lib.RunLog()], inputs=one).to_json())
      for one in inputs]
  with (mock.patch.object(resume_lib, 'Resume', return_value=resume),
        mock.patch.object(saves, 'exists', return_value=True),
        mock.patch.object(
            regroup.same_inputs, 'of_group', return_value=inputs[0]),
        mock.patch.multiple(
            regroup, jax=mock.DEFAULT, _alone=mock.DEFAULT,
            group_lib=mock.DEFAULT)):
    with pytest.raises(
        errors.UserError, match='state in there was trained with other dev'):
      regroup.join_progress(of(2), folders)


def test_units_are_of_states_after_equal_epochs(tmp_path):
  runs = [dataclasses.replace(run, workdir=str(tmp_path / str(run.seed)))
          for run in grid.expand([config_lib.Config(task='cola')],
                                 grid.Options(grid='seed=0-5'))]
  for run, waits in zip(runs, (3.0, 1.0, 3.0, 0.0, 1.0, 1.0), strict=True):
    rungs.write(run.workdir, rungs.Rungs({'1': .2}, waits))
    if run.seed != 5:  # Its state is lost.
      (tmp_path / str(run.seed) / 'resume' / '4').mkdir(parents=True)
  units = vmapped.make_units(runs, runs, 'glue', len)
  assert [[run.seed for run in unit] for unit in units] == [
      [3], [0, 2], [1, 4], [5]]


@pytest.mark.slow
def test_a_run_beyond_the_first_rung_trains_the_others_as_they_would_alone(
    checkpoint, own_files, tmp_path):
  base = config_lib.Config(
      checkpoint=checkpoint, **own_files, batch_size=16, buckets=0,
      max_length=12, epochs=3.0, adapter_size=3)
  many = grid.Options(grid='seed=0,1')
  config = dataclasses.replace(base, workdir=str(tmp_path / 'sweep'))
  first = engine.with_absolute_paths(
      grid.placed(grid.expand([config], many), config.workdir)[0], 'glue')
  before, = vmapped.run_unit(
      [first], 'glue', classification.KIND, pause=2.0)
  assert before.step == 8
  found = engine.go(
      [config], 'glue', many, execution.HowToRun(
          group='2', stop='halving', halving_factor=2), classification.KIND)
  for record, folder in zip(found.records, found.folders, strict=True):
    alone = run_lib.run(dataclasses.replace(
        base, seed=record.config['seed'],
        workdir=str(tmp_path / str(record.config['seed']))), 'glue')
    assert [one['step'] for one in record.history] == [4, 8, 12]
    assert [one['loss'] for one in record.history] == pytest.approx(
        [one['loss'] for one in alone.history], rel=1e-4)
    assert rungs.read(folder).scores['1'] == record.history[0]['dev'][
        'accuracy']
