"""AdapterHub's files: round trips and errors, without the library."""

import dataclasses
import json
import os
import shutil
import tempfile

from absl.testing import parameterized
import jax
import numpy as np

from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import adapterhub_configs
from adapters_jax.adapters.formats import adapterhub_heads
from adapters_jax.adapters.formats import adapterhub_norms
from adapters_jax.adapters.formats import weights
from adapters_jax import errors
from adapters_jax.methods import bottleneck_fields
from adapters_jax.methods import reft_module
from adapters_jax.methods import strings
from adapters_jax import trees
from tests.adapters.formats import format_cases
from tests.methods import method_cases
from tests.methods import parity_test as parity

SHAPE = method_cases.SHAPE


class AdapterHubTest(parameterized.TestCase):

  @parameterized.parameters(*method_cases.ADAPTERHUB)
  def test_what_is_read_is_written_the_same(self, case):
    values, tensors, _, _ = parity.load(f'adapterhub-{case}')
    adapter = adapterhub.from_tensors(values, tensors, SHAPE)
    found = adapterhub.to_tensors('n', adapter)
    for key, value in found.items():
      if 'parametrizations' not in key:
        np.testing.assert_array_equal(value, tensors[key], key)
    # Edits of no position.
    unread = 'units.0' if case == 'loreft_suffix' else 'units.1'
    self.assertEmpty({key for key in tensors if key not in found
                      and 'prefix_tuning.pool' not in key
                      and unread not in key})
    again = adapterhub.from_tensors(values, found, SHAPE)
    self.assertEqual(again.methods, adapter.methods)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        again.tuned, adapter.tuned)
    written = adapterhub_configs.to_config(adapter.methods, SHAPE)
    self.assertEqual(
        adapterhub_configs.from_config(written), adapter.methods)
    theirs = values['config']
    for ours, wanted in zip(
        written.get('configs', [written]), theirs.get('configs', [theirs]),
        strict=True):
      self.assertEqual(set(ours) ^ set(wanted), set())
      differ = {k for k in wanted if ours[k] != wanted[k]}
      # Of no consequence but at the start of training.
      small = {'init_weights', 'vera_d', 'non_linearity'}
      if not wanted.get('selfattn_lora'):
        small.add('attn_matrices')
      if ours.get('is_parallel'):  # Theirs ignore them.
        small |= {*bottleneck_fields.SERIAL}
      self.assertLessEqual(differ, small)

  @parameterized.parameters(*method_cases.ADAPTERHUB)
  def test_their_texts_mean_the_same_here(self, case):
    values, _, _, _ = parity.load(f'adapterhub-{case}')
    wanted = adapterhub_configs.from_config(values['config'])
    text = method_cases.ADAPTERHUB[case]
    if case == 'par_ignores':
      with self.assertRaisesRegex(errors.UserError, 'where it has no effect'):
        strings.parse(text)
    found = strings.parse(text, saved=True)
    self.assertEqual(
        [dataclasses.replace(c, dense=True) if hasattr(c, 'dense') else c
         for c in found], list(wanted))

  def test_a_folder_with_head_and_norms(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapter = format_cases.make('seq_bn[reduction_factor=4]', norms=True)
    adapter = dataclasses.replace(adapter, labels=('bad', 'fine', 'good'))
    base = {'pooler': {'kernel': np.ones((32, 32)), 'bias': np.ones(32)}}
    notes = adapterhub.write(folder, 'film', adapter, base, SHAPE)
    self.assertIn(adapterhub_norms.NAME, ' '.join(notes))
    name, found = adapterhub.read(folder, SHAPE)
    self.assertEqual(name, 'film')
    self.assertEqual((found.methods, found.labels, found.head_input),
                     (adapter.methods, adapter.labels, 'pooler'))
    jax.tree.map(np.testing.assert_array_equal, found.tuned,
                 trees.overlay(adapter.tuned, base))
    # `adapters` saves into its folder: the default format, without norms.
    again = format_cases.make('seq_bn[reduction_factor=4]', seed=1)
    other = self.enter_context(tempfile.TemporaryDirectory())
    adapterhub.write(other, 'film', again, base, SHAPE)
    for file in (adapterhub.BIN, adapterhub.HEAD_BIN):
      shutil.copy(os.path.join(other, file), folder)
      # Newer on any file system.
      os.utime(os.path.join(folder, file), times=(2**31, 2**31))
    with self.assertLogs(adapterhub_norms.__name__, 'WARNING') as logs:
      found = adapterhub.read(folder, SHAPE)[1]
    self.assertIn('saved again', logs.output[0])
    jax.tree.map(np.testing.assert_array_equal, found.tuned,
                 trees.overlay(again.tuned, base))
    # A later export without them leaves nothing of them.
    bare = format_cases.make('seq_bn[reduction_factor=4]')
    del bare.tuned['head']
    bare = dataclasses.replace(bare, head_input='cls')
    adapterhub.write(folder, 'film', bare, {}, SHAPE)
    self.assertEqual(set(os.listdir(folder)), {
        adapterhub.CONFIG, adapterhub.WEIGHTS, adapterhub.BIN})

  def test_a_head_that_finds_spans(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapter = format_cases.make('lora[r=3]', head_input='tokens')
    adapterhub.write(folder, 'qa', adapter, {}, SHAPE)
    with open(os.path.join(folder, adapterhub.HEAD_CONFIG)) as file:
      head = json.load(file)['config']
    self.assertEqual((head['head_type'], head['layers'], head['num_labels']),
                     ('question_answering', 1, 2))
    found = adapterhub.read(folder, SHAPE)[1]
    self.assertEqual((found.head_input, found.labels), ('tokens', ()))
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
    tensors = {'qa_outputs.weight': np.ones((2, 32)),
               'qa_outputs.bias': np.ones(2)}
    tree, head_input = adapterhub_heads.head_tree(None, tensors)
    self.assertEqual((tree['head']['kernel'].shape, head_input),
                     ((32, 2), 'tokens'))
    with self.assertRaisesRegex(errors.UserError, 'question_answering head'):
      adapterhub_heads.head_tree({**head, 'layers': 2}, tensors)

  def test_a_direft_comes_with_a_warning(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapter = format_cases.make('direft')
    notes = adapterhub.write(
        folder, 'n', dataclasses.replace(adapter, head_input='cls'), {}, SHAPE)
    self.assertIn('NoReft', ' '.join(notes))
    self.assertEqual(
        adapterhub.read(folder, SHAPE)[1].methods, adapter.methods)

  def test_what_is_missing_or_unknown_is_named(self):
    values, tensors, _, _ = parity.load('adapterhub-lora')
    key = 'bert.encoder.layer.1.attention.self.value.loras.n.lora_B'
    fewer = {k: v for k, v in tensors.items() if k != key}
    with self.assertRaisesRegex(errors.UserError, 'layer.1.*lora_B'):
      adapterhub.from_tensors(values, fewer, SHAPE)
    more = {**tensors, key.replace('value', 'key'): tensors[key]}
    with self.assertRaisesRegex(errors.UserError, 'self.key.*no place'):
      adapterhub.from_tensors(values, more, SHAPE)
    with self.assertRaisesRegex(
        errors.UserError, "^adapter 'n' does not fit .*is .*not "):
      adapterhub.from_tensors(values, {**tensors, key: tensors[key][:, :2]},
                              SHAPE)
    values['config']['architecture'] = 'lorra'
    with self.assertRaisesRegex(errors.UserError, 'mean lora'):
      adapterhub.from_tensors(values, tensors, SHAPE)

  @parameterized.parameters('seq_bn_inv', 'double_seq_bn')
  def test_files_of_the_first_format(self, text):
    adapter = format_cases.make(f'{text}[reduction_factor=4]')
    kind = 'lang' if 'inv' in text else 'task'
    config = adapterhub_configs.to_config(adapter.methods, SHAPE)
    del config['inv_adapter'], config['inv_adapter_reduction_factor']
    # Files of tasks had the entry without an invertible adapter.
    config['invertible_adapter'] = {
        'block_type': 'nice', 'non_linearity': 'relu', 'reduction_factor': 2}
    old = {}
    for key, value in adapterhub.to_tensors('n', adapter).items():
      key = key.replace('attention.output.adapters',
                        f'attention.output.attention_text_{kind}_adapters')
      key = key.replace('output.adapters', f'output.layer_text_{kind}_adapters')
      key = key.replace('invertible_adapters', 'invertible_lang_adapters')
      old[key] = value
    values = {'config': config, 'name': 'n', 'type': f'text_{kind}'}
    found = adapterhub.from_tensors(values, old, SHAPE)
    self.assertEqual(found.methods, adapter.methods)
    own, _ = trees.split(adapter.tuned, lambda path: 'head' not in path)
    jax.tree.map(np.testing.assert_array_equal, found.tuned, own)
    config['invertible_adapter'] = ['nice']
    with self.assertRaisesRegex(errors.UserError, 'block_type'):
      adapterhub.from_tensors(values, old, SHAPE)

  @parameterized.parameters('LMPrediction', 'NextSentencePrediction')
  def test_heads_that_are_not_of_a_text(self, end):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapterhub.write(folder, 'n', dataclasses.replace(
        format_cases.make('lora[r=3]'), head_input='cls'), {}, SHAPE)
    head = {'config': None, 'label2id': {'A': 0, 'B': 1, 'C': 2}}
    path = os.path.join(folder, adapterhub.HEAD_CONFIG)
    weights.write(os.path.join(folder, adapterhub.HEAD_WEIGHTS), {
        'classifier.weight': np.ones((3, 32)), 'classifier.bias': np.ones(3)})
    for name, known in ((f'BertFor{end}', False),
                        ('BertForSequenceClassification', True)):
      with open(path, 'w') as file:
        json.dump({**head, 'model_class': name}, file)
      if known:
        self.assertEqual(
            adapterhub.read(folder, SHAPE)[1].labels, ('A', 'B', 'C'))
      else:
        with self.assertRaisesRegex(errors.UserError, f'{end}.*head=False'):
          adapterhub.read(folder, SHAPE)
    self.assertNotIn('head', adapterhub.read(folder, SHAPE, False)[1].tuned)
    for kind in ('dependency_parsing',):
      with self.assertRaisesRegex(errors.UserError, f'{kind}.*head=False'):
        adapterhub_heads.head_tree({'head_type': kind, 'layers': 1}, {})

  @parameterized.parameters(3, 32)
  def test_projections_of_any_rank(self, rank):
    adapter = format_cases.make(f'loreft[r={rank}]')
    for path, leaf in trees.flatten(adapter.tuned).items():
      if path.endswith('projection'):
        leaf[:] = np.linalg.qr(leaf)[0]
    values = {'config': adapterhub_configs.to_config(adapter.methods, SHAPE),
              'name': 'n', 'version': adapterhub_configs.VERSION}
    found = adapterhub.from_tensors(
        values, adapterhub.to_tensors('n', adapter), SHAPE)
    for path, leaf in trees.flatten(found.tuned).items():
      wanted = trees.flatten(adapter.tuned)[path]
      if path.endswith('projection'):  # The signs of columns are free.
        wanted = reft_module.orthonormal(wanted)
      np.testing.assert_allclose(leaf, wanted, atol=1e-5, err_msg=path)
