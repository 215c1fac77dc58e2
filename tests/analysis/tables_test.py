"""Tests of the tables of results, and of scripts.summarize."""

import dataclasses
import os

from absl.testing import parameterized
import pytest

from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import tables
from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records
from scripts import summarize
from tests.analysis import points_test
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
    points = points_lib.points([
        record(0.5, 0.6, seed=2), record(0.3, 0.2, seed=0),
        record(0.4, 0.4, seed=1), record(0.9, learning_rate=1e-4)])
    self.assertLen(points, 2)
    rows = tables.rows(points)
    self.assertEqual(rows[0], {
        'task': 'cola', 'method': 'adapters, size 64', 'rate': '0.001',
        'epochs': '3', 'trials': '-', 'seeds': '3', 'metric': 'matthews',
        'dev': '40.0 ± 24.8',  # 4.303 * 0.1 / sqrt(3)
        'test': '40.0 ± 49.7',  # 4.303 * 0.2 / sqrt(3)
        'best on dev': '50.0 / 60.0', 'trained': '7 %', 'CPU minutes': '0.0'})
    self.assertEqual(rows[1]['dev'], '90.0')
    self.assertEqual(rows[1]['test'], '-')

  def test_trials_have_rows_of_their_own(self):
    found = [record(0.5), *(record(0.1, seed=seed, learning_rate=rate)
                            for seed in (1000, 1001) for rate in (1e-4, 1e-3))]
    self.assertEqual(
        [(row['rate'], row['seeds'], row['dev'])
         for row in tables.trial_rows(found)],
        [('0.0001', '2', '10.0 ± 0.0'), ('0.001', '2', '10.0 ± 0.0')])
    row, = tables.rows(points_lib.points(found))
    self.assertEqual((row['trials'], row['seeds'], row['dev']),
                     ('2', '1', '50.0'))

  @parameterized.parameters(
      ('batch_size', 8, 16), ('train_examples', 5, 0), ('max_steps', 3, 9),
      ('checkpoint', 'mpnet-base', 'minilm-l6'))
  def test_settings_that_name_no_method_have_a_column(self, name, *values):
    found = points_lib.points([
        record(0.5, **{name: value}) for value in values])
    self.assertEqual(
        [row[name.replace('_', ' ')] for row in tables.rows(found)],
        [str(value) for value in values])
    trial, = tables.trial_rows([record(0.5, seed=1000, batch_size=8)])
    self.assertEqual(
        list(trial),
        ['task', 'method', 'rate', 'epochs', 'seeds', 'metric', 'dev'])

  def test_intervals_and_differences(self):
    found = points_lib.points([
        points_test.predicted(right, seed, tune=tune, task='rte')
        for tune, rights in (('full', (0.8, 0.9)), ('adapters', (0.7, 0.7)))
        for seed, right in enumerate(rights)])
    full, adapters = tables.intervals(found)
    self.assertEqual(
        (full['task'], full['method'], full['score'], full['− full']),
        ('rte', 'full fine-tuning', '85.0', '-'))
    self.assertEqual(full['t'], '21.5 to 148.5')  # 12.706 * 5.
    self.assertEqual(
        (adapters['score'], adapters['t'], adapters['− full']),
        ('70.0', '70.0 to 70.0', '−15.0'))
    self.assertEqual(adapters['t of −'], '−78.5 to 48.5')
    low, high = map(
        float, adapters['bootstrap of −'].replace('−', '-').split(' to '))
    self.assertLess(low, -15)
    self.assertBetween(high, -15, 0)
    self.assertEqual(str(tables.powers(found)['rte']),
                     'no: full fine-tuning, or the head or base to compare it '
                     'with, has no records')

  def test_units(self):
    self.assertEqual(tables.unit('matthews'), "points of Matthews' correlation")
    self.assertEqual(tables.unit('exact_match'), 'points of exact match')

  def test_a_column_for_each_task_with_labels(self):
    rows = tables.by_task(points_lib.points([
        record(0.1, 0.3), record(0.2, tune='full'),
        record(0.4, task='rte', tune='full')]), 'dev')
    self.assertEqual(rows, [
        {'method': 'adapters, size 64', 'trained': '7 %',
         'cola, matthews': '10.0', 'rte, matthews': '-'},
        {'method': 'full fine-tuning', 'trained': '7 %',
         'cola, matthews': '20.0', 'rte, matthews': '40.0'}])
    rows = tables.by_task(points_lib.points([
        record(0.1, 0.3), record(0.2, task='rte')]), 'test')
    self.assertLen(rows, 1)
    self.assertEqual(rows[0]['cola, matthews'], '30.0')
    self.assertNotIn('rte, matthews', rows[0])

  def test_shares_of_tasks_with_other_heads(self):
    wide = dataclasses.replace(record(0.2, task='rte'), trained_params=9)
    row, = tables.by_task(points_lib.points([record(0.1), wide]), 'dev')
    self.assertEqual(row['trained'], '7 to 9 %')

  def test_own_files_name_the_task(self):
    values = {'train_file': 'spam.tsv@0123', 'task': 'movie_sentiment'}
    self.assertEqual(config_lib.task_of(values), 'spam')
    values['task'] = 'sms'
    self.assertEqual(config_lib.task_of(values), 'sms')

  def test_glue_mean(self):
    def make(task, **metrics):
      return grid_test.make_record(
          config_lib.Config(task=task), metrics=metrics)
    points = points_lib.points([
        make('cola', dev={'matthews': 0.6, 'accuracy': 0.99}),
        make('mrpc', dev={'f1': 0.9, 'accuracy': 0.8}),
        make('mnli', dev={'accuracy': 0.7}, dev_mismatched={'accuracy': 0.8})])
    line = tables.glue_mean(points)  # (0.6 + 0.85 + 0.75) / 3
    self.assertStartsWith(
        line, 'GLUE-style mean on dev: 73.3 over 3 of 9 tasks, without sst2')

  def test_a_metric_that_picks_does_not_count_in_the_glue_mean(self):
    made = [grid_test.make_record(
        config_lib.Config(task=task, metric='kappa'),
        metrics={'dev': {'kappa': kappa, **metrics}})
            for task, kappa, metrics in (
                ('mrpc', 0.95, {'f1': 0.8, 'accuracy': 0.7}),
                ('cola', 0.1, {'matthews': 0.5, 'accuracy': 0.9}),
                ('rte', 0.2, {'accuracy': 0.7}))]
    self.assertEqual([*map(tables.task_score, made)],
                     [0.75, 0.5, 0.7])
    default = grid_test.make_record(
        config_lib.Config(task='mrpc'),
        metrics={'dev': {'f1': 0.9, 'accuracy': 0.8}})
    own = grid_test.make_record(  # Own data of this name.
        config_lib.Config(task='mrpc'), metrics={'dev': {'accuracy': 1.0}})
    own.config['train_file'] = 'own.tsv@0123'
    for some in ([made[0], default, own], [own, default, made[0]]):
      line = tables.glue_mean(points_lib.points(some))
      self.assertStartsWith(line, 'GLUE-style mean on dev: 85.0 over 1')

  def test_glue_mean_of_other_tasks_is_nothing(self):
    points = points_lib.points([grid_test.make_record(config_lib.Config())])
    self.assertEqual(tables.glue_mean(points), '')


