"""Tests of workdirs: their names, claims, states and faults."""

import dataclasses
import errno
import fcntl
import os
import tempfile
from unittest import mock

from absl.testing import parameterized

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records
from adapters_jax.runs import workdirs
from tests.runs import records_test


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

  @parameterized.parameters('owner/name', 'owner/name/run', './owner/name')
  def test_no_workdir_becomes_a_base_of_the_hub(self, workdir):
    self.addCleanup(os.chdir, os.getcwd())
    os.chdir(os.path.dirname(self.config.workdir))
    config = self.replace(workdir=workdir, checkpoint='owner/name')
    with self.assertRaisesRegex(
        errors.UserError,
        '^`workdir`: .* would make .*/owner/name, and `checkpoint=owner/name` '
        'would name this folder; give another'):
      workdirs.check_free(config, 'glue')
    # Names of other folders, and embedded bases, which win over folders.
    for other in ({'workdir': 'owner/name2'}, {'workdir': 'owner'},
                  {'workdir': 'minilm-l6', 'checkpoint': 'minilm-l6'}):
      workdirs.check_free(dataclasses.replace(config, **other), 'glue')

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
      records.write(
          os.path.join(folder, records.RECORD), records_test.make_record())
    with workdirs.claimed(self.config, 'glue') as folder:
      self.assertEqual(workdirs.finished(folder), records_test.make_record())

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

  def test_a_kill_during_the_first_save_leaves_the_folder_free(self):
    self.begin('resume/4.orbax-checkpoint-tmp-17/progress')
    workdirs.check_free(self.config, 'glue')
    workdirs.check_free(self.replace(adapter_size=8), 'glue')
    self.begin('resume/4/_METADATA')
    with self.assertRaisesRegex(errors.UserError, 'other settings'):
      workdirs.check_free(self.replace(adapter_size=8), 'glue')

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
