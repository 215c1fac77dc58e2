"""Records against the data and the bases at hand."""

import dataclasses
import os
import shutil
from unittest import mock

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import prepared
from adapters_jax.data import squad
from adapters_jax.data import squad_files
from adapters_jax.data import tasks
from adapters_jax.downloads import hub_cache
from adapters_jax.model import base as base_lib
from adapters_jax.runs import at_hand
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records
from adapters_jax.runs import run as run_lib
from adapters_jax.runs import workdirs
from adapters_jax.runs.kinds import classification
from adapters_jax.runs.kinds import embeddings
from adapters_jax.runs.kinds import language_modeling
from adapters_jax.runs.kinds import question_answering
from tests.sweeps import grid_test

CONFIG = config_lib.Config(task='rte')
FACTS = {'train': {'examples': 9, 'sha256': 'a' * 16},
         'dev': {'examples': 3, 'sha256': 'b' * 16}}
OTHER = FACTS | {'dev': {'examples': 3, 'sha256': 'c' * 16}}


@pytest.fixture
def kind(monkeypatch):
  """A kind whose data are FACTS, with the settings that were asked for."""
  monkeypatch.setattr(prepared, 'is_prepared', lambda *_: True)
  found = mock.Mock()
  found.find = tasks.find
  found.facts.return_value = FACTS
  return found


def record_of(data=FACTS, config=CONFIG, **changed):
  return grid_test.make_record(config, data=data, **changed)


def test_a_record_of_other_data_is_told_from_one_of_these(kind):
  here = at_hand.AtHand(kind)
  here.demand_same(record_of(), CONFIG, 'there.json', 'records')
  with pytest.raises(
      errors.UserError, match='^`records`: there.json is of other dev examples '
      'of rte than those at hand; runs on both have one name, so give another '
      '`records` for these$'):
    here.demand_same(record_of(OTHER), CONFIG, 'there.json', 'records')
  assert 'other dev examples' in here.problem(
      record_of({'train': FACTS['train']}), CONFIG)


def test_data_are_read_once_for_many_runs(kind):
  here = at_hand.AtHand(kind)
  for seed in range(3):
    one = dataclasses.replace(CONFIG, seed=seed, learning_rate=.1 * (seed + 1))
    assert not here.problem(record_of(config=one), one)
  assert kind.facts.call_count == 1
  for changed in ({'data_dir': '/there'}, {'train_examples': 5}):
    here.problem(record_of(), dataclasses.replace(CONFIG, **changed))
  assert kind.facts.call_count == 3


def test_unknown_data_count_as_equal(kind, own_files, monkeypatch):
  assert not at_hand.AtHand(kind).problem(record_of({}), CONFIG)
  own = config_lib.Config(**own_files)  # Its hashes are among the settings.
  assert not at_hand.AtHand(kind).problem(record_of(OTHER, own), own)
  pinned = config_lib.Config()
  assert not at_hand.AtHand(kind).problem(record_of(OTHER, pinned), pinned)
  assert not kind.facts.called
  kind.facts.side_effect = errors.UserError('damaged')
  assert not at_hand.AtHand(kind).problem(record_of(OTHER), CONFIG)
  monkeypatch.setattr(prepared, 'is_prepared', lambda *_: False)
  kind.facts.side_effect = None
  assert not at_hand.AtHand(kind).problem(record_of(OTHER), CONFIG)


def test_a_finished_run_of_other_data_is_no_result(kind, tmp_path, checkpoint):
  config = dataclasses.replace(
      CONFIG, checkpoint=checkpoint, max_length=12,
      workdir=str(tmp_path / 'work'))
  workdirs.begin(config.workdir, 'glue', identity.portable(config))
  path = os.path.join(config.workdir, records.RECORD)
  whole = dataclasses.replace(
      classification.KIND, load=lambda config: FACTS, fingerprint=dict)
  records.write(path, record_of(config=config))
  assert run_lib.run(config, 'glue', whole) == records.read(path)
  records.write(path, record_of(OTHER, config))
  with pytest.raises(
      errors.UserError, match=f'`workdir`: {path} is of other dev examples .* '
      'give another `workdir`'):
    run_lib.run(config, 'glue', whole)


