"""Tests of data that the runs of a sweep share."""

import dataclasses
import functools
import os
import pathlib
import shutil

import numpy as np
import pytest

from adapters_jax.data import fingerprint
from adapters_jax.data import tasks
from adapters_jax.data import tokenization
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import own_data
from adapters_jax.runs import run
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import shared_data
from adapters_jax.runs.kinds import classification
from adapters_jax.runs.kinds import embeddings
from adapters_jax.runs.kinds import language_modeling
from adapters_jax.runs.kinds import question_answering
from adapters_jax.runs.kinds import tagging
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import grid
from tests import tiny
from tests.experiments import squad_test
from tests.experiments import tagging_test
from tests.runs import other_kinds_test


@pytest.fixture
def config(checkpoint, tmp_path) -> config_lib.Config:
  base = str(tmp_path / 'base')
  shutil.copytree(checkpoint, base)
  return tiny.run_config(
      base, tiny.write_data(str(tmp_path / 'data')), str(tmp_path / 'work'))


class Counting:
  """Stands for the function that makes the data of a kind."""

  def __init__(self):
    self.calls = []

  def __call__(self, config, data, *more):
    self.calls.append((config, data, *more))
    return {'labels': np.zeros(2)}

  def of(self, config, task=None, *more):
    shared_data.of(config, self, None, task, *more)
    return len(self.calls)


def rewritten(path):
  """Writes another content of the same size, with the time of the old one."""
  before = os.stat(path)
  content = pathlib.Path(path).read_bytes()
  pathlib.Path(path).write_bytes(content[:-2] + b'.' + content[-1:])
  os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path):
  """Puts a copy with the same content and time in the place of a file."""
  shutil.copy2(path, f'{path}.new')
  os.replace(f'{path}.new', path)


def test_settings_that_no_data_depend_on_share_them(config):
  make = Counting()
  with shared_data.kept():
    assert make.of(config) == make.of(config) == 1
    for name in ('learning_rate', 'seed', 'adapter_size', 'batch_size',
                 'epochs', 'dropout', 'mask_rate', 'tune', 'workdir', 'metric',
                 'pooling'):
      value = {'seed': 3, 'adapter_size': 8, 'batch_size': 8, 'tune': 'full',
               'workdir': 'other', 'metric': 'macro_f1', 'pooling': 'cls'}.get(
                   name, 0.5)
      assert make.of(dataclasses.replace(config, **{name: value})) == 1
    assert make.of(dataclasses.replace(config, max_length=9)) == 2
    assert make.of(config) == 3  # A single entry is kept.
  given, _ = make.calls[0]
  # By construction, as no other setting was seen.
  assert {name for name in vars(given) if getattr(given, name) != getattr(
      config_lib.Config, name)} == {
          'checkpoint', 'train_file', 'dev_file', 'test_file', 'max_length'}


CHANGED = {
    'task': 'cola', 'max_length': 11, 'train_examples': 7,
    'train_file': 'data/dev.tsv', 'dev_file': 'data/train.tsv',
    'test_file': 'data/train.tsv', 'text_columns': 'a,b', 'label_column': 'x',
    'label_separator': ';', 'choice_columns': 'a,b', 'negative_column': 'n',
    'file_task': 'regression', 'dev_fraction': 0.2, 'test_fraction': 0.1,
    'checkpoint': 'other', 'data_dir': '.'}
# Settings that one needs to be valid.
WITH = {
    'dev_fraction': {'dev_file': '', 'dev_fraction': 0.3},
    'test_fraction': {'dev_file': '', 'test_file': '', 'dev_fraction': 0.2},
    'label_separator': {'file_task': 'multilabel'},
    'choice_columns': {'file_task': 'multiple_choice'}}


@pytest.mark.parametrize('name', CHANGED)
def test_every_setting_of_the_data_misses(config, tmp_path, monkeypatch, name):
  monkeypatch.chdir(tmp_path)
  shutil.copytree('base', 'other')
  make, config = Counting(), dataclasses.replace(config, **WITH.get(name, {}))
  other = dataclasses.replace(config, **{name: CHANGED[name]})
  with shared_data.kept():
    assert [make.of(config), make.of(other), make.of(other)] == [1, 2, 2]


def test_all_settings_of_the_data_are_tested():
  of_data = {field.name for field in dataclasses.fields(config_lib.Config)
             if field.metadata['role'] == 'data'}
  assert of_data == {*CHANGED} - {'data_dir'}
  assert {*options.marked(config_lib.Config, 'path')} <= {*CHANGED}


@pytest.mark.parametrize('change', [rewritten, replaced, os.utime])
@pytest.mark.parametrize('name', [
    'data/train.tsv', 'data/dev.tsv', 'data/test.tsv', 'base/vocab.txt',
    'base/config.json'])
def test_changed_files_miss(config, tmp_path, change, name):
  make = Counting()
  if (change, name) == (rewritten, 'base/config.json'):
    change = replaced  # Another content would be no JSON.
  with shared_data.kept():
    assert make.of(config) == make.of(config) == 1
    change(tmp_path / name)
    assert make.of(config) == make.of(config) == 2


def test_a_new_file_of_the_tokenizer_misses(config, tmp_path):
  make = Counting()
  with shared_data.kept():
    assert make.of(config) == 1
    (tmp_path / 'base' / 'added_tokens.json').write_text('{}')
    assert make.of(config) == make.of(config) == 2


