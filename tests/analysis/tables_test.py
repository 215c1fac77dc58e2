"""Tests of adapters_jax.summaries and scripts.summarize."""

import dataclasses
import os

from absl.testing import parameterized
import pytest

from adapters_jax.analysis import tables
from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records
from scripts import summarize
from tests.sweeps import grid_test

CONFIG = config_lib.Config(task='cola')


def record(dev, test=None, seed=0, **changed):
  config = dataclasses.replace(CONFIG, seed=seed, **changed)
  metrics = {'dev': {'matthews': dev, 'accuracy': 0.1}}
  if test is not None:
    metrics['test'] = {'matthews': test}
  return grid_test.make_record(config, metrics=metrics, seconds=90.0)


class SummariesTest(parameterized.TestCase):

  def test_seeds_of_one_setting_are_one_row(self):
    points = tables.points([
        record(0.5, 0.6, seed=2), record(0.3, 0.2, seed=0),
        record(0.4, 0.4, seed=1), record(0.9, learning_rate=1e-4)])
    self.assertLen(points, 2)
    rows = tables.rows(points)
    self.assertEqual(rows[0], {
        'task': 'cola', 'method': 'adapters, size 64', 'rate': '0.001',
        'epochs': '3', 'seeds': '3', 'metric': 'matthews',
        'dev': '40.0 ± 5.8',  # 0.1 / sqrt(3)
        'test': '40.0 ± 11.5',  # 0.2 / sqrt(3)
        'best on dev': '50.0 / 60.0', 'trained': '7 %', 'CPU minutes': '0.0'})
    self.assertEqual(rows[1]['dev'], '90.0')
    self.assertEqual(rows[1]['test'], '-')

  def test_a_seed_counts_once(self):
    points = tables.points([record(0.5), record(0.5)])
    self.assertLen(points[0].records, 1)

  def test_picked_has_the_most_seeds_then_the_best_dev(self):
    points = tables.points([
        record(0.4, learning_rate=1e-4), record(0.5, learning_rate=3e-4),
        record(0.3, seed=0), record(0.5, seed=1),
        record(0.2, tune='full', learning_rate=1e-4),
        record(0.7, tune='full', learning_rate=3e-4)])
    rates = {p.method: p.settings['learning_rate']
             for p in tables.picked(points)}
    self.assertEqual(
        rates, {'adapters, size 64': 1e-3, 'full fine-tuning': 3e-4})

  def test_headline_has_the_default_settings_on_the_most_examples(self):
    points = tables.points([
        record(0.1), record(0.2, train_examples=9), record(0.3, adapter_size=4),
        record(0.4, tune='top_k', top_k=2), record(0.5, tune='top_k', top_k=3),
        record(0.6, init_scale=1.0), record(0.7, learning_rate=1e-4),
        record(0.8, task='rte', train_examples=9),
        record(0.9, task='rte', train_examples=5)])
    kept = tables.headline(points, sizes=[64], top_k=[2])
    self.assertEqual([p.dev for p in kept], [0.1, 0.4, 0.7, 0.8])

  def test_a_column_for_each_task_with_labels(self):
    rows = tables.by_task(tables.points([
        record(0.1, 0.3), record(0.2, tune='full'),
        record(0.4, task='rte', tune='full')]), 'dev')
    self.assertEqual(rows, [
        {'method': 'adapters, size 64', 'trained': '7 %',
         'cola, matthews': '10.0', 'rte, matthews': '-'},
        {'method': 'full fine-tuning', 'trained': '7 %',
         'cola, matthews': '20.0', 'rte, matthews': '40.0'}])
    rows = tables.by_task(tables.points([
        record(0.1, 0.3), record(0.2, task='rte')]), 'test')
    self.assertLen(rows, 1)
    self.assertEqual(rows[0]['cola, matthews'], '30.0')
    self.assertNotIn('rte, matthews', rows[0])

  @parameterized.parameters(
      ({'tune': 'top_k', 'top_k': 2}, 'top 2 layers'),
      ({'tune_norms': False}, 'adapters, size 64, tune_norms=False'),
      ({'tune': 'head', 'head_input': 'pooler'},
       'head alone, head_input=pooler'))
  def test_methods_are_named(self, changed, wanted):
    point = tables.points([record(0.5, **changed)])[0]
    self.assertEqual(point.method, wanted)

  def test_own_files_name_the_task(self):
    values = {'train_file': 'spam.tsv@0123', 'task': 'movie_sentiment'}
    self.assertEqual(config_lib.task_of(values), 'spam')
    values['task'] = 'sms'
    self.assertEqual(config_lib.task_of(values), 'sms')

  def test_glue_mean(self):
    def make(task, **metrics):
      return grid_test.make_record(
          config_lib.Config(task=task), metrics=metrics)
    points = tables.points([
        make('cola', dev={'matthews': 0.6, 'accuracy': 0.99}),
        make('mrpc', dev={'f1': 0.9, 'accuracy': 0.8}),
        make('mnli', dev={'accuracy': 0.7}, dev_mismatched={'accuracy': 0.8})])
    line = tables.glue_mean(points)  # (0.6 + 0.85 + 0.75) / 3
    self.assertStartsWith(
        line, 'GLUE-style mean on dev: 73.3 over 3 of 9 tasks, without sst2')

  def test_glue_mean_of_other_tasks_is_nothing(self):
    points = tables.points([grid_test.make_record(config_lib.Config())])
    self.assertEqual(tables.glue_mean(points), '')


def test_table_goes_between_the_markers(tmp_path):
  noted = dataclasses.replace(record(0.5, 0.25), notes=['trained on 4 of 9'])
  records.write(os.path.join(tmp_path, 'records', 'a.json'), noted)
  readme = tmp_path / 'README.md'
  readme.write_text(f'before\n{summarize.BEGIN}\nold\n{summarize.END}\nafter\n')
  summarize.main(summarize.Config(str(tmp_path / 'records'), str(readme)))
  text = readme.read_text()
  assert text.startswith('before\n') and text.endswith('after\n')
  assert 'old' not in text
  assert 'method | trained | cola, matthews |' in text
  assert text.count('| adapters, size 64 | 7 % |') == 2
  assert '7 % | 50.0 |' in text and '7 % | 25.0 |' in text
  assert '- cola: trained on 4 of 9' in text
  summarize.main(summarize.Config(str(tmp_path / 'records'), str(readme)))
  assert readme.read_text() == text


def test_no_records_and_no_markers(tmp_path):
  with pytest.raises(errors.UserError, match='no record in'):
    summarize.main(summarize.Config(str(tmp_path)))
  with pytest.raises(errors.UserError, match='lines .* are needed'):
    summarize.put('text', 'new')
