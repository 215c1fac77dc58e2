"""Tests of the files of the hub in the cache, without a network."""

import os

import huggingface_hub
import pytest

from adapters_jax import errors
from adapters_jax.downloads import hub
from adapters_jax.downloads import hub_cache
from adapters_jax.model import pretrained
from tests import tiny
from tests.downloads import hub_test

local_hub = hub_test.local_hub


def test_cached_files_do_without_the_hub(local_hub):
  folder = pretrained.resolve('tiny-bert')
  local_hub.shutdown()
  local_hub.server_close()
  hub.forget()
  assert pretrained.config_of('tiny-bert') == tiny.CONFIG
  # The repository has no tokenizer.json, which the cache remembers.
  assert pretrained.resolve('tiny-bert') == folder


def test_cache_of_another_program_needs_no_hub(local_hub):
  for name in ('config.json', 'model.safetensors', 'vocab.txt'):
    huggingface_hub.hf_hub_download('tiny-bert', name)
  local_hub.shutdown()
  local_hub.server_close()
  folder = pretrained.resolve('tiny-bert')
  assert {*os.listdir(folder)} == {
      'config.json', 'model.safetensors', 'vocab.txt'}
  with pytest.raises(errors.UserError, match='minilm-l6, mpnet-base.*reached'):
    pretrained.resolve('some/one')


def test_a_look_into_the_cache_downloads_nothing(local_hub):
  assert not hub_cache.folder('tiny-bert')
  folder = pretrained.resolve('tiny-bert')
  local_hub.shutdown()
  local_hub.server_close()
  assert hub_cache.folder('tiny-bert') == folder
  assert hub_cache.folder(f'tiny-bert@{hub_test.COMMIT}') == folder
  assert not hub_cache.folder('tiny-bert@other')


def test_cache_without_weights_and_no_hub(local_hub):
  pretrained.config_of('tiny-bert')
  local_hub.shutdown()
  local_hub.server_close()
  hub.forget()
  with pytest.raises(errors.UserError, match='cannot be reached'):
    pretrained.resolve('tiny-bert')


def test_without_a_network(local_hub):
  local_hub.shutdown()
  local_hub.server_close()
  with pytest.raises(errors.UserError, match='cannot be reached'):
    pretrained.config_of('tiny-bert')