def test_named_data_and_further_arguments_miss(config, tmp_path):
  config = dataclasses.replace(
      config, train_file='', dev_file='', test_file='',
      data_dir=str(tmp_path))
  folder = tmp_path / 'glue' / 'rte' / '1'
  folder.mkdir(parents=True)
  (folder / 'shard').write_text('a')
  make, task = Counting(), tasks.TASKS['rte']
  other = dataclasses.replace(task, positive_above=1.0)
  with shared_data.kept():
    assert make.of(config, task) == make.of(config, task) == 1
    (folder / 'shard').write_text('b')
    assert make.of(config, task) == make.of(config, task) == 2
    (folder / 'more').write_text('b')
    assert make.of(config, task) == make.of(config, task) == 3
    assert make.of(config, other) == make.of(config, other) == 4
    assert make.of(config, other, 'x') == make.of(config, other, 'x') == 5
    assert make.calls[-1] == (make.calls[0][0], None, 'x')


def test_nothing_is_kept_outside_of_a_sweep_or_of_data_in_memory(config):
  make = Counting()
  assert [make.of(config), make.of(config)] == [1, 2]
  assert make.calls[-1] == (config, None)
  with shared_data.kept():
    for _ in range(2):
      shared_data.of(config, make, {'train': []}, None)
    assert len(make.calls) == 4
    make.of(config)
  with shared_data.kept():
    assert make.of(config) == 6
  absent = dataclasses.replace(config, dev_file='nowhere.tsv')
  with shared_data.kept():  # The function reports it.
    assert [make.of(absent), make.of(absent)] == [7, 8]


def test_a_fault_of_the_data_is_raised_for_every_run(config):
  bad = dataclasses.replace(config, label_column='nothing')
  with shared_data.kept():
    for _ in range(2):
      with pytest.raises(ValueError, match="no column 'nothing'"):
        setup_lib.prepare(bad)


# {kind: a metric that is not its first}
METRICS = {
    'classification': 'macro_f1', 'embeddings': 'mrr@10',
    'language_modeling': 'accuracy', 'question_answering': 'exact_match',
    'tagging': 'tag_accuracy'}


def of_kind(name, checkpoint, folder):
  """Returns (module of a kind, settings with data of it)."""
  shared = {'checkpoint': checkpoint, 'max_length': 12, 'buckets': 0}
  if name == 'tagging':
    return tagging, config_lib.Config(
        **shared, task='names',
        train_file=tagging_test.write(
            folder / 'a.conll', tagging_test.make_sentences(12)),
        dev_file=tagging_test.write(
            folder / 'b.conll', tagging_test.make_sentences(6, 1)))
  if name == 'question_answering':
    return question_answering, config_lib.Config(
        **{**shared, 'max_length': 30}, task='squad',
        train_file=squad_test.write_json(
            folder / 'a.json', squad_test.make_questions(6, 15)),
        dev_file=squad_test.write_json(
            folder / 'b.json', squad_test.make_questions(4, 15, 1)))
  if name == 'classification':
    return setup_lib, config_lib.Config(
        **shared, **tiny.write_data(str(folder)))
  module = {'embeddings': embeddings,
            'language_modeling': language_modeling}[name]
  return module, other_kinds_test.config_of(name, checkpoint, str(folder))


def arrays(value):
  """Yields the arrays in a setup's splits."""
  if isinstance(value, np.ndarray):
    yield value
  elif dataclasses.is_dataclass(value):
    for field in dataclasses.fields(value):
      yield from arrays(getattr(value, field.name))
  elif isinstance(value, (list, tuple)):
    for one in value:
      yield from arrays(one)


@pytest.mark.parametrize('name', METRICS)
def test_every_kind_shares_its_data(checkpoint, tmp_path, monkeypatch, name):
  module, config = of_kind(name, checkpoint, tmp_path)
  config = dataclasses.replace(config, train_examples=5, metric=METRICS[name])
  alone = module.prepare(config)
  calls, make = [], module._made
  monkeypatch.setattr(module, '_made', functools.wraps(make)(
      lambda *given: calls.append(given) or make(*given)))
  with shared_data.kept():
    first, second = module.prepare(config), module.prepare(
        dataclasses.replace(config, learning_rate=0.5))
  assert len(calls) == 1
  for one in (first, second):
    assert (one.data, one.notes, one.task, one.steps) == (
        alone.data, alone.notes, alone.task, alone.steps)
    assert one.task.metrics[0] == METRICS[name]
    found, wanted = one.schedule.batch(0), alone.schedule.batch(0)
    for key, value in wanted.items():
      np.testing.assert_array_equal(found[key], value, strict=True)
    score = module.make_score if hasattr(module, 'make_score') else None
    if score:  # The rest of the setup, too.
      assert score(one, 4)(one.tuned, 'dev')[0] == score(alone, 4)(
          alone.tuned, 'dev')[0]
  assert first.data is not second.data
  kept = [*arrays(list(second.splits.values()))]
  assert kept and not any(one.flags.writeable for one in kept)


def test_a_sweep_reads_its_data_once(config, monkeypatch):
  counts = dict.fromkeys(('_read', 'encode_counted', 'of_rows'), 0)

  def counted(module, name):
    function = getattr(module, name)

    def count(*given, **named):
      counts[name] += 1
      return function(*given, **named)
    monkeypatch.setattr(module, name, count)

  counted(own_data, '_read')
  counted(tokenization, 'encode_counted')
  counted(fingerprint, 'of_rows')
  found = engine.go([config], 'glue', grid.Options(
      grid='learning_rate=0.01,0.02'), kind=classification.KIND)
  assert counts == {'_read': 1, 'encode_counted': 3, 'of_rows': 3}
  assert shared_data._entry.get() is None
  for record, settings in zip(found.records, found.configs, strict=True):
    alone = run.run(dataclasses.replace(
        settings, workdir=f'{config.workdir}/{settings.learning_rate}'), 'glue')
    assert (record.history, record.metrics, record.data) == (
        alone.history, alone.metrics, alone.data)
