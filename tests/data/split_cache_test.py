"""Tests of kept splits: no entry of other data, damage costs a read."""

import os
import types

import numpy as np
import pytest

from adapters_jax.data import prepared
from adapters_jax.data import split_cache
from adapters_jax.data import tasks

_SPLITS = {'train': [[['a', 'b']], [1], True]}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> str:
  # Of the splits alone: datasets and downloads are those of the user.
  monkeypatch.setattr(split_cache, 'pinned', types.SimpleNamespace(
      cache_dir=lambda: str(tmp_path / 'cache')))
  return str(tmp_path / 'cache' / 'splits')


@pytest.fixture
def dataset(tmp_path) -> str:
  folder = tmp_path / 'glue' / '1.0.0'
  folder.mkdir(parents=True)
  (folder / 'train.array_record').write_bytes(b'rows')
  return str(folder)


def test_an_entry_serves_one_dataset_and_description(dataset, cache):
  calls = []

  def cached(described):
    return split_cache.cached(
        dataset, described, lambda: calls.append(described) or _SPLITS)

  assert cached('x') == cached('x') == _SPLITS
  assert calls == ['x']
  cached('y')
  with open(os.path.join(dataset, 'train.array_record'), 'wb') as file:
    file.write(b'other rows')
  cached('y')
  assert calls == ['x', 'y', 'y']
  path = os.path.join(dataset, 'test.array_record')
  os.rename(os.path.join(dataset, 'train.array_record'), path)
  cached('y')  # Of another split.
  os.rename(path, os.path.join(dataset, 'train.array_record'))
  cached('y')
  assert calls == ['x', 'y', 'y', 'y']
  for name in os.listdir(cache):
    with open(os.path.join(cache, name), 'r+b') as file:
      file.seek(-9, os.SEEK_END)
      file.write(b'?')
  assert cached('y') == _SPLITS
  assert calls == ['x', 'y', 'y', 'y', 'y']


def test_kept_splits_equal_those_of_the_dataset(monkeypatch):
  task = tasks.find('amazon_sentiment')
  first = tasks.load(task)
  monkeypatch.setattr(prepared, 'read_split', None)  # Never called.
  second = tasks.load(task)
  assert list(first) == list(second) == ['train', 'dev', 'test']
  for name, split in first.items():
    assert split.texts == second[name].texts
    assert split.labelled == second[name].labelled
    np.testing.assert_array_equal(split.labels, second[name].labels)
    assert split.labels.dtype == second[name].labels.dtype
