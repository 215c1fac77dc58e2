"""Tests of the folders of runs: a part of a grid shares those of the whole."""

import os

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
  outcome, made = grid_test.go('seed=0-3', config=CONFIG)
  assert not made.done and len(outcome.records) == 4
  assert {os.path.dirname(folder) for folder in outcome.folders} == {
      os.path.abspath('shared/cola')}
  # Of the whole, one is found again, in its folder.
  for grid_text, seeds in (('seed=2', ''), ('', '2')):
    outcome, made = grid_test.go(grid_text, seeds, config=CONFIG)
    assert not made.done or made.done[0].resume
    assert os.path.dirname(outcome.folders[0]) == os.path.abspath('shared/cola')


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
  for text, how in (('seed=0,1', execution.ALONE), ('seed=0', execution.ALONE),
                    ('', execution.HowToRun())):
    with pytest.raises(
        errors.UserError, match='`workdir`: .*shared holds a single run; give'):
      engine.go([CONFIG], 'glue', grid.Options(grid=text), how)
  assert os.listdir('shared') == ['run.json']


def test_a_sweep_of_one_run_is_checked_in_its_own_folder(monkeypatch):
  checked = []
  monkeypatch.setattr(
      launch, 'check_all', lambda runs, *_: checked.extend(runs))
  monkeypatch.setattr(engine, 'go', lambda *_: launch.outcome_lib.Outcome())
  launch.run_all([CONFIG], 'glue', grid.Options(), how=execution.HowToRun())
  assert os.path.dirname(checked[0].workdir) == 'shared/cola'
