"""Tests of adapters_jax.data.raw_glue and of the tasks read after it."""

import contextlib
import io
import os
import shutil
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import pytest
import tensorflow_datasets as tfds

from adapters_jax.data import glue_layouts
from adapters_jax.data import prepared
from adapters_jax.data import raw_glue as raw_glue_lib
from adapters_jax.data import tasks
from adapters_jax.downloads import pinned
from adapters_jax import errors
from tests.data import raw_glue


def prepare_all(raw, data_dir):
  """Returns (tasks prepared, what was said)."""
  said = []
  with contextlib.redirect_stdout(io.StringIO()):
    done = raw_glue_lib.prepare_all(str(raw), str(data_dir), said.append)
  return done, said


class LocalGlueTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = tempfile.mkdtemp()
    cls.addClassCleanup(shutil.rmtree, cls.folder)
    cls.raw = raw_glue.write(cls.folder + '/raw')
    cls.data_dir = cls.folder + '/data'
    cls.done, cls.said = prepare_all(cls.raw, cls.data_dir)

  def test_a_look_for_a_dataset_prepares_none(self):
    self.assertTrue(prepared.is_prepared('glue/rte', self.data_dir))
    with mock.patch.dict(os.environ, HOME=self.folder):
      self.assertTrue(prepared.is_prepared('glue/rte', '~/data'))
    with tempfile.TemporaryDirectory() as folder:
      self.assertFalse(prepared.is_prepared('glue/rte', folder))
      os.makedirs(f'{folder}/glue/rte')  # As of a start that failed.
      self.assertFalse(prepared.is_prepared('glue/rte', folder))
      self.assertEmpty(os.listdir(f'{folder}/glue/rte'))

  @parameterized.parameters(
      ('cola', [0, 1, 0, 1], [0, 1, 0]),
      ('sst2', [0, 1, 0, 1], [0, 1, 0]),
      ('qqp', [0, 1, 0, 1], [0, 1, 0]),
      ('stsb', [2.5, 0.0, 5.0, 2.5], [2.5, 0.0, 5.0]),
      ('mnli', [1, 1, 1, 1], [1, 1, 1]),
      ('qnli', [0, 1, 0, 1], [0, 1, 0]),
      ('rte', [0, 1, 0, 1], [0, 1, 0]),
      ('wnli', [0, 1, 0, 1], [0, 1, 0]))
  def test_normal_path_reads_it(self, name, train, dev):
    task = tasks.find(name)
    splits = tasks.load(task, self.data_dir)
    np.testing.assert_array_equal(splits['train'].labels, train)
    np.testing.assert_array_equal(splits['dev'].labels, dev)
    np.testing.assert_array_equal(splits['test'].labels, [-1, -1])
    self.assertTrue(np.all(splits['test'].labels == -1))
    self.assertIn(raw_glue.QUOTE, splits['train'].texts[0][0])
    self.assertLen(splits['train'].texts[0], len(task.texts))

  def test_order_is_that_of_the_file(self):
    texts = tasks.load(tasks.find('wnli'), self.data_dir)['train'].texts
    self.assertEqual([first.split()[-2] for first, _ in texts], list('0123'))

  def test_mnli_has_both_dev_and_test_splits(self):
    splits = tasks.load(tasks.find('mnli'), self.data_dir)
    self.assertEqual(
        {name: len(split) for name, split in splits.items()},
        {'train': 4, 'dev': 3, 'test': 2, 'dev_mismatched': 2,
         'test_mismatched': 3})

  def test_mrpc_with_ids(self):
    task = tasks.find('mrpc')
    splits = tasks.load(task, self.data_dir)
    self.assertEqual([b for _, b in splits['dev'].texts],
                     ['second 1', 'second 4'])
    self.assertLen(splits['train'], 9)
    np.testing.assert_array_equal(splits['test'].labels, [-1] * 3)
    self.assertEmpty(tasks.notes(task, self.data_dir))

  def test_a_plain_tfds_builder_reads_it(self):
    builder = tfds.builder(
        'glue/rte', data_dir=self.data_dir, file_format='array_record')
    rows = list(builder.as_data_source('validation'))
    self.assertLen(rows, 3)
    self.assertEqual(builder.info.features['label'].names,
                     ['entailment', 'not_entailment'])

  def test_says_what_it_wrote(self):
    self.assertEqual(self.done, list(glue_layouts.FOLDERS))
    self.assertIn('cola: train 4', self.said)
    self.assertIn('mnli: test_mismatched 3', self.said)

  def test_second_time_nothing_is_written(self):
    _, said = prepare_all(self.raw, self.data_dir)
    self.assertLen([s for s in said if 'already' in s], 9)

  def test_absent_folders_and_splits(self):
    raw, data_dir = self.folder + '/some', self.folder + '/some_data'
    shutil.copytree(self.raw + '/RTE', raw + '/RTE')
    os.remove(raw + '/RTE/test.tsv')
    done, said = prepare_all(raw, data_dir)
    self.assertEqual(done, ['rte'])
    self.assertIn('rte: no test split, test.tsv is absent or empty', said)
    self.assertLen([s for s in said if 'skipped' in s], 8)
    self.assertEqual(
        sorted(tasks.load(tasks.find('rte'), data_dir)), ['dev', 'train'])

  def test_no_folder_at_all(self):
    os.makedirs(self.folder + '/none', exist_ok=True)
    with self.assertRaisesRegex(errors.UserError, '`raw`: .*none of the fold'):
      prepare_all(self.folder + '/none', self.folder + '/none_data')

  def test_incomplete_rows_are_counted(self):
    raw = self.folder + '/cut'
    shutil.copytree(self.raw + '/QQP', raw + '/QQP')
    with open(raw + '/QQP/train.tsv', 'a', encoding='utf-8') as file:
      file.write('4\tonly one question\n')
    _, said = prepare_all(raw, self.folder + '/cut_data')
    self.assertIn('qqp: train 4, 1 incomplete rows dropped', said)

  def test_another_layout_is_named(self):
    raw = self.folder + '/other'
    raw_glue._write(raw + '/RTE', 'train.tsv', [('a', 'b'), ('x', 'y')])
    with self.assertRaisesRegex(errors.UserError, 'RTE: not in GLUE'):
      prepare_all(raw, self.folder + '/other_data')


class MrpcAndStsbTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = self.enter_context(tempfile.TemporaryDirectory())

  def test_mrpc_without_ids_is_split_by_hash(self):
    folder = self.folder
    raw_glue.write_mrpc(folder + '/raw', ids=False)
    prepare_all(folder + '/raw', folder + '/data')
    task = tasks.find('mrpc')
    splits = tasks.load(task, folder + '/data')
    self.assertLen(splits['dev'], 2)  # A fifth of 11.
    self.assertLen(splits['train'], 9)
    self.assertFalse(set(splits['dev'].texts) & set(splits['train'].texts))
    self.assertRegex(tasks.notes(task, folder + '/data')[0], '2 training pairs')

  def test_hash_split_of_the_real_size(self):
    ids = [(str(n), str(2 * n)) for n in range(4076)]
    dev = glue_layouts.hash_split(ids)
    self.assertLen(dev, 408)
    self.assertEqual(dev, glue_layouts.hash_split(ids[::-1]))

  def test_ids_of_other_data_are_refused(self):
    folder = self.folder
    raw_glue.write_mrpc(folder + '/raw', ids=False)
    raw_glue._write(folder + '/raw/MRPC', 'dev_ids.tsv', [(1, 2)])
    with self.assertRaisesRegex(errors.UserError, 'dev_ids.tsv: 0 of the 11'):
      prepare_all(folder + '/raw', folder + '/data')

  def test_stsb_from_its_own_files(self):
    folder = self.folder
    raw_glue.write_stsb(folder + '/raw', own=True)
    prepare_all(folder + '/raw', folder + '/data')
    task = tasks.find('stsb')
    splits = tasks.load(task, folder + '/data')
    np.testing.assert_allclose(splits['train'].labels, [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_allclose(splits['test'].labels, [0.5, 1.5])
    self.assertEqual(
        splits['dev'].texts[1], (f'{raw_glue.QUOTE} dev 1', 'second'))
    self.assertRegex(tasks.notes(task, folder + '/data')[0], 'withholds')


def test_absent_data_without_a_network_is_one_message(tmp_path, monkeypatch):
  monkeypatch.setattr(pinned, 'status', lambda url: 403)
  with pytest.raises(errors.UserError, match='once with a network, or make it '
                     r'from raw files with `python -m scripts.prepare_glue '
                     r'--raw=DIR --data_dir=DIR` in a clone'):
    tasks.load(tasks.find('mrpc'), str(tmp_path))


def test_a_closed_port_gives_no_status():
  assert pinned.status('http://127.0.0.1:9/file') == 0


def test_data_in_another_format_is_refused(tmp_path):
  raw_glue.write_mrpc(str(tmp_path / 'raw'), ids=True)
  prepare_all(tmp_path / 'raw', tmp_path / 'data')
  info = tmp_path / 'data' / 'glue' / 'mrpc' / '2.0.0' / 'dataset_info.json'
  info.write_text(info.read_text().replace('array_record', 'tfrecord'))
  with pytest.raises(errors.UserError, match='not stored as array_record'):
    tasks.load(tasks.find('mrpc'), str(tmp_path / 'data'))


def test_damaged_data_are_one_line_with_the_folder(tmp_path):
  raw_glue.write_mrpc(str(tmp_path / 'raw'), ids=True)
  prepare_all(tmp_path / 'raw', tmp_path / 'data')
  folder = tmp_path / 'data' / 'glue' / 'mrpc' / '2.0.0'
  # The shard is read before the description of the data is damaged too.
  for name in ('glue-train.array_record-00000-of-00001', 'dataset_info.json'):
    os.truncate(folder / name, 300)
    with pytest.raises(errors.UserError, match='`data_dir`: the dataset in '
                       f'{folder.parent}.* is damaged .*delete') as found:
      tasks.load(tasks.find('mrpc'), str(tmp_path / 'data'))
    assert '\n' not in str(found.value)


def test_raw_files_of_another_encoding_name_the_line(tmp_path):
  raw_glue.write_stsb(str(tmp_path), own=False)
  with open(tmp_path / 'STS-B' / 'train.tsv', 'ab') as file:
    file.write(b'4\tcaf\xe9\tx\t1.0\n')
  with pytest.raises(errors.UserError, match='train.tsv, line 6: byte 0xe9'):
    prepare_all(tmp_path, tmp_path / 'data')


def test_only_unknown_labels_are_unlabelled(tmp_path):
  raw_glue.write_stsb(str(tmp_path / 'raw'), own=False)
  prepare_all(tmp_path / 'raw', tmp_path / 'data')
  splits = tasks.load(tasks.find('stsb'), str(tmp_path / 'data'))
  assert {name: split.labelled for name, split in splits.items()} == {
      'train': True, 'dev': True, 'test': False}


def test_data_prepared_while_waiting_for_the_lock(tmp_path, monkeypatch):
  raw_glue.write_stsb(str(tmp_path / 'raw'), own=False)
  locked = pinned.locked

  @contextlib.contextmanager
  def slow_lock(path):
    monkeypatch.setattr(pinned, 'locked', locked)
    prepare_all(tmp_path / 'raw', tmp_path / 'data')  # Another process.
    with locked(path):
      yield

  monkeypatch.setattr(pinned, 'locked', slow_lock)
  splits = tasks.load(tasks.find('stsb'), str(tmp_path / 'data'))
  assert {name: len(split) for name, split in splits.items()} == {
      'train': 4, 'dev': 3, 'test': 2}


def test_prepared_data_are_read_without_a_lock(tmp_path, monkeypatch):
  raw_glue.write_stsb(str(tmp_path / 'raw'), own=False)
  prepare_all(tmp_path / 'raw', tmp_path / 'data')
  monkeypatch.delattr(pinned, 'locked')  # The folder may be read-only.
  assert tasks.load(tasks.find('stsb'), str(tmp_path / 'data'))
