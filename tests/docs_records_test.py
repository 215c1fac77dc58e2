"""Documented commands that add to the committed records train nothing new."""

import dataclasses
import importlib
import os

import pytest

from adapters_jax.api import experiments
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import picking
from adapters_jax.sweeps import store
from tests import docs_test

RECORDS = 'experiments/results'
# Their runs are named by the content of files that only their authors publish.
OWN_FILES = ('train_file', 'folder', 'adapters')


def parsed(module, args):
  """Returns (experiment, settings of its runs, options) of a command."""
  name = module.partition('.')[2]
  if name == 'sweep':
    name, = (arg.partition('=')[2] for arg in args
             if arg.startswith('--experiment='))
    args = [arg for arg in args if not arg.startswith('--experiment=')]
  ablation = name.startswith('ablation')
  defaults = ({'train_examples': 1000} if ablation
              else dict(experiments.EXPERIMENTS[name].defaults))
  kinds = {field.name: field.type
           for cls in (config_lib.Config, grid.Options)
           for field in dataclasses.fields(cls)}
  values = defaults | {
      key: kinds[key](value) if equals else True for key, equals, value in (
          arg.removeprefix('--').partition('=') for arg in args)}
  if ablation and 'grid' not in values:
    values['grid'] = importlib.import_module(module).GRID
  options = {field.name: values.pop(field.name)
             for field in dataclasses.fields(grid.Options)
             if field.name in values}
  return ('glue' if ablation else name, config_lib.Config(**values),
          grid.Options(**options))


COMMANDS = [
    (module, args) for _, module, args in docs_test.documented()
    if module.startswith('experiments.') and f'--records={RECORDS}' in args
    and not any(arg.removeprefix('--').startswith(OWN_FILES) for arg in args)]


def test_there_are_such_commands():
  assert len(COMMANDS) > 5


@pytest.mark.parametrize('module, args', COMMANDS)
def test_all_runs_have_records(module, args):
  experiment, config, many = parsed(module, args)
  records = store.Store(experiment, str(docs_test.ROOT / RECORDS))
  runs = grid.expand([config], many)
  trials = picking.trial_runs(runs, many) if picking.parse_pick(many) else []

  def is_there(run):
    return os.path.exists(records.path_of(run))

  assert [run for run in trials if not is_there(run)] == []
  if trials:  # One of the settings that compete was picked.
    assert {run.seed for run in runs} == {
        run.seed for run in filter(is_there, runs)}
  else:
    assert [run for run in runs if not is_there(run)] == []
