import contextlib
import json
import os
import shutil
import tempfile
from unittest import mock

from absl.testing import parameterized
import ml_dtypes
import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax.downloads import pinned
from adapters_jax import errors
from adapters_jax.model import pretrained
from adapters_jax import trees
from tests import tiny


class PretrainedTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = tiny.write_checkpoint(
        os.path.join(folder.name, 'tiny'), layers=2)
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
    self.assertEqual(pretrained.read_config(self.folder), tiny.TWO_LAYERS)

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
    with self.assertRaisesRegex(
        errors.UserError,
        '`head_input=pooler`: .*tiny has no pooler; give `head_input=cls`'):
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

  def test_heads_of_tasks_are_left_out(self):
    wanted = trees.flatten(pretrained.load_base(self.folder))
    head = {'classifier.weight': np.ones((3, 12), np.float32),
            'qa_outputs.bias': np.ones(2, np.float32)}
    for prefix in ('', 'bert.'):
      tiny.write_checkpoint(self.folder, prefix, layers=2)
      self.rewrite(lambda tensors: {**tensors, **head})
      with self.assertLogs(
          'adapters_jax.model.pretrained', 'INFO') as logs:
        found = trees.flatten(pretrained.load_base(self.folder))
      self.assertIn('classifier.weight, qa_outputs.bias', logs.output[0])
      self.assertEqual(list(found), list(wanted))
      for path, leaf in found.items():
        np.testing.assert_array_equal(leaf, wanted[path])

  def test_other_names_of_the_encoder_are_no_head(self):
    tiny.write_checkpoint(self.folder, 'bert.', layers=2)
    self.rewrite(lambda tensors: {
        **tensors, 'bert.encoder.layer.0.novelty.bias': np.ones(2)})
    with self.assertRaisesRegex(errors.UserError, 'unknown.*novelty'):
      pretrained.load_base(self.folder)

  @parameterized.parameters(np.float16, ml_dtypes.bfloat16)
  def test_short_floats(self, dtype):
    raw = safetensors_numpy.load_file(self.weights)
    self.rewrite(lambda tensors: {
        name: value.astype(dtype) for name, value in tensors.items()})
    found = trees.flatten(pretrained.load_base(self.folder))
    self.assertEqual({leaf.dtype for leaf in found.values()}, {np.dtype('f4')})
    np.testing.assert_array_equal(
        found['pooler/kernel'],
        raw['pooler.dense.weight'].T.astype(dtype).astype(np.float32))

  @parameterized.parameters(np.nan, np.inf, -np.inf)
  def test_numbers_that_are_not_finite(self, number):
    def spoil(tensors):
      tensors['encoder.layer.1.output.dense.weight'][3, 5] = number
      return tensors

    self.rewrite(spoil)
    with self.assertRaisesRegex(
        errors.UserError, '`checkpoint`: .*model.safetensors has NaN or '
        'infinite numbers; in: encoder/layer_1/ffn_output/kernel'):
      pretrained.load_base(self.folder)

  def test_two_tensors_for_one_leaf(self):
    def doubled(change):
      self.rewrite(lambda tensors: {
          **tensors, 'embeddings.LayerNorm.gamma':
          tensors['embeddings.LayerNorm.weight'] + np.float32(change)})

    doubled(0)
    pretrained.load_base(self.folder)
    doubled(1)
    with self.assertRaisesRegex(errors.UserError, 'embeddings/norm/scale too'):
      pretrained.load_base(self.folder)

  def test_a_quantized_checkpoint(self):
    self.rewrite(lambda tensors: {
        **tensors, 'pooler.dense.bias': np.ones(12, np.int8)})
    with self.assertRaisesRegex(
        errors.UserError, '`checkpoint`: pooler.dense.bias has the type int8'):
      pretrained.load_base(self.folder)

  def test_a_folder_of_sentence_transformers(self):
    root = os.path.dirname(self.folder)
    with open(os.path.join(root, 'modules.json'), 'w') as file:
      json.dump([{'idx': 0, 'path': 'tiny'}, {'path': '1_Pooling'}], file)
    self.assertEqual(pretrained.config_of(root), tiny.TWO_LAYERS)
    self.assertEqual(pretrained.resolve(root), self.folder)

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
    with self.assertRaisesRegex(
        errors.UserError, '`checkpoint`.*safetensors cannot be read'):
      pretrained.load_base(self.folder)
    shutil.rmtree(self.folder)
    os.makedirs(self.folder)
    with self.assertRaisesRegex(errors.UserError, 'config.json'):
      pretrained.config_of(self.folder)

  def test_unknown_name_has_near_matches(self):
    with self.assertRaisesRegex(errors.UserError, 'did you mean minilm-l6'):
      pretrained.config_of('minilm')

  def test_a_folder_of_an_embedded_name(self):
    root = os.path.dirname(self.folder)
    shutil.copytree(self.folder, os.path.join(root, 'mpnet-base'))
    with contextlib.chdir(root), mock.patch.object(
        pinned, 'fetch', lambda name: f'/cache/{name}'):
      self.assertEqual(
          pretrained.resolve('./mpnet-base'), './mpnet-base')
      with self.assertLogs('adapters_jax.model.pretrained', 'WARNING') as logs:
        for _ in range(2):
          self.assertEqual(
              pretrained.resolve('mpnet-base'), '/cache/mpnet-base')
    self.assertLen(logs.output, 1)
    self.assertIn('the folder ./mpnet-base is not read; give ./mpnet-base',
                  logs.output[0])
