"""Tests of model.sentence_files on a hub on this machine's loopback."""

import dataclasses
import os

import huggingface_hub
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax.adapters import embedding_settings
from adapters_jax.downloads import hub
from adapters_jax.model import pooling as pooling_lib
from adapters_jax.model import sentence_files
from tests import tiny
from tests.adapters import bank_test
from tests.downloads import hub_test

local_hub = hub_test.local_hub
SETTINGS = pooling_lib.Pooling('cls', False, 5, 'the ', True)


@pytest.fixture
def folder(local_hub, tmp_path, monkeypatch):
  """Folder of 'me/sentences' on the hub, a CLS model."""
  where = tiny.write_checkpoint(str(tmp_path / 'sentences'))
  sentence_files.write(where, SETTINGS, 12, 40)
  monkeypatch.setitem(hub_test._Hub.folders, 'me/sentences', where)
  return where


def _cut_off(server):
  """Ends the network, and the memory of this process."""
  server.shutdown()
  server.server_close()
  hub.forget()


def test_a_base_brings_the_settings_of_its_embeddings(local_hub, folder):
  """As on a node without a network, after one with it."""
  base = aj.load_base('me/sentences')
  aj.load_base('tiny-bert')
  _cut_off(local_hub)
  assert sentence_files.of_checkpoint('me/sentences') == SETTINGS
  # It has no modules, which the cache remembers.
  assert sentence_files.of_checkpoint('tiny-bert') == pooling_lib.Pooling()
  np.testing.assert_array_equal(
      aj.encode(base, ['good film']),
      aj.encode(aj.load_base(folder), ['good film']))


def test_a_cache_of_another_program_does_not_tell_the_pooling(
    local_hub, folder):
  for name in ('config.json', 'model.safetensors', 'vocab.txt'):
    huggingface_hub.hf_hub_download('me/sentences', name)
  _cut_off(local_hub)
  base = aj.load_base('me/sentences')
  with pytest.raises(aj.UserError, match='how me/sentences makes.*`pooling`'):
    aj.encode(base, ['good film'])
  np.testing.assert_allclose(
      aj.encode(base, ['good film'], pooling='cls', normalize=False),
      aj.encode(aj.load_base(folder), ['good film'], prompt=''), atol=1e-6)
  trained = dataclasses.replace(
      bank_test.make(), head_input='embedding_max', max_length=9)
  assert embedding_settings.pooling_of(
      'me/sentences', trained) == pooling_lib.Pooling('max', max_length=9)
  with pytest.raises(aj.UserError, match='once with a network'):
    embedding_settings.pooling_of('me/sentences', bank_test.make())


def test_a_whole_repository_of_another_program(local_hub, folder):
  for name in ('modules.json', '1_Pooling/config.json',
               'config_sentence_transformers.json'):
    huggingface_hub.hf_hub_download('me/sentences', name)
  _cut_off(local_hub)
  # The longest input and the case of letters are unknown.
  with pytest.raises(aj.UserError, match='once with a network'):
    sentence_files.of_checkpoint('me/sentences')
  found = sentence_files.of_checkpoint('me/sentences', known=True)
  assert found == pooling_lib.Pooling('cls', False, 0, 'the ')
  hub.forget()
  os.remove(os.path.join(os.path.dirname(
      hub.file('me/sentences', 'modules.json')), '1_Pooling', 'config.json'))
  hub.forget()
  assert not embedding_settings.pooling_of(
      'me/sentences', None, mode='max').normalize


def test_a_damaged_list_of_modules_is_for_embeddings_alone(local_hub, folder):
  with open(os.path.join(folder, 'modules.json'), 'w') as file:
    file.write('[3]')
  base = aj.load_base('me/sentences')
  with pytest.raises(aj.UserError, match='no list of modules'):
    aj.encode(base, ['good'])


def test_encode_asks_the_hub_once(local_hub):
  base = aj.load_base('tiny-bert')
  assert hub_test._Hub.asked.count('modules.json') == 1
  bank = {name: bank_test.make(seed=seed) for seed, name in enumerate('abc')}
  aj.encode(base, ['good'])
  hub_test._Hub.asked.clear()
  aj.encode(base, ['good'])
  aj.encode(base, ['good'], bank)
  aj.encode(base, ['good'], bank, adapters=['a'])
  assert not hub_test._Hub.asked
