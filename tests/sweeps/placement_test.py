"""Tests of the folders of runs: a part of a grid shares those of the whole."""

import dataclasses
import os
import sys

import pytest

from adapters_jax import errors
from adapters_jax.api import launch
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid
from tests.sweeps import grid_test

# Runs write into a folder of their own in every test.
in_a_folder_of_its_own = grid_test.in_a_folder_of_its_own
CONFIG = config_lib.Config(task='cola', workdir='shared')


def test_each_machine_takes_a_part_of_a_grid():
  for text in ('seed=0', 'seed=1-2', 'seed=3'):
    grid_test.go(text, config=CONFIG)
  whole, made = grid_test.go('seed=0-3', config=CONFIG)
  assert not made.done and len(whole.records) == 4
  assert {os.path.dirname(folder) for folder in whole.folders} == {
      os.path.abspath('shared/cola')}
  # Of the whole, one is started again in its folder, where its record is.
  for grid_text, seeds in (('seed=2', ''), ('', '2')):
    outcome, made = grid_test.go(grid_text, seeds, config=CONFIG)
    assert outcome.folders == whole.folders[2:3]
    assert outcome.records == whole.records[2:3]
    assert [(run.workdir, run.seed, run.resume) for run in made.done] == [
        (whole.folders[2], 2, True)]


def test_a_run_without_a_grid_keeps_its_folder():
  outcome, _ = grid_test.go(config=CONFIG)
  assert outcome.folders == (os.path.abspath('shared'),)
  assert grid.expand([CONFIG], grid.Options()) == [CONFIG]


@pytest.mark.parametrize('text, seeds', [('seed=0', ''), ('', '0')])
def test_default_folders_stay(text, seeds):
  config = config_lib.Config(task='cola')
  alone, _ = grid_test.go(config=config)
  outcome, _ = grid_test.go(text, seeds, config=config)
  assert outcome.folders == alone.folders


def test_no_grid_trains_within_the_folder_of_a_run():
  workdirs.begin('shared', 'glue', identity.portable(CONFIG))
  for text, how, message in (
      ('seed=0,1', execution.ALONE,
       'one of these runs alone; give another folder, or go on with that run '
       'alone, with `seed=0`, `resume`, without a grid, seeds or a sweep'),
      ('', execution.HowToRun(), '.* that run alone, with `resume`, without a'),
      ('seed=2-3', execution.ALONE,
       'a single run of other settings; give another folder'),
      ('seed=2', execution.ALONE,
       r'a single run of other settings \(seed 0 there, 2 here\); give')):
    with pytest.raises(
        errors.UserError, match=f'^`workdir`: .*shared holds {message}'):
      engine.go([CONFIG], 'glue', grid.Options(grid=text), how)
  with pytest.raises(errors.UserError, match="experiment 'glue' there"):
    engine.go([CONFIG], 'squad', grid.Options(seeds='0'))
  assert os.listdir('shared') == ['run.json']
  # The advice leads to the run.
  workdirs.check_free(dataclasses.replace(CONFIG, seed=0, resume=True), 'glue')


@pytest.mark.parametrize('text, seeds', [('seed=3', ''), ('', '3')])
def test_the_run_in_the_folder_itself_goes_on(text, seeds):
  """Earlier versions put the only run of a grid there."""
  run = dataclasses.replace(CONFIG, seed=3)
  workdirs.begin('shared', 'glue', identity.portable(run))
  os.mkdir('shared/resume')
  with open('shared/resume/state', 'w'):
    pass
  outcome, made = grid_test.go(text, seeds, config=CONFIG)
  assert outcome.folders == (os.path.abspath('shared'),)
  assert [(one.seed, one.resume) for one in made.done] == [(3, True)]
  workdirs.check_free(made.done[0], 'glue')


@pytest.mark.parametrize('many, how, saved, said', [
    (grid.Options(), execution.ALONE, True, 'command with --resume continues'),
    (grid.Options(), execution.ALONE, False, 'command starts again'),
    (grid.Options(), execution.HowToRun(), True, 'command continues'),
    (grid.Options(seeds='3'), execution.ALONE, True, 'command continues'),
    (grid.Options(grid='seed=3'), execution.ALONE, True, 'command continues'),
    (grid.Options(seeds='3'), execution.ALONE, False, 'command starts again'),
    (grid.Options(seeds='0-1'), execution.ALONE, True, 'command continues')])
def test_an_interrupted_command_says_how_to_go_on(
    many, how, saved, said, monkeypatch, capsys):
  def stop(*_):
    raise errors.Interrupted('SIGTERM', saved=saved)
  monkeypatch.setattr(launch, 'check_all', lambda *_: None)
  monkeypatch.setattr(engine, 'go', stop)
  monkeypatch.setattr(launch.ending, 'leave', lambda _: sys.exit(130))
  with pytest.raises(SystemExit):
    launch.run_all([CONFIG], 'glue', many, how=how)
  assert capsys.readouterr().out.endswith(f', the same {said}\n')


def test_a_sweep_of_one_run_is_checked_in_its_own_folder(monkeypatch):
  checked = []
  monkeypatch.setattr(
      launch, 'check_all', lambda runs, *_: checked.extend(runs))
  monkeypatch.setattr(engine, 'go', lambda *_: launch.outcome_lib.Outcome())
  launch.run_all([CONFIG], 'glue', grid.Options(), how=execution.HowToRun())
  assert os.path.dirname(checked[0].workdir) == 'shared/cola'
