"""Files of other libraries: round trips and errors, without those libraries."""

import dataclasses
import json
import os
import pickle
import tempfile
import zipfile

from absl.testing import parameterized
import jax
import numpy as np

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapter_bert
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import adapterhub_heads
from adapters_jax.adapters.formats import peft
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import weights
from adapters_jax import errors
from adapters_jax.methods import reft
from adapters_jax.methods import strings
from adapters_jax import trees
from tests.methods import method_cases
from tests.methods import parity_test as parity

SHAPE = method_cases.SHAPE


def make(text, norms=False, head_input='pooler', seed=0):
  """Returns an adapter with random leaves and a head."""
  configs = strings.parse(text) if text else ()
  shapes = places.leaf_shapes(configs, SHAPE)
  rng = np.random.default_rng(seed)

  def draw(shape):
    return 0.3 * rng.standard_normal(shape, np.float32)

  flat = {path: draw(leaf.shape) for path, leaf in shapes.items()}
  outputs = 2 if head_input == 'tokens' else 3
  flat |= {'head/kernel': draw((32, outputs)), 'head/bias': draw(outputs)}
  if norms:
    for path in adapter_bert.norm_paths(SHAPE):
      flat[path] = 1 + draw(32)
  return adapter_lib.Adapter(configs, trees.unflatten(flat), head_input)


