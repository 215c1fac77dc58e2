"""Tests of weights in all layouts of a Hugging Face folder."""

import hashlib
import json
import os
import pathlib
import shutil

import ml_dtypes
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from adapters_jax import errors
from adapters_jax.model import tensor_files
from adapters_jax.model import torch_files

FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'torch'
SHARDS = {
    'model-00001-of-00002.safetensors': {
        'a': np.arange(3, dtype=np.float32), 'b': np.ones((2, 3), np.float16)},
    'model-00002-of-00002.safetensors': {
        'c': np.array([1.5], ml_dtypes.bfloat16)}}
INDEX = 'model.safetensors.index.json'


def write_index(folder, **changed) -> None:
  index = {name: shard for shard, tensors in SHARDS.items()
           for name in tensors}
  (folder / INDEX).write_text(json.dumps({
      'metadata': {'total_size': 26}, 'weight_map': {**index, **changed}}))


@pytest.fixture
def sharded(tmp_path):
  for name, tensors in SHARDS.items():
    safetensors_numpy.save_file(tensors, str(tmp_path / name))
  write_index(tmp_path)
  return tmp_path


def test_shards(sharded):
  found = tensor_files.read_folder(str(sharded))
  wanted = {k: v for tensors in SHARDS.values() for k, v in tensors.items()}
  names = tensor_files.folder_names(str(sharded))
  assert set(found) == set(wanted) == set(names)
  for name, value in wanted.items():
    assert found[name].dtype == value.dtype
    np.testing.assert_array_equal(found[name], value)
  assert set(tensor_files.read_folder(str(sharded), 'c'.__eq__)) == {'c'}


@pytest.mark.parametrize('value, message', [
    ('[]', 'JSON object'), ('{', 'cannot be read'), ('{}', 'weight_map'),
    ('{"weight_map": {}}', 'weight_map'), ('[' * 100000, 'nested too deeply'),
    ('\xff', 'cannot be read'),
])
def test_a_damaged_index(value, message, sharded):
  (sharded / INDEX).write_bytes(value.encode('latin-1'))
  with pytest.raises(errors.UserError, match=f'{INDEX}.*{message}'):
    tensor_files.read_folder(str(sharded))


@pytest.mark.parametrize('shard', [
    '../secret.safetensors', '/etc/secret.safetensors', 'x/y.safetensors',
    'x.bin', '..', '', 3, None])
def test_shards_lie_in_the_folder(shard, sharded):
  write_index(sharded, a=shard)
  with pytest.raises(errors.UserError, match=f'{INDEX}.*in its folder'):
    tensor_files.read_folder(str(sharded))


def test_shards_of_other_saves(sharded):
  first, second = (sharded / name for name in SHARDS)
  write_index(sharded, a=second.name)
  for call in (tensor_files.read_folder, tensor_files.folder_names):
    with pytest.raises(errors.UserError, match=f'{first.name} also has a,'):
      call(str(sharded))
  write_index(sharded, d=second.name)
  with pytest.raises(errors.UserError, match=f'{second.name} lacks d,'):
    tensor_files.read_folder(str(sharded))
  os.remove(second)
  with pytest.raises(errors.UserError, match=f'{second.name}.*missing'):
    tensor_files.read_folder(str(sharded))


def test_the_order_of_the_formats(sharded):
  shutil.copy(FIXTURES / 'zip.bin', sharded / 'pytorch_model.bin')
  assert tensor_files.find_weights(str(sharded)).path.endswith(INDEX)
  safetensors_numpy.save_file(
      {'single': np.ones(2)}, str(sharded / 'model.safetensors'))
  assert tensor_files.folder_names(str(sharded)) == ['single']


def test_shards_of_torch(tmp_path):
  for name in ('zip', 'plain'):
    shutil.copy(FIXTURES / f'{name}.bin', tmp_path)
  names = torch_files.tensor_names(str(FIXTURES / 'zip.bin'))
  index = tmp_path / 'pytorch_model.bin.index.json'
  index.write_text(json.dumps({'weight_map': dict.fromkeys(names, 'zip.bin')}))
  assert list(tensor_files.read_folder(str(tmp_path))) == names


def test_names_of_tied_weights(tmp_path):
  safetensors_numpy.save_file(
      {'words': np.arange(2.)}, str(tmp_path / 'model.safetensors'),
      metadata={'format': 'pt', 'decoder': 'words'})
  found = tensor_files.read_folder(str(tmp_path))
  assert list(found) == tensor_files.folder_names(str(tmp_path)) == [
      'words', 'decoder']
  np.testing.assert_array_equal(found['decoder'], np.arange(2.))


@pytest.mark.parametrize('content, message', [
    (b'', 'cannot be read'), (b'not tensors', 'cannot be read'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n',
     'git lfs pull')])
@pytest.mark.parametrize('name', ['model.safetensors', 'pytorch_model.bin'])
def test_damaged_files(name, content, message, tmp_path):
  (tmp_path / name).write_bytes(content)
  for call in (tensor_files.read_folder, tensor_files.folder_names):
    with pytest.raises(errors.UserError, match=f'{name}.*{message}') as found:
      call(str(tmp_path))
    assert '\n' not in str(found.value)


def test_a_folder_of_other_formats(tmp_path):
  with pytest.raises(errors.UserError, match='has no model.safetensors and no '
                     'pytorch_model.bin, in shards or not$'):
    tensor_files.read_folder(str(tmp_path))
  for name in ('tf_model.h5', 'flax_model.msgpack', 'config.json'):
    (tmp_path / name).write_bytes(b'')
  with pytest.raises(errors.UserError, match='but flax_model.msgpack, '
                     'tf_model.h5, which.*save_pretrained'):
    tensor_files.folder_digest(str(tmp_path))


def test_digests(sharded):
  single = sharded / 'model.safetensors'
  of_shards = tensor_files.folder_digest(str(sharded))
  assert len(of_shards) == 16
  first, _ = (sharded / name for name in SHARDS)
  safetensors_numpy.save_file(
      {**SHARDS[first.name], 'a': np.zeros(3, np.float32)}, str(first))
  assert tensor_files.folder_digest(str(sharded)) != of_shards
  single.write_bytes(b'any content')
  # Saved adapters know their base by it.
  assert tensor_files.folder_digest(str(sharded)) == hashlib.sha256(
      b'any content').hexdigest()[:16]


@pytest.mark.parametrize('modules, inner', [
    ([{'path': ''}, {'path': '1_Pooling'}], ''),
    ([{'path': '0_Transformer'}], '0_Transformer')])
def test_folders_of_sentence_transformers(modules, inner, tmp_path):
  (tmp_path / 'modules.json').write_text(json.dumps(modules))
  assert tensor_files.model_folder(str(tmp_path)) == str(
      tmp_path / inner if inner else tmp_path)


@pytest.mark.parametrize('modules', [
    '{}', '[]', '[1]', '[{}]', '[{"path": 1}]', '[{"path": "../x"}]',
    '[{"path": "/x"}]'])
def test_damaged_folders_of_sentence_transformers(modules, tmp_path):
  (tmp_path / 'modules.json').write_text(modules)
  with pytest.raises(errors.UserError, match='modules.json'):
    tensor_files.model_folder(str(tmp_path))


@pytest.mark.parametrize('dtype', [
    np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_floats_become_float32(dtype):
  found = tensor_files.as_float32('x', np.array([1.5, -2], dtype))
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, [1.5, -2])


def test_integers_are_no_weights():
  with pytest.raises(errors.UserError, match='^x has the type int8.*quantized'):
    tensor_files.as_float32('x', np.ones(2, np.int8))
