"""Tests of whole checkpoints against a hub on this machine's loopback."""

import json
import os
import shutil
import time

import huggingface_hub
import jax
import numpy as np
import pytest

from adapters_jax.data import tokenization
from adapters_jax.downloads import hub
from adapters_jax import errors
from adapters_jax.model import base
from adapters_jax.model import pretrained
from tests import tiny
from tests.downloads import hub_test

local_hub = hub_test.local_hub


def leave(server):
  """Ends the network."""
  server.shutdown()
  server.server_close()
  hub.forget()


@pytest.mark.parametrize('files, wanted', [
    (('tokenizer.json', 'vocab.txt', 'vocab.json', 'tokenizer_config.json'),
     {'tokenizer.json', 'tokenizer_config.json'}),
    (('vocab.json', 'merges.txt', 'special_tokens_map.json', 'spm.model'),
     {'vocab.json', 'merges.txt', 'special_tokens_map.json'})])
def test_files_of_the_tokenizer(local_hub, files, wanted):
  where = hub_test._Hub.folders['tiny-bert']
  os.remove(os.path.join(where, 'vocab.txt'))
  for name in files:
    with open(os.path.join(where, name), 'w') as file:
      file.write('{}')
  folder = pretrained.resolve('tiny-bert')
  assert {*os.listdir(folder)} == {
      'config.json', 'model.safetensors', *wanted}


def test_shards_load(local_hub):
  found = pretrained.load_base(pretrained.resolve('sharded'))
  wanted = pretrained.load_base(pretrained.resolve('tiny-bert'))
  jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_torch_files_are_last(local_hub):
  with open(os.path.join(
      hub_test._Hub.folders['some/one'], 'pytorch_model.bin'), 'w') as file:
    file.write('not tensors')
  folder = pretrained.resolve('some/one')
  with pytest.raises(errors.UserError, match='pytorch_model.bin cannot be'):
    pretrained.load_base(folder)


@pytest.mark.parametrize('outer', [None, {'__version__': '0.4.0'}])
def test_encoder_of_sentence_transformers(local_hub, outer, tmp_path):
  where = str(tmp_path / 'sentences')
  shutil.copytree(hub_test._Hub.folders['tiny-bert'], f'{where}/0_Transformer')
  os.mkdir(f'{where}/1_Pooling')
  for name, value in (
      ('modules.json', [{'path': '0_Transformer'}, {'path': '1_Pooling'}]),
      ('config.json', outer)):
    if value is not None:
      with open(os.path.join(where, name), 'w') as file:
        json.dump(value, file)
  hub_test._Hub.folders['sentences'] = where
  assert pretrained.config_of('sentences') == tiny.CONFIG
  folder = pretrained.resolve('sentences')
  assert folder.split(os.sep)[-2:] == [hub_test.COMMIT, '0_Transformer']
  found = pretrained.load_base(folder)
  wanted = pretrained.load_base(pretrained.resolve('tiny-bert'))
  jax.tree.map(np.testing.assert_array_equal, found, wanted)
  assert tokenization.load(folder).token_to_id('good') == 5


def test_a_repository_without_safetensors(local_hub):
  with pytest.raises(errors.UserError, match='some/one has no model.safe'):
    pretrained.resolve('some/one')


@pytest.mark.parametrize('path, status', [
    ('config.json', 503), ('tokenizer_config.json', 503),
    ('tokenizer.json', 500), ('model.safetensors', 429),
    ('modules.json', 503)])
