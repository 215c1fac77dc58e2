import json
import os
import shutil
import tempfile

from absl.testing import parameterized
import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax import errors
from adapters_jax.model import pretrained
from adapters_jax import trees
from tests import tiny


class PretrainedTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = tiny.write_checkpoint(os.path.join(folder.name, 'tiny'))
    self.weights = os.path.join(self.folder, 'model.safetensors')

  def rewrite(self, change):
    tensors = safetensors_numpy.load_file(self.weights)
    safetensors_numpy.save_file(change(tensors), self.weights)

  def rewrite_config(self, **values):
    path = os.path.join(self.folder, 'config.json')
    with open(path) as file:
      config = json.load(file)
    with open(path, 'w') as file:
      json.dump({**config, **values}, file)

  def test_reads_the_shape(self):
    self.assertEqual(pretrained.read_config(self.folder), tiny.CONFIG)

  def test_every_tensor_arrives_in_its_place(self):
    raw = safetensors_numpy.load_file(self.weights)
    flat = trees.flatten(pretrained.load_base(self.folder))
    self.assertLen(flat, len(raw))
    for name, path, transposed in (
        ('embeddings.word_embeddings.weight', 'embeddings/words/embedding', 0),
        ('embeddings.token_type_embeddings.weight',
         'embeddings/segments/embedding', 0),
        ('encoder.layer.1.attention.self.key.weight',
         'encoder/layer_1/attention/key/kernel', 1),
        ('encoder.layer.1.attention.output.dense.bias',
         'encoder/layer_1/attention/output/bias', 0),
        ('encoder.layer.0.attention.output.LayerNorm.weight',
         'encoder/layer_0/attention_norm/scale', 0),
        ('encoder.layer.0.output.LayerNorm.bias',
         'encoder/layer_0/ffn_norm/bias', 0),
        ('encoder.layer.1.intermediate.dense.weight',
         'encoder/layer_1/ffn_intermediate/kernel', 1),
        ('encoder.layer.1.output.dense.weight',
         'encoder/layer_1/ffn_output/kernel', 1),
        ('pooler.dense.weight', 'pooler/kernel', 1)):
      wanted = raw[name].T if transposed else raw[name]
      np.testing.assert_array_equal(flat[path], wanted)

  def test_prefix_old_norm_names_and_pretraining_heads(self):
    wanted = trees.flatten(pretrained.load_base(self.folder))

    def old(tensors):
      renamed = {
          'bert.' + name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace(
              'LayerNorm.bias', 'LayerNorm.beta'): value
          for name, value in tensors.items()}
      return {**renamed, 'cls.predictions.bias': np.zeros(17, np.float32),
              'cls.seq_relationship.weight': np.zeros((2, 12), np.float32),
              'bert.embeddings.position_ids': np.arange(40)[None]}

    self.rewrite(old)
    found = trees.flatten(pretrained.load_base(self.folder))
    self.assertEqual(list(found), list(wanted))
    for path, leaf in found.items():
      np.testing.assert_array_equal(leaf, wanted[path])

  def test_without_pooler(self):
    self.rewrite(lambda tensors: {
        name: value for name, value in tensors.items() if 'pooler' not in name})
    self.assertNotIn('pooler', pretrained.load_base(self.folder, pooler=False))
    with self.assertRaisesRegex(errors.UserError, 'missing: pooler/bias'):
      pretrained.load_base(self.folder)

  def test_lists_missing_unknown_and_misshapen(self):
    def spoil(tensors):
      tensors = dict(tensors)
      del tensors['encoder.layer.0.output.dense.bias']
      tensors['encoder.layer.0.novelty.weight'] = np.zeros(2, np.float32)
      tensors['pooler.dense.bias'] = np.zeros(7, np.float32)
      return tensors

    self.rewrite(spoil)
    with self.assertRaisesRegex(
        errors.UserError,
        'missing: encoder/layer_0/ffn_output/bias.*'
        'unknown: encoder/layer_0/novelty/kernel.*'
        r'misshapen: pooler/bias is \(7,\), not \(12,\)'):
      pretrained.load_base(self.folder)

  @parameterized.parameters(
      ({'model_type': 't5'}, "model_type 't5'.*roberta"),
      ({'position_embedding_type': 'relative_key'}, 'relative_key'),
      ({'hidden_act': 'maxout'}, "hidden_act.*unknown 'maxout'"))
  def test_other_architectures(self, values, message):
    self.rewrite_config(**values)
    with self.assertRaisesRegex(errors.UserError, message):
      pretrained.config_of(self.folder)

  def test_damaged_or_absent_files(self):
    with open(self.weights, 'wb') as file:
      file.write(b'not tensors')
    with self.assertRaisesRegex(errors.UserError, 'cannot read.*safetensors'):
      pretrained.load_base(self.folder)
    shutil.rmtree(self.folder)
    os.makedirs(self.folder)
    with self.assertRaisesRegex(errors.UserError, 'config.json'):
      pretrained.config_of(self.folder)

  def test_unknown_name_has_near_matches(self):
    with self.assertRaisesRegex(errors.UserError, 'did you mean minilm-l6'):
      pretrained.config_of('minilm')
