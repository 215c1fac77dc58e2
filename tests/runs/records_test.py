import dataclasses
import errno
import fcntl
import json
import math
import os
import pathlib
import re
import subprocess
import tempfile
from unittest import mock

from absl.testing import parameterized

from adapters_jax.downloads import atomic
from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records
from adapters_jax.runs import workdirs
from adapters_jax.sweeps import outcome


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
    assert outcome.record_path(
        str(COMMITTED), record.experiment, config) == str(path)


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


class WorkdirsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.config = config_lib.Config(workdir=os.path.join(folder.name, 'w'))

  def replace(self, **changed):
    return dataclasses.replace(self.config, **changed)

  def test_default_is_named_after_the_settings(self):
    here = workdirs.path_of(config_lib.Config(seed=3), 'glue')
    self.assertRegex(here, '/runs/glue/movie_sentiment/adapter-64-rate-0.001-'
                     'seed-3-[0-9a-f]{12}$')
    self.assertEqual(
        here, workdirs.path_of(config_lib.Config(seed=3, resume=True), 'glue'))
    self.assertNotEqual(
        here, workdirs.path_of(config_lib.Config(seed=4), 'glue'))

  @parameterized.parameters(
      ({'adapter_config': 'lora[r=8]|seq_bn'}, 'lora-r-8-seq_bn-rate-0.001-s'),
      ({'tune': 'top_k', 'top_k': 3}, 'top_k-3-rate-0.001-'),
      ({'adapter_config': f'lora[sites=({"query," * 20})]'}, 'lora-sites-'),
      ({'tune': 'bias', 'learning_rate': 3e-5}, 'bias-rate-3e-05-seed-0-'))
  def test_names_are_for_people_too(self, settings, start):
    name = os.path.basename(workdirs.path_of(
        config_lib.Config(**settings), 'glue'))
    self.assertRegex(name, r'^[a-z][A-Za-z0-9._-]{,90}-[0-9a-f]{12}$')
    self.assertStartsWith(name, start)

  def test_a_folder_of_an_earlier_version_stays_the_run_s(self):
    config = config_lib.Config(seed=3)
    name = identity.digest(identity.portable(config))
    old = os.path.join(self.config.workdir, name)
    self.assertNotEqual(workdirs.below(self.config.workdir, config), old)
    os.makedirs(old)
    self.assertEqual(workdirs.below(self.config.workdir, config), old)

  def begin(self, *saved):
    """Leaves a workdir with a run's settings and other files."""
    with workdirs.claimed(self.config, 'glue') as folder:
      workdirs.begin(folder, 'glue', identity.portable(self.config))
      for name in saved:
        os.makedirs(os.path.join(folder, os.path.dirname(name)), exist_ok=True)
        with open(os.path.join(folder, name), 'w'):
          pass

  def test_a_saved_state_needs_resume(self):
    self.begin('resume/4/_METADATA')
    self.assertIsNone(workdirs.finished(self.config.workdir))
    with self.assertRaisesRegex(errors.UserError, 'unfinished.*`resume`'):
      workdirs.check_free(self.config, 'glue')
    workdirs.check_free(self.replace(resume=True), 'glue')

  def test_finished_is_found(self):
    self.begin()
    with workdirs.claimed(self.config, 'glue') as folder:
      records.write(os.path.join(folder, records.RECORD), make_record())
    with workdirs.claimed(self.config, 'glue') as folder:
      self.assertEqual(workdirs.finished(folder), make_record())

  def test_other_settings_are_named(self):
    self.begin('resume/4/_METADATA')
    with self.assertRaisesRegex(
        errors.UserError, 'other settings .adapter_size 64 there, 8 here'):
      workdirs.check_free(self.replace(adapter_size=8, resume=True), 'glue')
    with self.assertRaisesRegex(errors.UserError, "experiment 'glue' there"):
      workdirs.check_free(self.replace(resume=True), 'squad')

  @parameterized.parameters(
      (), ('run.json.4242.part',), (f'.run.json.{"0f" * 16}.part',),
      ('.lock.held',))
  def test_a_start_without_a_save_leaves_the_folder_free(self, *left):
    other = self.replace(adapter_size=8)
    with workdirs.claimed(self.config, 'glue'):
      pass  # Failed before the data were read.
    workdirs.check_free(other, 'glue')
    self.begin(*left)  # Failed after.
    workdirs.check_free(other, 'glue')
    os.remove(os.path.join(self.config.workdir, 'run.json'))
    with workdirs.claimed(other, 'glue'):
      self.assertLessEqual(
          set(os.listdir(other.workdir)), {'.lock', '.lock.held'})

  @parameterized.parameters(b'{"experiment": "gl', b'', b'[1]', b'\xff\xfe{}')
  def test_damaged_settings_and_records_are_named(self, content):
    self.begin('resume/4/_METADATA', 'record.json')
    for name in ('run.json', 'record.json'):
      with open(os.path.join(self.config.workdir, name), 'wb') as file:
        file.write(content)
    with self.assertRaisesRegex(errors.UserError, 'run.json (cannot|should)'):
      workdirs.check_free(self.config, 'glue')
    with self.assertRaisesRegex(errors.UserError, 'record.json'):
      workdirs.finished(self.config.workdir)

  @parameterized.parameters('/dev/null/x', 'a\0b', 'n' * 300)
  def test_impossible_folders_are_named(self, folder):
    config = self.replace(workdir=folder)
    with self.assertRaisesRegex(errors.UserError, '`workdir`') as caught:
      with workdirs.claimed(config, 'glue'):
        pass
    self.assertNotIn('\n', str(caught.exception))

  @parameterized.parameters('ENOLCK', 'EOPNOTSUPP')
  def test_file_systems_without_flock(self, code):
    number = getattr(errno, code)
    with mock.patch.object(
        fcntl, 'flock', side_effect=OSError(number, os.strerror(number))):
      with workdirs.claimed(self.config, 'glue'):
        with self.assertRaisesRegex(errors.UserError, 'another process'):
          with workdirs.claimed(self.config, 'glue'):
            pass
      with workdirs.claimed(self.config, 'glue'):
        pass

  def test_a_folder_of_something_else(self):
    os.makedirs(self.config.workdir)
    with open(os.path.join(self.config.workdir, 'thesis.tex'), 'w'):
      pass
    with self.assertRaisesRegex(errors.UserError, 'not empty'):
      workdirs.check_free(self.config, 'glue')
    with self.assertRaisesRegex(errors.UserError, 'not a folder'):
      workdirs.check_free(self.replace(
          workdir=os.path.join(self.config.workdir, 'thesis.tex')), 'glue')

  def test_in_use(self):
    with workdirs.claimed(self.config, 'glue'):
      with self.assertRaisesRegex(errors.UserError, 'another process'):
        with workdirs.claimed(self.replace(resume=True), 'glue'):
          pass

  def test_settings_saved_before_a_flag_existed(self):
    old = identity.portable(config_lib.Config(seed=5))
    del old['norm_layers']
    self.assertEqual(
        identity.completed(old),
        identity.portable(config_lib.Config(seed=5)))
    self.assertEqual(
        identity.digest(old),
        identity.digest(identity.portable(config_lib.Config(seed=5))))
