"""Folders that transformers writes, in every layout, load as its own state."""

import os

import numpy as np
import pytest

from adapters_jax.model import pretrained
from adapters_jax.model import tensor_files
from adapters_jax import trees

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

pytestmark = pytest.mark.interop

SIZES = dict(
    vocab_size=17, hidden_size=12, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=20, max_position_embeddings=40)


def model(kind: str):
  torch.manual_seed(0)
  config = transformers.AutoConfig.for_model(kind, **SIZES)
  return transformers.AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize('kind', ['bert', 'roberta'])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('options, file', [
    ({}, 'model.safetensors'),
    ({'max_shard_size': '5KB'}, 'model.safetensors.index.json'),
    ({'safe_serialization': False}, 'pytorch_model.bin'),
    ({'safe_serialization': False, 'max_shard_size': '5KB'},
     'pytorch_model.bin.index.json')])
def test_saved_by_transformers(kind, dtype, options, file, tmp_path):
  made = model(kind).to(getattr(torch, dtype))
  made.save_pretrained(tmp_path, **options)
  assert os.path.basename(tensor_files.find_weights(str(tmp_path)).path) == file
  found = trees.flatten(pretrained.load_base(
      str(tmp_path), pooler=kind == 'bert'))
  state = made.base_model.state_dict()
  words = state['embeddings.word_embeddings.weight'].float().numpy()
  np.testing.assert_array_equal(found['embeddings/words/embedding'], words)
  kernel = state['encoder.layer.1.intermediate.dense.weight'].float().numpy()
  np.testing.assert_array_equal(
      found['encoder/layer_1/ffn_intermediate/kernel'], kernel.T)
  encoder = {name for name in state if not name.endswith('position_ids')}
  assert len(found) == len(encoder)


@pytest.mark.parametrize('options', [
    {}, {'pickle_protocol': 4}, {'_use_new_zipfile_serialization': False}])
def test_saved_by_torch(options, tmp_path):
  state = model('bert').state_dict()
  path = str(tmp_path / 'x.bin')
  torch.save(state, path, **options)
  found = tensor_files.read_file(path)
  assert list(found) == list(state)
  for name, tensor in state.items():
    np.testing.assert_array_equal(found[name], tensor.numpy(), name)
