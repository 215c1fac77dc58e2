"""Tests of scripts.convert_tf1_bert on variables named as in the release."""

import json
import re

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.model import pretrained
from adapters_jax import trees
from scripts import convert_tf1_bert
from tests import tiny


def make_variables():
  """Returns (variables as in Google's release, tensors as Hugging Face's)."""
  tensors = tiny.random_tensors(tiny.hugging_face_shapes(
      12, 2, 20, tiny.CONFIG.vocab_size, 40))
  variables = {}
  for name, value in tensors.items():
    old = 'bert/' + re.sub(r'layer\.(\d+)', r'layer_\1', name).replace('.', '/')
    if 'LayerNorm' in old:
      old = old.replace('/weight', '/gamma').replace('/bias', '/beta')
    elif old.endswith('_embeddings/weight'):
      old = old.removesuffix('/weight')
    elif old.endswith('/weight'):
      old, value = old.removesuffix('/weight') + '/kernel', value.T
    variables[old] = value
  variables['cls/predictions/output_bias'] = np.zeros(3)
  variables['bert/pooler/dense/kernel/adam_m'] = np.zeros(3)
  variables['global_step'] = np.zeros(())
  return variables, tensors


@pytest.fixture
def source(tmp_path):
  folder = tmp_path / 'source'
  folder.mkdir()
  values = {k: v for k, v in tiny._VALUES.items() if k != 'model_type'}
  values['num_hidden_layers'] = 2
  (folder / 'bert_config.json').write_text(json.dumps(values))
  (folder / 'vocab.txt').write_text('\n'.join(tiny.VOCABULARY) + '\n')
  return folder


@pytest.mark.parametrize('name, wanted', [
    ('bert/embeddings/word_embeddings',
     'bert.embeddings.word_embeddings.weight'),
    ('bert/encoder/layer_11/attention/self/query/kernel',
     'bert.encoder.layer.11.attention.self.query.weight'),
    ('bert/encoder/layer_0/output/LayerNorm/gamma',
     'bert.encoder.layer.0.output.LayerNorm.weight'),
    ('bert/pooler/dense/bias', 'bert.pooler.dense.bias'),
    ('cls/seq_relationship/output_weights', None),
    ('bert/pooler/dense/bias/adam_v', None)])
def test_names(name, wanted):
  assert convert_tf1_bert.hugging_face_name(name) == wanted


def test_what_is_written_loads_with_the_same_numbers(source, tmp_path):
  variables, tensors = make_variables()
  out = str(tmp_path / 'out')
  convert_tf1_bert.write(
      convert_tf1_bert.convert(variables, variables.get), str(source), out,
      cased=False)
  found = trees.flatten(pretrained.load_base(out))
  wanted = trees.flatten(pretrained.from_hugging_face(tensors))
  assert found.keys() == wanted.keys()
  for path, leaf in wanted.items():
    np.testing.assert_array_equal(found[path], leaf)
  assert pretrained.read_config(out).activation == 'gelu_tanh'


def test_a_missing_variable_is_named(source, tmp_path):
  variables, _ = make_variables()
  del variables['bert/pooler/dense/bias']
  with pytest.raises(errors.UserError, match='missing: pooler/bias'):
    convert_tf1_bert.write(
        convert_tf1_bert.convert(variables, variables.get), str(source),
        str(tmp_path / 'out'), cased=False)


def test_without_tensorflow_or_files(source, tmp_path):
  with pytest.raises(errors.UserError, match='--source and --out'):
    convert_tf1_bert.main(convert_tf1_bert.Config())
  (source / 'vocab.txt').unlink()
  with pytest.raises(errors.UserError, match='no file .*vocab.txt'):
    convert_tf1_bert.write({}, str(source), str(tmp_path / 'out'), False)
