"""Files that a user changes while a run trains on them."""

import dataclasses
import os

import pytest

from adapters_jax.runs import group_training
from adapters_jax.runs import identity
from adapters_jax.runs import records
from adapters_jax.runs import workdirs
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import grid
from tests import tiny


@pytest.fixture
def config(checkpoint, tmp_path, monkeypatch):
  """Two steps on files of the test, in a workdir named by their hashes."""
  monkeypatch.chdir(tmp_path)
  files = tiny.write_data(str(tmp_path / 'data'))
  found = tiny.run_config(
      checkpoint, files, '', buckets=0, max_steps=2, eval_every=2)
  return dataclasses.replace(found, workdir='')


def change_while_training(monkeypatch, change):
  """Calls a function at the first evaluation, and returns the count of all."""
  evaluate, calls = group_training._Watch.evaluate, []

  def changing(self, *args):
    if not calls:
      change()
    calls.append(args)
    return evaluate(self, *args)

  monkeypatch.setattr(group_training._Watch, 'evaluate', changing)
  return calls


@pytest.mark.parametrize('alone', [True, False])
def test_a_record_names_the_files_that_were_read(alone, config, monkeypatch):
  def edit():
    with open(config.train_file, 'a') as file:
      file.write('a film\tyes\n' * 20)

  calls = change_while_training(monkeypatch, edit)
  kept = grid.Options(records='kept', seeds='' if alone else '0-1')
  before = identity.portable(config)
  folder = workdirs.path_of(config, 'glue')
  outcome = engine.go([config], 'glue', kept, kind=classification.KIND)
  assert not outcome.failures and len(outcome.records) == 2 - alone
  record = outcome.records[0]
  assert identity.completed(record.config) == before
  assert identity.portable(config) != before
  name = f'{identity.digest(before)}.json'
  assert records.read(f'kept/glue/{config.task_name}/{name}') == record
  assert alone is False or os.path.exists(f'{folder}/adapter/config.json')
  trained = len(calls)
  # The new file is another run.
  again = engine.go(
      [config], 'glue', dataclasses.replace(kept, seeds=''),
      kind=classification.KIND)
  assert len(calls) > trained
  assert again.records[0].data['train'] != record.data['train']


def test_a_file_that_is_gone_ends_no_run(config, monkeypatch):
  change_while_training(monkeypatch, lambda: os.remove(config.train_file))
  outcome = engine.go([config], 'glue', grid.Options(records='kept'),
                      kind=classification.KIND)
  assert len(outcome.records) == 1
  assert len(os.listdir(f'kept/glue/{config.task_name}')) == 1