class AdapterHubTest(parameterized.TestCase):

  @parameterized.parameters(*method_cases.ADAPTERHUB)
  def test_what_is_read_is_written_the_same(self, case):
    values, tensors, _, _ = parity.load(f'adapterhub-{case}')
    adapter = adapterhub.from_tensors(values, tensors, SHAPE)
    found = adapterhub.to_tensors('n', adapter)
    for key, value in found.items():
      if 'parametrizations' not in key:
        np.testing.assert_array_equal(value, tensors[key], key)
    self.assertEmpty({key for key in tensors if key not in found
                      and 'prefix_tuning.pool' not in key
                      and 'units.1' not in key})
    again = adapterhub.from_tensors(values, found, SHAPE)
    self.assertEqual(again.methods, adapter.methods)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        again.tuned, adapter.tuned)
    written = adapterhub.to_config(adapter.methods, SHAPE)
    self.assertEqual(
        adapterhub.from_config(written), adapter.methods)
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
      self.assertLessEqual(differ, small)

  @parameterized.parameters(*method_cases.ADAPTERHUB)
  def test_their_texts_mean_the_same_here(self, case):
    values, _, _, _ = parity.load(f'adapterhub-{case}')
    wanted = adapterhub.from_config(values['config'])
    found = strings.parse(method_cases.ADAPTERHUB[case])
    self.assertEqual(
        [dataclasses.replace(c, dense=True) if hasattr(c, 'dense') else c
         for c in found], list(wanted))

  def test_a_folder_with_head_and_norms(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapter = make('seq_bn[reduction_factor=4]', norms=True)
    adapter = dataclasses.replace(adapter, labels=('bad', 'fine', 'good'))
    base = {'pooler': {'kernel': np.ones((32, 32)), 'bias': np.ones(32)}}
    notes = adapterhub.write(folder, 'film', adapter, base, SHAPE)
    self.assertIn(adapterhub.NORMS, ' '.join(notes))
    name, found = adapterhub.read(folder, SHAPE)
    self.assertEqual(name, 'film')
    self.assertEqual((found.methods, found.labels, found.head_input),
                     (adapter.methods, adapter.labels, 'pooler'))
    jax.tree.map(np.testing.assert_array_equal, found.tuned,
                 trees.overlay(adapter.tuned, base))
    # A later export without them leaves nothing of them.
    bare = make('seq_bn[reduction_factor=4]')
    del bare.tuned['head']
    bare = dataclasses.replace(bare, head_input='cls')
    adapterhub.write(folder, 'film', bare, {}, SHAPE)
    self.assertEqual(set(os.listdir(folder)), {
        adapterhub.CONFIG, adapterhub.WEIGHTS, adapterhub.BIN})

  def test_a_head_that_finds_spans(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapter = make('lora[r=3]', head_input='tokens')
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
    adapter = make('direft')
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
    with self.assertRaisesRegex(errors.UserError, 'is .*not '):
      adapterhub.from_tensors(values, {**tensors, key: tensors[key][:, :2]},
                              SHAPE)
    values['config']['architecture'] = 'lorra'
    with self.assertRaisesRegex(errors.UserError, 'mean lora'):
      adapterhub.from_tensors(values, tensors, SHAPE)

  def test_files_of_old_versions(self):
    read = adapterhub.from_config
    old = {'architecture': 'lora', 'r': 4, 'alpha': 16}
    # `adapters` before 1.1 alone ignored alpha; adapter-transformers did not.
    for version, alpha in (
        ('adapters.0.1.0', 4), ('adapters.1.0.1', 4), ('adapters.1.1.0', 16),
        ('3.2.1', 16), ('', 16)):
      self.assertEqual(read(old, version)[0].alpha, alpha, version)
    bottleneck = {'mh_adapter': True, 'output_adapter': True,
                  'reduction_factor': 16, 'non_linearity': 'gelu'}
    self.assertEqual(read(bottleneck, '')[0].activation, 'gelu_tanh')
    self.assertEqual(read(bottleneck)[0].activation, 'gelu')

  @parameterized.parameters('seq_bn_inv', 'double_seq_bn')
  def test_files_of_the_first_format(self, text):
    adapter = make(f'{text}[reduction_factor=4]')
    kind = 'lang' if 'inv' in text else 'task'
    config = adapterhub.to_config(adapter.methods, SHAPE)
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
        make('lora[r=3]'), head_input='cls'), {}, SHAPE)
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
        with self.assertRaisesRegex(errors.UserError, f'{end}.*head=false'):
          adapterhub.read(folder, SHAPE)
    self.assertNotIn('head', adapterhub.read(folder, SHAPE, False)[1].tuned)
    for kind in ('dependency_parsing',):
      with self.assertRaisesRegex(errors.UserError, f'{kind}.*head=false'):
        adapterhub_heads.head_tree({'head_type': kind, 'layers': 1}, {})

  def test_prompts_come_after_invertible_adapters(self):
    ours = strings.parse('seq_bn_inv|prompt_tuning')
    written = adapterhub.to_config(ours, SHAPE)
    self.assertEqual(adapterhub.from_config(written), ours)
    written['configs'].reverse()
    self.assertEqual(
        [type(config).__name__ for config in adapterhub.from_config(written)],
        ['Bottleneck', 'Invertible', 'PromptTuning'])
    with self.assertRaisesRegex(errors.UserError, 'the other order'):
      adapterhub.to_config(strings.parse('prompt_tuning|seq_bn_inv'), SHAPE)
    with self.assertRaisesRegex(errors.UserError, 'shift_positions=False'):
      adapterhub.to_config(
          strings.parse('prefix_tuning_flat[shift_positions=True]'), SHAPE)

  @parameterized.parameters(3, 32)
  def test_projections_of_any_rank(self, rank):
    adapter = make(f'loreft[r={rank}]')
    for path, leaf in trees.flatten(adapter.tuned).items():
      if path.endswith('projection'):
        leaf[:] = np.linalg.qr(leaf)[0]
    values = {'config': adapterhub.to_config(adapter.methods, SHAPE),
              'name': 'n', 'version': adapterhub.VERSION}
    found = adapterhub.from_tensors(
        values, adapterhub.to_tensors('n', adapter), SHAPE)
    for path, leaf in trees.flatten(found.tuned).items():
      wanted = trees.flatten(adapter.tuned)[path]
      if path.endswith('projection'):  # The signs of columns are free.
        wanted = reft.orthonormal(wanted)
      np.testing.assert_allclose(leaf, wanted, atol=1e-5, err_msg=path)

  def test_a_width_that_divides_nothing_survives(self):
    for size in range(1, 41):
      configs = strings.parse(f'bottleneck[size={size}]')
      written = adapterhub.to_config(configs, SHAPE)
      self.assertEqual(max(1, int(32 // written['reduction_factor'])), size)


class PeftTest(parameterized.TestCase):

  @parameterized.parameters(*method_cases.PEFT)
  def test_what_is_read_is_written_the_same(self, case):
    values, tensors, _, _ = parity.load(f'peft-{case}')
    adapter = peft.from_tensors(values, tensors, SHAPE)
    written, found = peft.to_tensors(adapter, SHAPE)
    self.assertEqual(set(found), set(tensors))
    for key, value in found.items():
      np.testing.assert_array_equal(value, tensors[key], key)
    self.assertEqual(written['peft_type'], values['peft_type'])
    self.assertEqual(
        peft.from_tensors(written, found, SHAPE).methods, adapter.methods)

  def test_a_folder_with_head_and_norms(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapter = make('lora[r=3, leave_out=[0]]', norms=True)
    peft.write(folder, adapter, SHAPE)
    found = peft.read(folder, SHAPE)
    self.assertEqual(found.methods, adapter.methods)
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
    with open(os.path.join(folder, peft.CONFIG)) as file:
      self.assertIn('bert.encoder.layer.1.output.LayerNorm',
                    ' '.join('bert.' + m.removeprefix('bert.')
                             for m in json.load(file)['modules_to_save']))

  @parameterized.parameters('lora[r=3]', '')
  def test_a_head_that_finds_spans(self, text):
    adapter = make(text, norms=True, head_input='tokens')
    values, tensors = peft.to_tensors(adapter, SHAPE)
    self.assertEqual(values['task_type'], 'QUESTION_ANS')
    self.assertEqual(
        tensors['base_model.model.qa_outputs.weight'].shape, (2, 32))
    found = peft.from_tensors(values, tensors, SHAPE)
    self.assertEqual(found.head_input, 'tokens')
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
    tensors['base_model.model.qa_outputs.weight'] = np.ones((3, 32))
    tensors['base_model.model.qa_outputs.bias'] = np.ones(3)
    with self.assertRaisesRegex(errors.UserError, '3 outputs for each'):
      peft.from_tensors(values, tensors, SHAPE)

  def test_a_head_that_tags(self):
    adapter = make('lora[r=3]', head_input='tags')
    values, tensors = peft.to_tensors(adapter, SHAPE)
    self.assertEqual(
        (values['task_type'], values['modules_to_save']),
        ('TOKEN_CLS', ['classifier']))
    found = peft.from_tensors(values, tensors, SHAPE)
    self.assertEqual((found.head_input, found.task, found.outputs),
                     ('tags', adapter.task, 3))
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)

  @parameterized.parameters(
      {'task_type': 'CAUSAL_LM'},
      {'auto_mapping': {'base_model_class': 'BertForNextSentencePrediction'}})
  def test_heads_that_are_not_of_a_text(self, **entries):
    adapter = make('lora[r=3]')
    values, tensors = peft.to_tensors(adapter, SHAPE)
    values = {**values, 'task_type': None, **entries}
    with self.assertRaisesRegex(errors.UserError, 'head: .*head=false'):
      peft.from_tensors(values, tensors, SHAPE)
    found = peft.from_tensors(values, tensors, SHAPE, head=False)
    self.assertEqual((found.methods, found.outputs), (adapter.methods, None))
    # A head of one layer, where the family's class for texts has two.
    roberta = dataclasses.replace(SHAPE, family='roberta')
    tensors = {key.replace('.bert.', '.roberta.'): value
               for key, value in tensors.items()}
    with self.assertRaisesRegex(errors.UserError, 'classifier.weight.*false'):
      peft.from_tensors({**values, 'task_type': 'SEQ_CLS'}, tensors, roberta)
    peft.from_tensors(values, tensors, roberta, head=False)

  def test_layer_norms_alone(self):
    adapter = make('', norms=True)
    del adapter.tuned['embeddings']
    values, tensors = peft.to_tensors(adapter, SHAPE)
    self.assertEqual(values['peft_type'], 'LN_TUNING')
    self.assertEqual(values['modules_to_save'], ['classifier'])
    self.assertLen(tensors, 2 * 2 * 2 + 2)  # Layers, norms, leaves; the head.
    found = peft.from_tensors(values, tensors, SHAPE)
    self.assertEqual(found.methods, ())
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
    key = 'base_model.model.bert.encoder.layer.0.output.dense.lora_A.weight'
    with self.assertRaisesRegex(errors.UserError, 'no place'):
      peft.from_tensors(values, {**tensors, key: np.ones(3)}, SHAPE)
    adapter.tuned['pooler'] = {'bias': np.ones(32)}
    with self.assertRaisesRegex(errors.UserError, 'tune=norms'):
      peft.to_tensors(adapter, SHAPE)

  @parameterized.parameters(
      ('seq_bn', 'no such method|PEFT has'), ('dora', 'dora=peft'),
      ('lora[use_gating=True]', 'no gate'),
      ('prompt_tuning', 'combine=words'), ('mam', 'no unions'))
  def test_what_peft_does_not_have(self, text, message):
    with self.assertRaisesRegex(errors.UserError, message):
      peft.to_tensors(make(text), SHAPE)

  @parameterized.parameters(False, True)
  def test_ranks_and_alphas_of_single_layers(self, rank_stabilized):
    values, tensors = peft.to_tensors(make('lora[r=4, alpha=8]'), SHAPE)
    values |= {'use_rslora': rank_stabilized, 'rank_pattern': {'value': 2},
               'alpha_pattern': {r'layer\.1\.attention\.self\.value': 6}}
    for key in tensors:
      if '.value.lora_A' in key:
        tensors[key] = tensors[key][:2]
      elif '.value.lora_B' in key:
        tensors[key] = tensors[key][:, :2]
    found = peft.from_tensors(values, tensors, SHAPE)
    self.assertEqual(found.methods[0].r, 4)
    for layer, site, rank, alpha in (
        (0, 'query', 4, 8), (0, 'value', 2, 8), (1, 'value', 2, 6)):
      stem = (f'base_model.model.bert.encoder.layer.{layer}.attention.self.'
              f'{site}.lora_')
      scale = alpha / (rank**0.5 if rank_stabilized else rank)
      wanted = scale * tensors[f'{stem}B.weight'] @ tensors[f'{stem}A.weight']
      place = found.tuned['encoder'][f'layer_{layer}']['attention'][
          f'adapter_{site}_0']
      np.testing.assert_allclose(
          found.methods[0].scale * place['a'] @ place['b'], wanted.T,
          atol=1e-5)

  def test_options_that_would_change_the_outputs_are_refused(self):
    values, tensors, _, _ = parity.load('peft-lora')
    for name, value in (('bias', 'all'), ('alpha_pattern', {'query': 'x'}),
                        ('alpha_pattern', {'[': 2}), ('alpha_pattern', [3]),
                        ('init_lora_weights', 'pissa')):
      with self.assertRaisesRegex(errors.UserError, name):
        peft.from_tensors({**values, name: value}, tensors, SHAPE)
    # What 'all-linear' adapts too, and no site here is at.
    key = 'base_model.model.bert.pooler.dense.lora_A.weight'
    with self.assertRaisesRegex(errors.UserError, 'pooler.*plain LoRA alone'):
      peft.from_tensors(
          values, {**tensors, key: np.ones((4, 32))}, SHAPE)
    with self.assertRaisesRegex(errors.UserError, 'no tensors'):
      peft.from_tensors(values, {}, SHAPE)
    with self.assertRaisesRegex(errors.UserError, 'head_input=pooler'):
      peft.to_tensors(
          dataclasses.replace(make('lora'), head_input='cls'), SHAPE)


class AdapterBertTest(parameterized.TestCase):

  def test_names_and_layout(self):
    adapter = make(
        'bottleneck[size=8, activation=gelu_tanh]', norms=True)
    variables = adapter_bert.to_variables(adapter)
    shapes = {name: value.shape for name, value in variables.items()
              if 'layer_1' not in name}
    stem = 'bert/encoder/layer_0/'
    wanted = {'output_weights': (3, 32), 'output_bias': (3,)}
    for place in (f'{stem}attention/output/', f'{stem}output/'):
      wanted |= {
          f'{place}adapters/weights1': (32, 8),
          f'{place}adapters/biases1': (1, 8),
          f'{place}adapters/weights2': (8, 32),
          f'{place}adapters/biases2': (1, 32)}
    for place in (f'{stem}attention/output/', f'{stem}output/',
                  'bert/embeddings/'):
      wanted |= {f'{place}LayerNorm/gamma': (32,),
                 f'{place}LayerNorm/beta': (32,)}
    self.assertEqual(shapes, wanted)
    variables['bert/encoder/layer_0/output/adapters/weights1/adam_m'] = 0
    found = adapter_bert.from_variables(variables, SHAPE)
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
    self.assertEqual(found.methods[0].width(32, 0), 8)

  def test_what_it_cannot_hold(self):
    with self.assertRaisesRegex(errors.UserError, 'gelu_tanh'):
      adapter_bert.to_variables(make('bottleneck[size=8]'))
    with self.assertRaisesRegex(errors.UserError, 'weights1'):
      adapter_bert.from_variables({}, SHAPE)


class WeightsTest(parameterized.TestCase):

  def _zip(self, pickled):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    with zipfile.ZipFile(os.path.join(folder, 'x.bin'), 'w') as archive:
      archive.writestr('archive/data.pkl', pickled)
    return folder

  def test_a_pickle_that_calls_something_is_refused(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    marker = os.path.join(folder, 'ran')

    class Evil:

      def __reduce__(self):
        return os.system, (f'touch {marker}',)

    for value in (Evil(), {'a': Evil()}):
      pickled = self._zip(pickle.dumps(value))
      with self.assertRaisesRegex(errors.UserError, 'not part of a tensor'):
        weights.read(pickled, 'x.bin')
    self.assertFalse(os.path.exists(marker))

  def test_a_damaged_file_and_none(self):
    folder = self._zip(b'nonsense')
    with self.assertRaisesRegex(errors.UserError, 'cannot be read'):
      weights.read(folder, 'x.bin')
    with self.assertRaisesRegex(errors.UserError, 'has no y.bin or z.bin'):
      weights.read(folder, 'y.bin', 'z.bin')
