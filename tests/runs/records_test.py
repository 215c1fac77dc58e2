import dataclasses
import json
import math
import os
import pathlib
import re
import subprocess
import tempfile

from absl.testing import parameterized

from adapters_jax.downloads import atomic
from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records
from adapters_jax.sweeps import store


def make_record(dev=0.5, **config):
  return records.Record(
      experiment='glue',
      config={**identity.portable(config_lib.Config()), **config},
      metrics={'dev': {'accuracy': dev, 'f1': 0.1}}, trained_params=3,
      total_params=7, roles={'head': 3}, seconds=1.5, cpu_seconds=2.5, steps=9,
      best_step=6, padded_tokens=20, real_tokens=15,
      history=[{'step': 6, 'loss': 0.1, 'dev': {'accuracy': dev}}], notes=[],
      device='1 x cpu', versions={'jax': '0'}, commit='abc')


COMMITTED = pathlib.Path(__file__).parents[2] / 'experiments' / 'results'


def test_committed_records_are_found_by_their_settings():
  paths = sorted((COMMITTED / 'glue').glob('*/*.json'))
  assert len(paths) > 50
  for path in paths:  # A sweep that does not find one trains it again.
    record = records.read(str(path))
    if record.config.get('adapters'):  # By their hashes; the folders are gone.
      assert path.stem == identity.digest(record.config)
      continue
    config = identity.of_portable(record.config)
    assert store.Store(
        record.experiment, str(COMMITTED)).path_of(config) == str(path)


class ResultsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = folder.name

  def test_round_trip_and_store(self):
    a, b = make_record(0.5, seed=1), make_record(0.7, seed=2)
    records.write(os.path.join(self.folder, 'x', 'a.json'), a)
    records.write(os.path.join(self.folder, 'x', 'b.json'), b)
    atomic.write_json(os.path.join(self.folder, 'other.json'), {'not': 'one'})
    found = list(records.read_all(self.folder))
    self.assertEqual(found, [a, b])
    self.assertEqual(records.best(found), b)
    self.assertLen(os.listdir(os.path.join(self.folder, 'x')), 2)
    with self.assertRaisesRegex(ValueError, 'other.json is not a record'):
      records.read(os.path.join(self.folder, 'other.json'))

  @parameterized.parameters(
      (lambda v: v.pop('seconds'), 'no seconds'),
      (lambda v: v.update(novelty=1), 'unknown novelty'),
      (lambda v: v.update(trained_params='3'), "trained_params is '3'"),
      (lambda v: v.update(steps=True), 'steps is True'),
      (lambda v: v.update(notes='x' * 99), 'notes is .x{39}[.]{3}'),
      (lambda v: v.update(history=[1]), 'history is .1.'),
      (lambda v: v.update(metrics={}), 'no score on dev'),
      (lambda v: v.update(metrics=[]), 'metrics is'),
      (lambda v: v['metrics'].update(dev={}), 'no score on dev'),
      (lambda v: v['metrics'].update(test={}), 'a split without a score'),
      (lambda v: v['metrics'].update(test={'f1': None}), 'metrics is'),
      (lambda v: v['metrics']['dev'].update(f1=float('nan')), 'metrics is'),
      (lambda v: v['config'].pop('seed'), 'no seed in config'),
      (lambda v: v['config'].update(seed='1'), "config: seed is '1'"),
      (lambda v: v['config'].update(learning_rate=[]), 'config: learning_rate'),
      (lambda v: v['config'].update(clip_norm=math.nan), 'config: clip_norm'),
      (lambda v: v.update(config=3), 'config is 3'),
      (lambda v: v.update(data={'dev': {'examples': 3}}), 'no hash in data'))
  def test_damaged_records_are_named_and_left_out(self, change, message):
    good, bad = (os.path.join(self.folder, name) for name in ('a.json',
                                                              'b.json'))
    records.write(good, make_record())
    with open(good) as file:
      values = json.load(file)
    del values['sha256']  # As of an earlier version.
    atomic.write_json(bad, values)
    self.assertEqual(records.read(bad), make_record())
    change(values)
    atomic.write_json(bad, values)
    with self.assertRaisesRegex(
        errors.UserError, f'^{bad} is not a record .{message}'):
      records.read(bad)
    with self.assertLogs('adapters_jax.runs.records', 'WARNING') as logs:
      found = list(records.read_all(self.folder))
    self.assertEqual(found, [make_record()])
    self.assertLen(logs.output, 1)
    self.assertRegex(logs.output[0], f'left out: {bad}.*{message}')

  def test_files_that_are_no_json_are_named(self):
    for name, content in (('cut', b'{"config": {'), ('deep', b'[' * 100000),
                          ('binary', b'\xff')):
      with open(os.path.join(self.folder, f'{name}.json'), 'wb') as file:
        file.write(content)
    for name, value in (('list', [1]), ('other', {'config': {}})):
      atomic.write_json(os.path.join(self.folder, f'{name}.json'), value)
    with self.assertLogs('adapters_jax.runs.records', 'WARNING') as logs:
      self.assertEmpty(list(records.read_all(self.folder)))
    self.assertEqual(
        [re.search(r'(\w+)\.json', line)[1] for line in logs.output],
        ['binary', 'cut', 'deep'])

  def test_whole_numbers_may_stand_for_others(self):
    path = os.path.join(self.folder, 'a.json')
    record = make_record(1, learning_rate=1)
    records.write(path, record)
    self.assertEqual(records.read(path), record)

  def test_the_first_metric_stays_first_on_disk(self):
    record = dataclasses.replace(
        make_record(), metrics={'dev': {'spearman': 0.5, 'pearson': 0.9}})
    path = os.path.join(self.folder, 'record.json')
    records.write(path, record)
    self.assertEqual(records.primary(records.read(path)), 0.5)

  def test_a_changed_digit_is_damage_and_an_absent_hash_is_none(self):
    path = os.path.join(self.folder, 'record.json')
    records.write(path, make_record(0.5))
    with open(path, encoding='utf-8') as file:
      text = file.read()
    with open(path, 'w', encoding='utf-8') as file:
      file.write(text.replace('0.5', '0.7'))
    with self.assertRaisesRegex(ValueError, 'not a record .it has changed'):
      records.read(path)
    values = json.loads(text)
    del values['sha256']  # As of an earlier version.
    with open(path, 'w', encoding='utf-8') as file:
      json.dump(values, file)
    self.assertEqual(records.read(path), make_record(0.5))

  def test_mean_and_standard_error(self):
    mean, sem = records.mean_sem([1.0, 2.0, 3.0])
    self.assertAlmostEqual(mean, 2.0)
    self.assertAlmostEqual(sem, 1 / math.sqrt(3))
    self.assertTrue(math.isnan(records.mean_sem([1.0])[1]))

  def test_commit(self):
    def git(*arguments):
      subprocess.run(
          ['git', '-c', 'user.name=a', '-c', 'user.email=b@c', '-C',
           self.folder, *arguments], check=True, capture_output=True)
    path = os.path.join(self.folder, 'file')
    self.assertEqual(records.commit_of(path), '')
    for text in ('one', 'two'):
      with open(path, 'w') as file:
        file.write(text)
      if text == 'one':
        git('init')
        git('add', 'file')
        git('commit', '-m', 'm')
        self.assertRegex(records.commit_of(path), '^[0-9a-f]{12}$')
    self.assertRegex(records.commit_of(path), r'^[0-9a-f]{12}\+$')
    # As of a package that is installed within another project.
    installed = os.path.join(self.folder, 'records.py')
    with open(installed, 'w'):
      pass
    self.assertEqual(records.commit_of(installed), '')

  def test_settings_saved_before_a_flag_existed(self):
    old = identity.portable(config_lib.Config(seed=5))
    del old['norm_layers']
    self.assertEqual(
        identity.completed(old),
        identity.portable(config_lib.Config(seed=5)))
    self.assertEqual(
        identity.digest(old),
        identity.digest(identity.portable(config_lib.Config(seed=5))))
