"""Settings that a run would ignore, and faults at the edges of its data."""

import dataclasses

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import tasks
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import log as log_lib
from adapters_jax.runs import options
from adapters_jax.runs import presets
from adapters_jax.runs import run
from adapters_jax.runs.kinds import classification
from adapters_jax.runs.kinds import embeddings
from adapters_jax.runs.kinds import language_modeling
from adapters_jax.runs.kinds import question_answering
from adapters_jax.runs.kinds import tagging
from tests import tiny

KINDS = {
    kind: (kind.KIND, defaults) for kind, defaults in (
        (classification, {}), (embeddings, presets.EMBEDDINGS),
        (language_modeling, presets.LANGUAGE_MODELING),
        (question_answering, presets.SQUAD), (tagging, {}))}
CHANGED = {
    'pooling': 'max', 'pair_loss': 'cosine', 'similarity_scale': 3.0,
    'matryoshka_dims': '8', 'negative_column': 'bad', 'mask_rate': 0.5,
    'whole_words': False, 'dev_fraction': 0.5, 'test_fraction': 0.25,
    'text_columns': 'a', 'label_column': 'b', 'label_separator': ';',
    'choice_columns': 'c,d', 'file_task': 'regression'}


def test_every_setting_of_some_tasks_is_changed_here():
  assert CHANGED.keys() == {
      name for mark in ('embeddings', 'texts', 'files')
      for name in options.marked(config_lib.Config, mark)}


@pytest.mark.parametrize('kind', KINDS, ids=lambda one: one.__name__[24:])
def test_settings_of_other_tasks_are_refused(kind):
  found, defaults = KINDS[kind]
  plain = config_lib.Config(**{'task': 'cola', **defaults})
  found.check_settings(plain)
  reads = {name for mark in found.reads
           for name in options.marked(config_lib.Config, mark)}
  of_kinds = {name for mark in ('embeddings', 'texts')
              for name in options.marked(config_lib.Config, mark)}
  for name, value in CHANGED.items():
    if name in ('choice_columns', 'label_separator', 'test_fraction'):
      continue  # Refused with these settings as such.
    changed = dataclasses.replace(plain, **{name: value})
    if name in of_kinds - reads:
      with pytest.raises(errors.UserError, match=f'`{name}=.*: is for '):
        found.check_settings(changed, in_memory=True)
      continue
    found.check_settings(changed, in_memory=True)
    if name in options.marked(config_lib.Config, 'files'):
      with pytest.raises(errors.UserError, match='own data; give `train_file`'):
        found.check_settings(changed)
    found.check_settings(dataclasses.replace(
        changed, train_file='a.tsv', dev_file='b.tsv', dev_fraction=0.0))


@pytest.mark.parametrize('changed, tune', [
    ({'tune': 'full', 'adapter_config': 'lora'}, 'adapters'),
    ({'tune': 'norms', 'adapter_config': 'lroa'}, 'adapters'),
    ({'top_k': 2}, 'top_k'), ({'tune': 'head', 'top_k': 2}, 'top_k')])
@pytest.mark.parametrize('kind', KINDS, ids=lambda one: one.__name__[24:])
def test_settings_that_tune_does_not_read_are_refused(kind, changed, tune):
  found, defaults = KINDS[kind]
  config = config_lib.Config(**{'task': 'cola', **defaults, **changed})
  name = [*changed][-1]
  with pytest.raises(errors.UserError, match=(
      f'^`{name}={changed[name]}`: is read by `tune={tune}` alone')):
    found.check_settings(config, in_memory=True)
  # Another point of a grid reads it.
  reads = dataclasses.replace(config, tune=tune)
  found.check_settings(reads, in_memory=True)
  found.check_tuned([config, reads])
  # The default of a kind was not given.
  found.check_settings(config_lib.Config(**{
      'task': 'cola', **defaults, 'tune': 'full'}), in_memory=True)


def test_a_run_refuses_them(tmp_path):
  for changed in ({'dev_fraction': 0.5}, {'pooling': 'max'}):
    with pytest.raises(errors.UserError, match='is for'):
      run.run(config_lib.Config(
          task='cola', workdir=str(tmp_path), **changed), 'glue')
  with pytest.raises(errors.UserError, match='`mask_rate=0.5`: is for masked'):
    run.train(config_lib.Config(task='cola', mask_rate=0.5))
  with pytest.raises(errors.UserError, match='`top_k=2`: is read by'):
    run.train(config_lib.Config(task='cola', top_k=2))


def test_the_folder_of_a_file_is_not_its_name(tmp_path):
  digests = []
  for folder in ('me@corp', 'other'):
    (tmp_path / folder).mkdir()
    files = tiny.write_data(str(tmp_path / folder))
    config = config_lib.Config(**files)
    assert config.task_name == 'train'
    values = identity.portable(config)
    assert config_lib.task_of(values) == 'train'
    digests.append(identity.digest(values))
  assert digests[0] == digests[1]


def test_a_perplexity_is_finite():
  def outputs(loss):
    row = np.array([[-loss, -loss]], np.float32)
    yield np.array([0]), (row, row < 0, np.ones((1, 2), bool))

  found, _ = language_modeling.summary(outputs(2.0), 1)
  assert found['perplexity'] == pytest.approx(np.exp(2))
  found, _ = language_modeling.summary(outputs(900.0), 1)
  assert np.isfinite(found['perplexity']) and found['perplexity'] > 1e300


def test_texts_without_a_piece_are_named(checkpoint):
  config = tiny.run_config(
      checkpoint, {}, '', task='texts', file_task='text', buckets=0)
  with pytest.raises(errors.UserError, match='dev: no text has a piece'):
    language_modeling.prepare(
        config, data={'train': ['good film'] * 8, 'dev': ['\u200b\u200b']})


@pytest.mark.parametrize('predictions, labels, wanted', [
    ([0, 0, 0], [0, 1, 0], 'no'), ([1, 1], [1, 1], None), ([1], [0], None),
    ([0, 1], [0, 1], None), ([[1, 0]] * 2, [[1, 0], [0, 1]], 'no'),
    ([[1, 0]] * 2, [[1, 0]] * 2, None)])
def test_equal_predictions_of_unlike_examples_are_a_collapse(
    predictions, labels, wanted):
  task = tasks.Task('films', '', ('text',), ('no', 'yes'), ('accuracy',))
  found = log_lib.collapsed_to(
      task, np.array(predictions), np.array(labels))
  assert found == wanted
