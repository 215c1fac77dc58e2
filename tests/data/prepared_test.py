"""Faults of builders, and datasets that cannot be prepared."""

import os
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from adapters_jax import errors
from adapters_jax.data import prepared
from tests.data import toy_set


@pytest.fixture(autouse=True)
def registered(monkeypatch):
  monkeypatch.setitem(prepared._BUILDERS, 'toy_set', toy_set.__name__)
  monkeypatch.setitem(prepared._BUILDERS, 'toy_data', toy_set.__name__)


def test_without_a_network_a_new_dataset_is_one_line_at_once(tmp_path):
  start = time.monotonic()
  with pytest.raises(errors.UserError, match=f'^toy_set/far is not in '
                     f'{tmp_path} and {toy_set.URL} cannot be reached; run '
                     'once with a network, or give a `data_dir` that has it$'):
    prepared.dataset('toy_set/far', str(tmp_path))
  assert time.monotonic() - start < 60  # TFDS itself retries for 200 s.
  assert not prepared.is_prepared('toy_set/far', str(tmp_path))


@pytest.mark.parametrize('source, message', [
    ('toy', 'module of its builder is not known; name it in _BUILDERS'),
    ('toy_data', 'toy_set has no builder toy_data; .* my_set after MySet'),
    ('toy_set/neer', "unknown 'neer'; did you mean near"),
    ('vader_sentiment/films', "unknown 'films'; it is one of movie")])
def test_a_wrong_source_is_one_line(source, message, tmp_path):
  with pytest.raises(
      errors.UserError, match=f'^`source={source}`: .*{message}'):
    prepared.dataset(source, str(tmp_path))
  assert not os.listdir(tmp_path)


def test_a_fault_in_the_code_of_a_builder_keeps_its_traceback(tmp_path):
  with pytest.raises(KeyError, match='a fault of the code'):
    prepared.dataset('toy_set/faulty', str(tmp_path))


def test_a_file_that_a_builder_lacks_is_one_line(tmp_path, monkeypatch):
  monkeypatch.setattr(
      toy_set.ToySet, '_split_generators', lambda *_: open('absent.csv'))
  with pytest.raises(errors.UserError, match='toy_set/near is not in .* and '
                     "preparing it failed: FileNotFoundError: .*absent.csv"):
    prepared.dataset('toy_set/near', str(tmp_path))


def test_data_from_before_a_change_of_the_builder_are_named(
    tmp_path, monkeypatch):
  prepared.dataset('toy_set/near', str(tmp_path))
  monkeypatch.setattr(
      toy_set.ToySet, '_info', lambda self: tfds.core.DatasetInfo(
          builder=self, features=tfds.features.FeaturesDict(
              {'text': tfds.features.Text(), 'more': np.int32})))
  builder = prepared.dataset('toy_set/near', str(tmp_path))
  with pytest.raises(errors.UserError, match=r'damaged or from other code \('
                     r'.*without more\); delete the folder and prepare it'):
    prepared.read_split(builder, 'train')


def test_prepared_data_hide_no_fault_in_the_code(tmp_path, monkeypatch):
  prepared.dataset('toy_set/near', str(tmp_path))
  monkeypatch.setattr(toy_set.ToySet, '_info', lambda self: self.absent)
  with pytest.raises(RuntimeError, match='AttributeError: .*absent'):
    prepared.dataset('toy_set/near', str(tmp_path))
