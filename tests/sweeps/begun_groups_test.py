"""Tests of groups that earlier launches began; nothing trains here."""

import os
from unittest import mock

import jax
import pytest

from adapters_jax.downloads import locks
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import rungs
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import vmapped
from tests.sweeps import grid_test

FULL = jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: memory')


@pytest.fixture
def runs(tmp_path, monkeypatch):
  """Returns four runs that may train together, with folders in `tmp_path`."""
  monkeypatch.chdir(tmp_path)
  found = grid.expand([config_lib.Config(task='cola')],
                      grid.Options(grid='seed=0-3'))
  return [engine.with_absolute_paths(run, 'glue') for run in found]


def begun(runs, step=0):
  """Begins a group, with a save of a step unless 0; returns its folder."""
  folder = vmapped.begin_group(runs)
  os.makedirs(os.path.join(folder, 'resume', str(step) if step else ''))
  return folder


def sizes(runs, size):
  return [len(unit) for unit in vmapped.make_units(
      runs, runs, 'glue', lambda _: size)]


def fail(runs):
  def fill(*_, begin, **__):
    begin()
    raise FULL

  with mock.patch('adapters_jax.runs.run.run_group', side_effect=fill):
    return vmapped.run_unit(runs, 'glue', None)


def test_a_group_that_saved_nothing_may_become_smaller_ones(runs):
  assert fail(runs) == ['JaxRuntimeError: RESOURCE_EXHAUSTED: memory'] * 4
  folder = vmapped.group_folder(runs)
  assert os.path.exists(folder)
  assert [sizes(runs, size) for size in (1, 2, 4)] == [[1] * 4, [2, 2], [4]]
  assert not os.path.exists(folder)


def test_a_group_with_a_state_stays_and_its_full_memory_names_the_folder(runs):
  folder = begun(runs, 3)
  assert sizes(runs, 1) == [4]
  assert f'smaller groups, from the first step, delete {folder}' in (
      fail(runs)[0])


def test_a_group_that_another_process_trains_stays_without_a_save(runs):
  folder = begun(runs)
  os.makedirs(runs[0].workdir)
  with locks.held(os.path.join(runs[0].workdir, '.lock'), timeout=0):
    assert sizes(runs, 2) == [2, 2]
    assert os.path.exists(folder)
  # It is known by any of its runs, as of a grid that has changed.
  sizes(runs[:1], 1)
  assert not os.path.exists(folder)


def test_a_group_begins_once_it_holds_its_runs(runs):
  # Before, a second start of the sweep would remove it as a dead one.
  os.makedirs(runs[1].workdir)
  with locks.held(os.path.join(runs[1].workdir, '.lock'), timeout=0):
    found = vmapped.run_unit(runs, 'glue', classification.KIND)
  assert 'another process is running' in found[0]
  assert not os.path.exists(vmapped.group_folder(runs))


@pytest.mark.parametrize('steps, wanted', [
    ((3, 5), [[1, 2, 3], [0]]), ((5, 3), [[0, 1], [2], [3]])])
def test_of_groups_that_share_a_run_one_goes_on(runs, steps, wanted):
  folders = [begun(runs[:2], steps[0]), begun(runs[1:], steps[1])]
  units = vmapped.make_units(runs, runs, 'glue', lambda _: 1)
  assert [[run.seed for run in unit] for unit in units] == wanted
  assert all(map(os.path.exists, folders))


def test_runs_of_a_narrowed_grid_that_lose_their_group_are_told_of(
    runs, caplog):
  folder = begun(runs, 3)
  units = vmapped.make_units(runs[:3], runs[:3], 'glue', len)
  assert units == [tuple(runs[:3])] and os.path.exists(folder)
  said, = caplog.messages
  assert said == (
      'a group of 4 runs, some outside this sweep or in another group, is left '
      f'in {folder}; 3 of its runs here start anew')
  caplog.clear()
  # A run that waits at a rung has a state of its own.
  os.makedirs(os.path.join(runs[0].workdir, 'resume', '4'))
  rungs.write(runs[0].workdir, rungs.Rungs({'1': .5}, waits=1.0))
  vmapped.make_units(runs[:2], runs[:2], 'glue', len)
  assert caplog.messages[0].endswith('; 1 of its runs here start anew')
  caplog.clear()
  vmapped.make_units(runs[:1], runs[:1], 'glue', len)
  vmapped.make_units(runs, runs, 'glue', len)  # The group goes on.
  assert not caplog.messages


def test_a_state_that_was_never_saved_pins_no_run(runs):
  for run in runs:  # As `Resume` leaves it before its first save.
    os.makedirs(os.path.join(run.workdir, 'resume'))
  assert sizes(runs, 4) == [4]


def test_the_folder_of_a_finished_group_goes_without_runs_to_make(runs):
  folder = begun(runs, 3)
  how = execution.HowToRun(group='4')
  for run in runs:
    records_lib.write(
        f'{run.workdir}/record.json', grid_test.make_record(run))
  assert not list(engine._make(runs, [], 'glue', how, None))
  assert not os.path.exists(folder)
