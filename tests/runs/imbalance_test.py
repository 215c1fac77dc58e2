"""Tests of class weights, label smoothing, thresholds and patience in runs."""

import dataclasses
from unittest import mock

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import readings
from adapters_jax.data import metrics
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import results
from adapters_jax.runs import run
from adapters_jax.runs import session
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import vmapped
from tests import outputs
from tests import tiny

# A rate that changes no prediction, so that the first evaluation stays best.
STILL = {'learning_rate': 1e-9, 'patience': 1, 'seed': 1, 'max_steps': 16}
CHANGES = (STILL, {'class_weights': 'yes:4,no:0.5', 'max_steps': 16})


@pytest.fixture(scope='module')
def configs(checkpoint, own_files, tmp_path_factory):
  """Settings of runs of CHANGES."""
  folder = tmp_path_factory.mktemp('imbalance')
  return [
      tiny.run_config(checkpoint, own_files, str(folder / str(i)), **changed)
      for i, changed in enumerate(CHANGES)]


@pytest.fixture(scope='module')
def group(configs):
  """(settings, records) of a group of CHANGES."""
  with mock.patch.object(session, 'enable_compilation_cache'):
    return configs, vmapped.run_unit(configs, 'glue', classification.KIND)


def check_equal(record, single):
  """Checks that the record of a group's run is that of the run alone."""
  assert (record.steps, record.padded_tokens, record.best_step) == (
      single.steps, single.padded_tokens, single.best_step)
  assert (record.metrics, record.last, record.predictions) == (
      single.metrics, single.last, single.predictions)
  np.testing.assert_allclose(
      [entry['loss'] for entry in record.history],
      [entry['loss'] for entry in single.history], rtol=1e-4)
  assert record.notes[1:] == single.notes


@pytest.mark.slow
def test_a_run_of_a_group_equals_a_single_one(group, tmp_path):
  config, record = group[0][1], group[1][1]
  # Patience has ended the other run of the group.
  assert (record.steps, len(record.history)) == (16, 4)
  check_equal(record, run.run(dataclasses.replace(
      config, workdir=str(tmp_path / 'alone')), 'glue'))


def test_patience_ends_a_run(configs, tmp_path):
  record = run.run(dataclasses.replace(
      configs[0], workdir=str(tmp_path / 'alone')), 'glue')
  assert (record.steps, record.best_step, len(record.history)) == (8, 4, 2)
  assert record.notes[-1] == (
      'stopped after step 8 of 16: no better dev score in 1 evaluations')
  assert record.last['dev'] == record.history[-1]['dev']
  assert set(record.last) == {'dev', 'test'}


@pytest.mark.slow
def test_a_run_that_patience_ended_resumes_at_its_end(group, tmp_path):
  config = dataclasses.replace(
      group[0][0], workdir=str(tmp_path / 'work'))
  with mock.patch.object(results, 'all_scores', side_effect=KeyboardInterrupt):
    with pytest.raises(KeyboardInterrupt):
      run.run(config, 'glue')
  with mock.patch('adapters_jax.runs.group.group_batch',
                  side_effect=AssertionError('no step is left')):
    record = run.run(dataclasses.replace(config, resume=True), 'glue')
  assert (record.steps, len(record.history)) == (8, 2)
  check_equal(group[1][0], record)


def test_weights_of_classes_are_those_of_their_examples(configs):
  setup = classification.KIND.prepare(configs[1])
  batch = setup.schedule.batch(0)
  plain = dataclasses.replace(setup.schedule, class_weights=None).batch(0)
  wanted = plain['weights'] * np.where(batch['labels'] == 1, 4, 0.5)
  np.testing.assert_array_equal(batch['weights'], wanted)
  assert set(plain['weights']) == {0.0, 1.0}  # The batch has filler.
  np.testing.assert_array_equal(batch['mask'], plain['mask'])


@pytest.mark.slow
def test_a_threshold_is_picked_on_dev_and_saved(
    checkpoint, own_files, tmp_path):
  config = tiny.run_config(
      checkpoint, own_files, str(tmp_path / 'work'), threshold='dev',
      metric='balanced_accuracy', class_weights='yes:30', max_steps=4)
  record = run.run(config, 'glue')
  adapter = adapter_lib.load(config.workdir)
  assert record.notes == [
      f'the threshold {adapter.threshold} is the best one on dev']
  assert adapter.threshold > 0.5  # All are 'yes' to such a training.
  base = aj.load_base(checkpoint)
  task, splits, _ = classification.setup_lib.load_data(config)
  texts = [text for text, in splits['test'].texts]
  found = aj.predict(base, adapter, texts)
  assert [one.label for one in found] == [
      task.labels[one.probabilities['yes'] >= adapter.threshold]
      for one in found]
  labels = np.array([task.labels.index(one.label) for one in found])
  assert record.metrics['test']['balanced_accuracy'] == (
      metrics.METRICS['balanced_accuracy'](splits['test'].labels, labels))
  shares = readings.probabilities(outputs.logits(base, adapter, texts))
  assert np.any(shares.argmax(-1) != labels)  # The threshold matters.


@pytest.mark.parametrize('changed, message', [
    ({'threshold': '1.5'}, '`threshold=1.5`: give a probability'),
    ({'threshold': 'test'}, "or 'dev'"),
    ({'label_smoothing': 1.0}, 'a share from 0 to below 1'),
    ({'patience': -1}, '`patience=-1`: give 0 to')])
def test_wrong_settings(changed, message):
  with pytest.raises(errors.UserError, match=message):
    config_lib.Config(**changed)


@pytest.mark.parametrize('changed, message', [
    ({'task': 'mnli', 'threshold': 0.3},
     '`threshold=0.3`: is for two classes, and the task has 3'),
    ({'task': 'stsb', 'class_weights': 'balanced'},
     '`class_weights=balanced`: is for tasks with classes'),
    ({'class_weights': 'positve:2'}, "did you mean positive")])
def test_settings_that_do_not_fit_the_task(changed, message, tmp_path):
  with pytest.raises(errors.UserError, match=message):
    run.run(config_lib.Config(workdir=str(tmp_path), **changed), 'glue')


def test_a_threshold_has_one_text():
  assert config_lib.Config(threshold=0.3).threshold == '0.3'
  assert config_lib.Config(threshold='0.30').threshold == '0.3'


def test_the_library_takes_weights_by_class(checkpoint):
  base = aj.load_base(checkpoint)
  examples = aj.Examples(['good', 'bad'] * 4, ['yes', 'no'] * 4)
  with pytest.raises(aj.UserError, match="`class_weights`: unknown 'yse'"):
    aj.train(base, examples, class_weights={'yse': 2, 'no': 1})
