"""Tests of experiments.glue, text_classification and of predictions."""

import contextlib
import dataclasses
import io
import os
import shutil
import zipfile

from absl import flags as absl_flags
import numpy as np
import pytest

from adapters_jax.analysis import glue_submission
from adapters_jax.api import expand
from adapters_jax.api import flags
from adapters_jax.api import written
from adapters_jax.api.commands import train
from adapters_jax.data import metrics
from adapters_jax.data import prepared
from adapters_jax.data import raw_glue as raw_glue_lib
from adapters_jax.data import rows
from adapters_jax.data import tasks
from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import presets
from adapters_jax.runs import records as records_lib
from adapters_jax.sweeps import forecast
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import outcome as outcome_lib
from experiments import text_classification
from tests.data import raw_glue


@pytest.fixture(scope='module')
def glue_data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('glue')
  raw_glue.write(str(folder / 'raw'))
  with contextlib.redirect_stdout(io.StringIO()):
    raw_glue_lib.prepare_all(
        str(folder / 'raw'), str(folder / 'data'), lambda line: None)
  return str(folder / 'data')


@pytest.fixture
def config(checkpoint, glue_data, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(forecast, 'measure', lambda config, kind: forecast.Cost(
      0.5, 2.0))
  return config_lib.Config(
      checkpoint=checkpoint, data_dir=glue_data, tune='head', batch_size=2,
      max_steps=1, max_length=20, buckets=0)


def test_all_names_the_nine_tasks():
  runs = expand.tasks(config_lib.Config(task='all', seed=4))
  assert [run.task for run in runs] == [
      'cola', 'sst2', 'mrpc', 'qqp', 'stsb', 'mnli', 'qnli', 'rte', 'wnli']
  assert {run.seed for run in runs} == {4}
  assert [r.task for r in expand.tasks(
      config_lib.Config(task='rte, cola'))] == ['rte', 'cola']


@pytest.mark.slow
def test_two_tasks_with_predictions(config, capsys):
  config = dataclasses.replace(config, task='stsb,mnli')
  train.main(config, grid.Options(records='kept'), written.Predictions(True))
  printed = capsys.readouterr().out
  assert 'GLUE-style mean on dev' in printed and 'over 2 of 9' in printed
  assert '2 runs, 0 of them finished' in printed
  assert len(list(records_lib.read_all('kept'))) == 2
  with zipfile.ZipFile('runs/glue/submission.zip') as archive:
    assert archive.namelist() == ['STS-B.tsv', 'MNLI-m.tsv', 'MNLI-mm.tsv']
    lines = archive.read('MNLI-mm.tsv').decode().splitlines()
    assert lines[0] == 'index\tprediction'
    assert [line.split('\t')[0] for line in lines[1:]] == ['0', '1', '2']
    assert set(line.split('\t')[1] for line in lines[1:]) <= {
        'entailment', 'neutral', 'contradiction'}


@pytest.mark.parametrize('name, wanted', [
    ('cola', ['1', '0']), ('rte', ['not_entailment', 'entailment']),
    ('wnli', ['1', '0']), ('qnli', ['not_entailment', 'entailment'])])
def test_classes_go_as_the_server_wants_them(name, wanted):
  task = tasks.find(name)
  found = [task.labels[1], task.labels[0]]
  assert glue_submission.format_predictions(task, found) == wanted


def test_scores_are_clipped_to_the_scale():
  found = ['-0.2', '3.14159', 5.5]
  assert glue_submission.format_predictions(tasks.find('stsb'), found) == [
      '0.000', '3.142', '5.000']


def test_predictions_of_a_run_that_is_only_a_record(config, tmp_path):
  record = records_lib.Record(
      'glue', identity.portable(dataclasses.replace(config, task='rte')),
      {'dev': {'accuracy': 0.5}}, 1, 1, {}, 1, 1, 1, 1, 1, 1, [], [], '', {},
      '')
  outcome = outcome_lib.Outcome(
      (record,), (str(tmp_path / 'none'),), configs=(config,))
  with pytest.raises(errors.UserError, match='left no adapter'):
    glue_submission.write_zip(outcome, str(tmp_path / 'a.zip'))


def test_absent_tasks_are_named_before_anything_runs(monkeypatch):
  def absent(source, data_dir):
    if source != 'glue/rte':
      raise errors.UserError(f'{source} is not there')
  monkeypatch.setattr(prepared, 'dataset', absent)
  with pytest.raises(
      errors.UserError,
      match='glue/cola is not there; so too mrpc. At hand is .*task=rte'):
    tasks.require(['cola', 'rte', 'mrpc'])


def test_a_wrong_point_of_a_grid_stops_the_first(config):
  config = dataclasses.replace(config, task='rte')
  with pytest.raises(errors.UserError, match='`adapter_size=0`'):
    many = grid.Options(grid='adapter_size=3,0 tune=adapters')
    train.main(config, many, written.Predictions())
  assert not os.path.exists('runs')


def test_a_folder_gives_files_and_name(own_files, config):
  folder = os.path.dirname(own_files['train_file'])
  found = expand.in_folder(config, folder + os.sep)
  assert found.files == {
      k.removesuffix('_file'): v for k, v in own_files.items()}
  assert found.task_name == os.path.basename(folder)


def test_a_folder_is_trained_on_over_seeds(own_files, config, capsys):
  folder = os.path.dirname(own_files['train_file'])
  text_classification.main(
      config, grid.Options(seeds='0-1'), expand.Folders(folder),
      written.Predictions())
  assert 'all settings' in capsys.readouterr().out
  found = list(records_lib.read_all('runs/text_classification'))
  assert sorted(r.config['seed'] for r in found) == [0, 1]
  assert all('test' in r.metrics for r in found)


def test_folders_of_one_name_are_refused(own_files, config, tmp_path):
  folder = os.path.dirname(own_files['train_file'])
  shutil.copytree(folder, tmp_path / os.path.basename(folder))
  name = os.path.basename(folder)
  with pytest.raises(errors.UserError, match=f'2 folders are named {name}'):
    expand.folders(config, expand.Folders(f'{folder},{tmp_path / name}'))


@pytest.mark.slow
def test_predictions_of_own_data_without_dev_and_test_labels(
    own_files, config, tmp_path, capsys):
  """The best of two runs by macro F1, on held-out dev and unlabelled test."""
  config = dataclasses.replace(
      config, max_steps=4, eval_every=2, learning_rate=1e-2, batch_size=8)
  (tmp_path / 'folder').mkdir()
  train_file = tmp_path / 'folder' / 'train.tsv'
  shutil.copy(own_files['train_file'], train_file)
  texts = ['a good "film"', 'very dull']
  (tmp_path / 'folder' / 'test.csv').write_text(
      'sentence,label\n"a good ""film""",\nvery dull,\n')
  config = dataclasses.replace(config, dev_fraction=0.25, metric='macro_f1')
  text_classification.main(
      config, grid.Options(grid='seed=0,1'), expand.Folders('folder'),
      written.Predictions(True))
  paths = [line.removeprefix('predictions: ') for line in
           capsys.readouterr().out.splitlines() if line.startswith('predic')]
  assert [os.path.basename(path) for path in paths] == ['dev.tsv', 'test.tsv']
  found = list(records_lib.read_all('runs/text_classification'))
  assert [list(record.metrics) for record in found] == [['dev']] * 2
  assert all(list(record.metrics['dev']) == ['macro_f1', 'accuracy']
             and record.config['task'] == 'folder'
             and 'dev is 15 of the 60 examples of train_file' in record.notes
             for record in found)
  dev, test = ([row for _, row in rows.read(path)] for path in paths)
  # The scores of the record follow from the rows.
  assert (len(dev), len(test)) == (15, 2)
  best = records_lib.best(found)
  assert metrics.METRICS['macro_f1'](
      np.array([row['label'] == 'yes' for row in dev]),
      np.array([row['prediction'] == 'yes' for row in dev])
  ) == pytest.approx(best.metrics['dev']['macro_f1'])
  assert all(row['prediction'] == max(('no', 'yes'), key=lambda name: float(
      row[f'p({name})'])) for row in dev + test)
  assert [(row['label'], row['sentence']) for row in test] == [
      ('', text) for text in texts]
  held_out = {row['sentence'] for row in dev}
  assert held_out <= {row['sentence'] for _, row in rows.read(str(train_file))}


def test_a_folder_without_dev_is_refused(tmp_path, config):
  (tmp_path / 'train.tsv').write_text('sentence\tlabel\n')
  with pytest.raises(errors.UserError, match='`folder`: one dev file'):
    expand.in_folder(config, str(tmp_path))


@pytest.mark.parametrize('name', presets.PRESETS)
def test_presets_are_settings(name):
  config_lib.Config(**presets.find(name))  # Validates itself.


def test_explicit_flags_override_a_preset(monkeypatch):
  values = absl_flags.FlagValues()
  monkeypatch.setattr(absl_flags, 'FLAGS', values)
  for name in ('float', 'integer', 'string', 'boolean'):
    define = getattr(absl_flags, f'DEFINE_{name}')
    monkeypatch.setitem(
        flags._DEFINE, {'float': float, 'integer': int, 'string': str,
                        'boolean': bool}[name],
        lambda *args, define=define, **more: define(
            *args, flag_values=values, **more))
  flags.define(config_lib.Config)
  values(['x', '--init_scale=0.5'])
  config = flags.read(config_lib.Config, presets.find('adapter_bert'))
  assert config.init_scale == 0.5
  assert config.optimizer == 'adapter_bert'
  assert config.hidden_activation == 'gelu_tanh'
  assert config.task == config_lib.Config().task
  # So does a default of the script's own.
  values.set_default('max_length', 384)
  assert flags.read(config_lib.Config, presets.find('paper')).max_length == 384
  # But an adapter to train on from overrides both, and a flag overrides it.
  config = flags.read(config_lib.Config, presets.find('paper'), {
      'max_length': 12, 'init_scale': 0.1, 'adapter_size': 5})
  assert (config.max_length, config.init_scale, config.adapter_size) == (
      12, 0.5, 5)


def test_unknown_preset_has_near_matches():
  with pytest.raises(errors.UserError, match='did you mean adapter_bert'):
    presets.find('adapter-bert')