def test_small_files_of_a_base_that_changed_are_a_warning(
    kind, checkpoint, tmp_path, caplog):
  folder = shutil.copytree(checkpoint, tmp_path / 'tiny')
  config = dataclasses.replace(
      CONFIG, checkpoint=str(folder), max_length=12,
      workdir=str(tmp_path / 'work'))
  workdirs.begin(config.workdir, 'glue', identity.portable(config))
  path = os.path.join(config.workdir, records.RECORD)
  whole = dataclasses.replace(
      classification.KIND, load=lambda config: FACTS, fingerprint=dict)
  record = record_of(
      config=config, base_files=base_lib.file_hashes(str(folder)))
  records.write(path, record)
  assert record.base_files.keys() == {'config.json', 'vocab.txt'}
  assert run_lib.run(config, 'glue', whole) == record
  (folder / 'vocab.txt').write_text(
      (folder / 'vocab.txt').read_text().replace('good', 'goodly'))
  assert 'has changed since' not in caplog.text
  assert run_lib.run(config, 'glue', whole) == record
  message = f'vocab.txt of {folder} has changed since {path} was made'
  assert caplog.text.count(message) == 1
  here = at_hand.AtHand(kind)
  caplog.clear()
  for seed in range(3):  # One line for the records of a sweep.
    one = dataclasses.replace(config, seed=seed)
    for files in (record.base_files, {}):  # {} in those of earlier versions.
      here.demand_same(
          record_of(config=one, base_files=files), one, path, 'records')
  assert caplog.text.count('has changed since') == 1


def pairs_of(count, label):
  texts = [('good film', f'a {"very " * (n % 3)}film') for n in range(count)]
  return tasks.Split(texts, np.array([label(n) for n in range(count)]))


def questions_of(*names):
  return [squad.Question(name, 'the plot', 'a good film', (('good', 2),))
          for name in names]


@pytest.mark.parametrize('kind, changed, label', [
    (classification.KIND, {'task': 'rte'}, lambda n: n % 2),
    (embeddings.KIND, {'task': 'stsb_pairs', 'file_task': 'pairs'},
     lambda n: n / 4),
    (language_modeling.KIND, {'task': 'cola_texts', 'file_task': 'text'},
     lambda n: n % 2),
    (question_answering.KIND, {'task': 'squad'}, None)])
def test_kinds_have_the_facts_of_their_records(
    kind, changed, label, checkpoint):
  config = config_lib.Config(
      checkpoint=checkpoint, max_length=12, batch_size=2, train_examples=4,
      buckets=0, **changed)
  splits = {split: pairs_of(count, label) if label else None
            for split, count in (('train', 7), ('dev', 3))}
  with (mock.patch.object(tasks, 'load', lambda task, folder: {**splits}),
        mock.patch.object(squad_files, 'read_tfds', lambda folder: {
            'train': questions_of(*'abcdefg'), 'dev': questions_of('h')})):
    found = kind.facts(config)
    assert found == kind.prepare(config).data
  assert found['train']['examples'] == 4


def test_bases_of_the_hub_are_compared_by_the_cache(kind, checkpoint):
  config = dataclasses.replace(CONFIG, checkpoint='owner/base')
  here = base_lib.identity(checkpoint).split('@')[1]
  with mock.patch.object(
      hub_cache, 'folder', side_effect=[checkpoint, '']) as looked:
    known = at_hand.AtHand(kind)
    for base, problem in (
        ('', ''), (f'owner/base#{here}', ''), ('owner/base#' + '1' * 16, (
            'is of the base owner/base#1111111111111111, and '
            f'owner/base#{here} is at hand'))):
      assert known.problem(record_of(config=config, base=base), config) == (
          problem)
    assert looked.call_count == 1
    assert not at_hand.AtHand(kind).problem(  # Not in the cache.
        record_of(config=config, base='owner/base#' + '1' * 16), config)
