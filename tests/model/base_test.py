"""Tests of loaded bases and their identity."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from adapters_jax import errors
from adapters_jax.adapters.formats import models
from adapters_jax.data import tokenizer_files
from adapters_jax.downloads import file_hash
from adapters_jax.downloads import hub_checkpoints
from adapters_jax.model import base as base_lib
from adapters_jax.model import pretrained
from adapters_jax.model import sentence_files
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import file_checks
from adapters_jax.runs import identity
from adapters_jax import trees
from tests import tiny
from tests import tiny_families


def test_a_base_is_its_checkpoint(checkpoint):
  base = base_lib.load(checkpoint)
  assert (base.checkpoint, base.folder) == (checkpoint, checkpoint)
  assert base.config == tiny.CONFIG
  wanted = trees.flatten(pretrained.load_base(checkpoint))
  found = trees.flatten(base.params)
  assert list(found) == list(wanted) and 'pooler/kernel' in found
  for path, leaf in wanted.items():
    np.testing.assert_array_equal(found[path], leaf, path)
  assert base.total_params == sum(leaf.size for leaf in wanted.values())
  assert 'Array' not in repr(base)


def test_identity_is_that_of_records(checkpoint, tmp_path):
  config = dataclasses.replace(config_lib.Config(), checkpoint=checkpoint)
  name = base_lib.identity(checkpoint)
  assert name == identity.portable(config)['checkpoint']
  assert base_lib.identity('minilm-l6') == 'minilm-l6'
  moved = shutil.copytree(checkpoint, tmp_path / 'moved')
  assert base_lib.identity(str(moved)) == f'moved@{name.split("@")[1]}'
  assert base_lib.same(base_lib.identity(str(moved)), name)
  tiny.write_checkpoint(str(moved), seed=1)  # The content changes.
  assert not base_lib.same(base_lib.identity(str(moved)), name)


def test_a_folder_called_like_an_embedded_checkpoint(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'minilm-l6').mkdir()
  (tmp_path / 'minilm-l6' / 'vocab.txt').write_text('other')
  assert base_lib.identity('minilm-l6') == 'minilm-l6'
  assert base_lib.file_hashes('minilm-l6') == {}
  config = config_lib.Config(checkpoint='minilm-l6')
  file_checks.check(config)
  assert identity.portable(config)['checkpoint'] == 'minilm-l6'
  assert models.hub_name('minilm-l6').endswith('/all-MiniLM-L6-v2')
  assert pretrained.config_of('minilm-l6').dim == 384
  with pytest.raises(errors.UserError, match='config.json'):  # By its path.
    pretrained.config_of('./minilm-l6')
  assert base_lib.file_hashes('./minilm-l6').keys() == {'vocab.txt'}


def test_all_files_that_change_results_have_hashes(tmp_path):
  for name in tokenizer_files.FILES:
    (tmp_path / name).write_text('{}')
  assert base_lib.file_hashes(str(tmp_path)).keys() == {*tokenizer_files.FILES}
  before = base_lib.file_hashes(str(tmp_path))
  # As sentence-transformers writes them, then with the encoder in a folder.
  sentence_files.write(
      str(tmp_path), sentence_files.Pooling(mode='cls', max_length=9), 12, 40)
  inside = ['modules.json', 'config_sentence_transformers.json',
            'sentence_bert_config.json', '1_Pooling/config.json']
  found = base_lib.file_hashes(str(tmp_path))
  assert {*found} - {*before} == {*inside}
  sentence_files.write(
      str(tmp_path), sentence_files.Pooling(mode='max', max_length=9), 12, 40)
  assert file_hash.changed(
      found, base_lib.file_hashes(str(tmp_path))) == ['1_Pooling/config.json']
  path = tmp_path / 'modules.json'
  path.write_text(path.read_text().replace(
      '"path": ""', '"path": "0_Transformer"'))
  (tmp_path / '0_Transformer').mkdir()
  for name in ('vocab.txt', 'sentence_roberta_config.json'):
    (tmp_path / '0_Transformer' / name).write_text('a')
  assert {*base_lib.file_hashes(str(tmp_path))} - {*found} == {
      '0_Transformer/vocab.txt', '0_Transformer/sentence_roberta_config.json'}
  path.write_text('{}')
  with pytest.raises(errors.UserError, match='`checkpoint`: .*no list of mod'):
    base_lib.file_hashes(str(tmp_path))


@pytest.mark.parametrize('name', ('acme/mpnet-base', 'org/minilm-l6-v2'))
def test_a_repository_called_like_an_embedded_checkpoint(
    name, checkpoint, monkeypatch):
  monkeypatch.setattr(hub_checkpoints, 'config', lambda asked: os.path.join(
      checkpoint, {name: 'config.json'}[asked]))
  assert pretrained.config_of(name) == tiny.CONFIG


def test_a_checkpoint_without_a_pooler(checkpoint, tmp_path):
  folder = shutil.copytree(checkpoint, tmp_path / 'bare')
  path = os.path.join(folder, 'model.safetensors')
  tensors = safetensors_numpy.load_file(path)
  safetensors_numpy.save_file(
      {name: leaf for name, leaf in tensors.items() if 'pooler' not in name},
      path)
  assert 'pooler' not in base_lib.load(str(folder)).params


@pytest.mark.parametrize('case, prefix', (
    ('bert', 'bert.'), ('deberta', 'deberta.'), ('deberta', '')))
def test_a_pooler_of_the_head_is_none_of_the_encoder(case, prefix, tmp_path):
  folder = str(tmp_path)
  if case == 'bert':
    tiny.write_checkpoint(folder)
  else:
    tiny_families.write_checkpoint(case, folder)
  path = os.path.join(folder, 'model.safetensors')
  tensors = {prefix + name: leaf for name, leaf in safetensors_numpy.load_file(
      path).items() if not name.startswith('pooler')}
  head = np.zeros((12, 12), np.float32)
  safetensors_numpy.save_file(
      {**tensors, 'pooler.dense.weight': head, 'classifier.weight': head}, path)
  assert base_lib.load(folder).params.keys() == {'embeddings', 'encoder'}


def test_a_checkpoint_in_shards(checkpoint, tmp_path):
  tensors = safetensors_numpy.load_file(
      os.path.join(checkpoint, 'model.safetensors'))
  names = sorted(tensors)
  shards = {'a.safetensors': names[:9], 'b.safetensors': names[9:]}
  folder = tmp_path / 'shards'
  shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns('model.*'))
  for shard, inside in shards.items():
    safetensors_numpy.save_file(
        {name: tensors[name] for name in inside}, folder / shard)
  (folder / 'model.safetensors.index.json').write_text(json.dumps({
      'weight_map': {name: shard for shard, inside in shards.items()
                     for name in inside}}))
  found, wanted = base_lib.load(str(folder)), base_lib.load(checkpoint)
  assert trees.flatten(found.params).keys() == trees.flatten(
      wanted.params).keys()
  for path, leaf in trees.flatten(found.params).items():
    np.testing.assert_array_equal(leaf, trees.flatten(wanted.params)[path])
  assert not base_lib.same(found.identity, wanted.identity)


def test_bfloat16_casts_the_parameters(checkpoint):
  base = base_lib.load(checkpoint, 'bfloat16')
  assert {leaf.dtype.name for leaf in trees.flatten(base.params).values()} == {
      'bfloat16'}


@pytest.mark.parametrize('arguments, message', [
    (('minilm-l',), 'minilm-l6'), (('minilm-l6', 'float16'), '`precision`'),
    (('empty',), 'config.json')])
def test_what_cannot_be_loaded(arguments, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  os.mkdir('empty')
  with pytest.raises(errors.UserError, match=message):
    base_lib.load(*arguments)


def test_a_base_of_a_relative_path_stays_in_its_folder(
    checkpoint, tmp_path, monkeypatch):
  parent, name = os.path.split(checkpoint)
  monkeypatch.chdir(parent)
  base = base_lib.load(name)
  whole = base_lib.load(checkpoint)
  # Another base of that name lies where the process goes.
  tiny.write_checkpoint(str(tmp_path / name), seed=1)
  monkeypatch.chdir(tmp_path)
  assert (base.checkpoint, base.folder) == (checkpoint, checkpoint)
  assert base.identity == whole.identity == base_lib.identity(base.checkpoint)
  assert base_lib.file_hashes(base.checkpoint) == base_lib.file_hashes(
      checkpoint)