def test_table_goes_between_the_markers(tmp_path):
  noted = dataclasses.replace(record(0.5, 0.25), notes=[
      'trained on 4 of 9', 'the threshold 0.3 is the best one on dev'])
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
  assert '- cola: trained on 4 of 9' in text and 'threshold' not in text
  summarize.main(summarize.Config(str(tmp_path / 'records'), str(readme)))
  assert readme.read_text() == text


def test_a_table_for_each_base_or_for_one(tmp_path):
  mpnet = dataclasses.replace(
      record(0.3, checkpoint='mpnet-base', precision='float32'),
      total_params=10**9)
  found = [record(0.5), record(0.6, tune='full'), mpnet]
  both = summarize.table(found, (64,), (2,))
  first, second = both.split('With minilm-l6, on dev:')
  assert first.startswith('With mpnet-base (float32), on dev:')
  assert '| 30.0 |' in first and 'full' not in first
  assert '| 50.0 |' in second and '| 60.0 |' in second
  assert summarize.table(found, (64,), (2,), 'mpnet-base') == first.rstrip()
  assert 'no results' in summarize.table(found, (64,), (2,), 'bert')
  said = summarize.intervals(found, (64,), (2,))
  assert said.index('mpnet-base') < said.index('full fine-tuning')
  for make in (summarize.table, summarize.intervals):
    assert make([record(0.5, dropout=0.3)], (64,), (2,)).startswith('No table')
  records.write(str(tmp_path / 'a.json'), mpnet)
  with pytest.raises(errors.UserError, match='--checkpoint.*mpnet-base'):
    summarize.main(summarize.Config(str(tmp_path), checkpoint='mpnet'))


def test_no_records_and_no_markers(tmp_path):
  with pytest.raises(errors.UserError, match='no record in'):
    summarize.main(summarize.Config(str(tmp_path)))
  with pytest.raises(errors.UserError, match='lines .* are needed'):
    summarize.put('text', 'new')
