"""Tests of datasets on the hub, against one on this machine's loopback."""

import time

import pytest

from adapters_jax import errors
from adapters_jax.downloads import hub_data
from adapters_jax.downloads import network
from tests.downloads import hub_test

local_hub = hub_test.local_hub
ONE = 'hf://datasets/me/films'


@pytest.fixture
def films(tmp_path, local_hub):  # pylint: disable=redefined-outer-name
  for name, text in (('new', 'text\tlabel\nnew\tyes\n'), ('old', 'text\n')):
    (tmp_path / name / 'data').mkdir(parents=True)
    (tmp_path / name / 'data' / 'train.tsv').write_text(text)
  hub_test._Hub.folders |= {
      'datasets/me/films': str(tmp_path / 'new'),
      'datasets/me/films@v1': str(tmp_path / 'old')}
  return local_hub


def read(path):
  with open(hub_data.local(path, 'train_file')) as file:
    return file.read()


def test_files_of_a_dataset(films):
  assert read(f'{ONE}/data/train.tsv') == 'text\tlabel\nnew\tyes\n'
  assert read(f'{ONE}@v1/data/train.tsv') == 'text\n'
  assert hub_data.local('data/train.tsv', 'train_file') == 'data/train.tsv'


def test_a_cached_file_needs_no_network(films, monkeypatch):
  first = hub_data.local(f'{ONE}/data/train.tsv', 'train_file')
  monkeypatch.setattr(network, 'reachable', lambda: False)
  assert hub_data.local(f'{ONE}/data/train.tsv', 'train_file') == first
  with pytest.raises(errors.UserError, match='hub cannot be reached'):
    hub_data.local(f'{ONE}/data/dev.tsv', 'dev_file')


@pytest.mark.parametrize('path, message', [
    (f'{ONE}/data/absent.tsv', '`dev_file=.*absent.tsv`: the dataset has no'),
    (f'{ONE}@v9/data/train.tsv', "no branch, tag or commit 'v9'"),
    ('hf://datasets/me/none/a.tsv', 'has no such dataset'),
    (ONE, 'give hf://datasets/OWNER/NAME/FILE'),
    (f'{ONE}@/a.tsv', 'give hf://datasets/OWNER/NAME/FILE')])
def test_errors_name_the_setting(films, path, message):
  with pytest.raises(errors.UserError, match=message):
    hub_data.local(path, 'dev_file')


def test_the_branch_of_the_hubs_own_parquet(monkeypatch):
  asked = []
  monkeypatch.setattr(hub_data, '_found', lambda *found: asked.append(found))
  hub_data.local(f'{ONE}@~parquet/default/train/0000.parquet', 'train_file')
  hub_data.local(f'{ONE}@refs%2Fpr%2F1/a.tsv', 'train_file')
  assert [one[:3] for one in asked] == [
      ('me/films', 'default/train/0000.parquet', 'refs/convert/parquet'),
      ('me/films', 'a.tsv', 'refs/pr/1')]


def test_a_file_that_the_hub_fails_to_give(films, monkeypatch):
  monkeypatch.setattr(time, 'sleep', lambda _: None)  # Of the retries.
  monkeypatch.setattr(hub_test._Hub, 'failing', {'data/train.tsv': 503})
  with pytest.raises(
      errors.UserError, match='`train_file=.*could not be .*503.*run again'):
    hub_data.local(f'{ONE}/data/train.tsv', 'train_file')
