"""Tests of the settings of data folders."""

import dataclasses

import pytest

from adapters_jax import errors
from adapters_jax.api import expand
from adapters_jax.runs import config as config_lib


@pytest.fixture
def names(tmp_path):
  """Paths of two folders, of the names a and b."""
  for name in 'ab':
    (tmp_path / name).mkdir()
    for split in ('train', 'dev'):
      (tmp_path / name / f'{split}.tsv').write_text('sentence\tlabel\nx\ty\n')
  return [str(tmp_path / name) for name in 'ab']


def tasks_of(names, config):
  found = expand.folders(config, expand.Folders(','.join(names)))
  return [one.task_name for one in found]


def test_names_of_tasks(names):
  config = config_lib.Config()
  assert tasks_of(names, config) == ['a', 'b']
  named = dataclasses.replace(config, task='own')
  assert tasks_of(names[:1], named) == ['own']
  assert tasks_of(names[:1], dataclasses.replace(config, task='')) == ['a']
  one, = expand.folders(named, expand.Folders(names[0]))
  assert one.files == {
      split: f'{names[0]}/{split}.tsv' for split in ('train', 'dev')}
  with pytest.raises(errors.UserError, match='`task=own`: .* there are 2'):
    tasks_of(names, named)


@pytest.mark.parametrize('files, named', [
    ({'train_file': 'x.tsv', 'dev_file': 'y.tsv', 'test_file': 'z.tsv'},
     '`train_file`, `dev_file`, `test_file`'),
    ({'train_file': 'x.tsv', 'dev_fraction': 0.5}, '`train_file`')])
def test_files_beside_a_folder_are_refused(names, files, named):
  with pytest.raises(errors.UserError, match=f'^{named}: `folder` has'):
    tasks_of(names, config_lib.Config(**files))