def test_a_file_that_the_hub_fails_to_give(
    local_hub, monkeypatch, path, status):
  """It may exist, so neither defaults nor another format take its place."""
  monkeypatch.setattr(time, 'sleep', lambda _: None)  # Of the retries.
  monkeypatch.setattr(hub_test._Hub, 'failing', {path: status})
  with pytest.raises(
      errors.UserError,
      match=f'{path} of tiny-bert could not be .*{status}.*run again'):
    pretrained.resolve('tiny-bert')
  monkeypatch.setattr(hub_test._Hub, 'failing', {})
  wanted = pretrained.resolve('tiny-bert')
  assert 'pytorch_model.bin' not in os.listdir(wanted)
  # Later failures do not matter: the cache has the files, and remembers which
  # ones are absent.
  monkeypatch.setattr(hub_test._Hub, 'failing', {path: status})
  hub.forget()
  assert pretrained.resolve('tiny-bert') == wanted


@pytest.mark.parametrize('kept', [False, True])
def test_settings_of_the_tokenizer_that_no_one_has_cached(
    local_hub, caplog, kept):
  for name in ('config.json', 'model.safetensors', 'vocab.txt'):
    huggingface_hub.hf_hub_download('tiny-bert', name)
  if kept:  # A mark of absence.
    with pytest.raises(huggingface_hub.errors.EntryNotFoundError):
      huggingface_hub.hf_hub_download(
          'tiny-bert', 'tokenizer_config.json', revision=hub_test.COMMIT)
  leave(local_hub)
  for _ in range(2):
    pretrained.resolve('tiny-bert')
  warnings = [one.getMessage() for one in caplog.records
              if one.levelname == 'WARNING']
  assert len(warnings) == (not kept)
  assert all('tiny-bert: tokenizer_config.json is not in' in line
             and 'load_base once with a network' in line for line in warnings)


def test_a_tokenizer_that_no_one_has_cached(local_hub):
  for name in ('config.json', 'model.safetensors'):
    huggingface_hub.hf_hub_download('tiny-bert', name)
  leave(local_hub)
  with pytest.raises(
      errors.UserError, match='hub cannot be reached for its tokenizer.json'):
    pretrained.resolve('tiny-bert')
  assert base.identity('tiny-bert').startswith('tiny-bert#')


@pytest.mark.parametrize('inner, name, advice', [
    ('', 'tiny', r"hf download tiny --local-dir DIR`.*_pretrained\('DIR'\)"),
    ('', f'tiny@{hub_test.COMMIT}',
     f'hf download tiny --revision {hub_test.COMMIT} --local-dir DIR`'),
    ('0_Transformer', 'tiny', r"_pretrained\('DIR/0_Transformer'\)")])
@pytest.mark.parametrize('model', ['spm.model', 'sentencepiece.bpe.model'])
def test_sentencepiece_is_refused_before_the_weights(
    local_hub, tmp_path, inner, name, advice, model):
  where = tmp_path / 'tiny' / inner
  shutil.copytree(hub_test._Hub.folders['tiny-bert'], where)
  (where / 'vocab.txt').rename(where / model)
  (tmp_path / 'tiny' / 'modules.json').write_text(
      json.dumps([{'path': inner}]))
  hub_test._Hub.folders['tiny'] = str(tmp_path / 'tiny')
  with pytest.raises(
      errors.UserError,
      match=f'`checkpoint`: {name} has its tokenizer in {model}.*{advice}.*'
      'give DIR as `checkpoint`'):
    base.load(name)
  assert not any('model.safetensors' in path for path in hub_test._Hub.asked)
  # What reads no text needs no tokenizer: files of adapters are converted.
  assert base.identity(name).startswith(f'{name}#')
  folder = pretrained.resolve(name, tokenizer=False)
  assert {model, 'model.safetensors'} <= {*os.listdir(folder)}


def test_no_tokenizer_is_refused_before_the_weights(local_hub):
  os.remove(os.path.join(hub_test._Hub.folders['tiny-bert'], 'vocab.txt'))
  with pytest.raises(
      errors.UserError, match='tiny-bert has neither tokenizer.json nor .*'
      'put one of them into DIR, and give DIR'):
    pretrained.resolve('tiny-bert')
  assert 'model.safetensors' not in hub_test._Hub.asked
