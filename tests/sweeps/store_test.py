"""Tests of the folder of kept records."""

import os
from unittest import mock

import pytest

from adapters_jax import errors
from adapters_jax.data import prepared
from adapters_jax.data import tasks
from adapters_jax.runs import at_hand
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import store as store_lib
from adapters_jax.training import hosts
from tests.sweeps import grid_test


def test_a_folder_of_records_is_made_before_the_runs(tmp_path):
  store_lib.check_folder('')
  store_lib.check_folder(str(tmp_path / 'a' / 'b'))
  assert (tmp_path / 'a' / 'b').is_dir()
  (tmp_path / 'file').write_text('')
  for folder in (tmp_path / 'file' / 'x', '/proc/nope/x', 'a\0b'):
    with pytest.raises(errors.UserError, match='`records`: .* cannot be writ'):
      store_lib.check_folder(str(folder))


@pytest.mark.parametrize('seeds', ['0', '0,1'])
def test_a_record_of_other_data_is_neither_a_result_nor_replaced(
    tmp_path, monkeypatch, seeds):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(prepared, 'is_prepared', lambda *_: True)
  here, there = ({'dev': {'examples': 2, 'sha256': one}} for one in 'ab')
  kind = mock.Mock(find=tasks.find, facts=lambda config: here)
  config = config_lib.Config(task='rte', workdir=str(tmp_path / 'work'))
  old = grid_test.make_record(config, data=there)
  store = store_lib.Store('glue', 'kept', at_hand.AtHand(kind))
  store.keep(config, old)
  path = store.path_of(config)
  with pytest.raises(errors.UserError, match=f'`records`: {path} is of other'):
    engine.go([config], 'glue', grid.Options(seeds=seeds, records='kept'),
              kind=kind)
  # Nor is it, where the workdir has a record of the data at hand.
  records.write(os.path.join(config.workdir, records.RECORD),
                grid_test.make_record(config, data=here))
  with pytest.raises(errors.UserError, match=f'`records`: {path} is of other'):
    store.find(config)
  assert records.read(path) == old


def test_a_damaged_record_is_replaced_by_that_of_the_workdir(tmp_path):
  config = config_lib.Config(task='rte', workdir=str(tmp_path / 'work'))
  store = store_lib.Store('glue', str(tmp_path))
  path = store.path_of(config)
  os.makedirs(os.path.dirname(path))
  with open(path, 'w') as file:
    file.write('{}')
  with pytest.raises(errors.UserError, match='the record is damaged'):
    store.find(config)
  record = grid_test.make_record(config)
  records.write(os.path.join(config.workdir, records.RECORD), record)
  assert store.find(config) == record


@pytest.mark.parametrize('text', ['', 'learning_rate=1e-3,1e-2'])
@pytest.mark.parametrize('first', [True, False])
def test_the_first_host_alone_keeps_new_records(
    tmp_path, monkeypatch, text, first):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(hosts, 'is_first', lambda: first)
  config = config_lib.Config(
      task='cola', coordinator='host:1', processes=2, process=1 - first)
  outcome, _ = grid_test.go(text, records='kept', config=config)
  kept = list(records.read_all('kept'))
  assert len(kept) == (len(outcome.records) if first else 0)
  assert all(record in outcome.records for record in kept)
