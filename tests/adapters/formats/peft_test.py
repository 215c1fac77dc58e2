"""PEFT's files: round trips and errors, without the library."""

import dataclasses
import json
import os
import tempfile

from absl.testing import parameterized
import jax
import numpy as np

from adapters_jax.adapters.formats import peft
from adapters_jax.adapters.formats import peft_reading
from adapters_jax.adapters.formats import peft_writing
from adapters_jax import errors
from tests.adapters.formats import format_cases
from tests.methods import method_cases
from tests.methods import parity_test as parity

SHAPE = method_cases.SHAPE


class PeftTest(parameterized.TestCase):

  @parameterized.parameters(*method_cases.PEFT)
  def test_what_is_read_is_written_the_same(self, case):
    values, tensors, _, _ = parity.load(f'peft-{case}')
    adapter = peft_reading.from_tensors(values, tensors, SHAPE)
    written, found = peft_writing.to_tensors(adapter, SHAPE)
    self.assertEqual(set(found), set(tensors))
    for key, value in found.items():
      np.testing.assert_array_equal(value, tensors[key], key)
    self.assertEqual(written['peft_type'], values['peft_type'])
    self.assertEqual(
        peft_reading.from_tensors(written, found, SHAPE).methods,
        adapter.methods)

  def test_a_folder_with_head_and_norms(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapter = format_cases.make('lora[r=3, leave_out=[0]]', norms=True)
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
    adapter = format_cases.make(text, norms=True, head_input='tokens')
    values, tensors = peft_writing.to_tensors(adapter, SHAPE)
    self.assertEqual(values['task_type'], 'QUESTION_ANS')
    self.assertEqual(
        tensors['base_model.model.qa_outputs.weight'].shape, (2, 32))
    found = peft_reading.from_tensors(values, tensors, SHAPE)
    self.assertEqual(found.head_input, 'tokens')
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
    tensors['base_model.model.qa_outputs.weight'] = np.ones((3, 32))
    tensors['base_model.model.qa_outputs.bias'] = np.ones(3)
    with self.assertRaisesRegex(errors.UserError, '3 outputs for each'):
      peft_reading.from_tensors(values, tensors, SHAPE)

  def test_a_head_that_tags(self):
    adapter = format_cases.make('lora[r=3]', head_input='tags')
    values, tensors = peft_writing.to_tensors(adapter, SHAPE)
    self.assertEqual(
        (values['task_type'], values['modules_to_save']),
        ('TOKEN_CLS', ['classifier']))
    found = peft_reading.from_tensors(values, tensors, SHAPE)
    self.assertEqual((found.head_input, found.task, found.outputs),
                     ('tags', adapter.task, 3))
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)

  @parameterized.parameters(
      {'task_type': 'CAUSAL_LM'},
      {'auto_mapping': {'base_model_class': 'BertForNextSentencePrediction'}})
  def test_heads_that_are_not_of_a_text(self, **entries):
    adapter = format_cases.make('lora[r=3]')
    values, tensors = peft_writing.to_tensors(adapter, SHAPE)
    values = {**values, 'task_type': None, **entries}
    with self.assertRaisesRegex(errors.UserError, 'head: .*head=False'):
      peft_reading.from_tensors(values, tensors, SHAPE)
    found = peft_reading.from_tensors(values, tensors, SHAPE, head=False)
    self.assertEqual((found.methods, found.outputs), (adapter.methods, None))
    # A head of one layer, where the family's class for texts has two.
    roberta = dataclasses.replace(SHAPE, family='roberta')
    tensors = {key.replace('.bert.', '.roberta.'): value
               for key, value in tensors.items()}
    with self.assertRaisesRegex(errors.UserError, 'classifier.weight.*False'):
      peft_reading.from_tensors(
          {**values, 'task_type': 'SEQ_CLS'}, tensors, roberta)
    peft_reading.from_tensors(values, tensors, roberta, head=False)

  def test_layer_norms_alone(self):
    adapter = format_cases.make('', norms=True)
    del adapter.tuned['embeddings']
    values, tensors = peft_writing.to_tensors(adapter, SHAPE)
    self.assertEqual(values['peft_type'], 'LN_TUNING')
    self.assertEqual(values['modules_to_save'], ['classifier'])
    self.assertLen(tensors, 2 * 2 * 2 + 2)  # Layers, norms, leaves; the head.
    found = peft_reading.from_tensors(values, tensors, SHAPE)
    self.assertEqual(found.methods, ())
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
    key = 'base_model.model.bert.encoder.layer.0.output.dense.lora_A.weight'
    with self.assertRaisesRegex(errors.UserError, 'no place'):
      peft_reading.from_tensors(values, {**tensors, key: np.ones(3)}, SHAPE)
    adapter.tuned['pooler'] = {'bias': np.ones(32)}
    with self.assertRaisesRegex(errors.UserError, 'tune=norms'):
      peft_writing.to_tensors(adapter, SHAPE)

  @parameterized.parameters(
      ('seq_bn', 'no such method|PEFT has'), ('dora', 'dora=peft'),
      ('lora[use_gating=True]', 'no gate'),
      ('prompt_tuning', 'combine=words'), ('mam', 'no unions'))
  def test_what_peft_does_not_have(self, text, message):
    # No other head would help, so the method comes first.
    for head_input in ('pooler', 'cls'):
      with self.assertRaisesRegex(errors.UserError, message):
        peft_writing.to_tensors(
            format_cases.make(text, head_input=head_input), SHAPE)

  @parameterized.parameters((False, ''), (True, ''), (
      False, r'^bert\.encoder\.'))
  def test_ranks_and_alphas_of_single_layers(self, rank_stabilized, start):
    values, tensors = peft_writing.to_tensors(
        format_cases.make('lora[r=4, alpha=8]'), SHAPE)
    values |= {'use_rslora': rank_stabilized, 'rank_pattern': {'value': 2},
               'alpha_pattern': {
                   rf'{start}layer\.1\.attention\.self\.value': 6}}
    for key in tensors:
      if '.value.lora_A' in key:
        tensors[key] = tensors[key][:2]
      elif '.value.lora_B' in key:
        tensors[key] = tensors[key][:, :2]
    found = peft_reading.from_tensors(values, tensors, SHAPE)
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

  def test_all_linear_is_read_from_the_tensors(self):
    values, tensors, _, _ = parity.load('peft-lora')
    found, named = (peft_reading.from_tensors(one, tensors, SHAPE) for one in (
        {**values, 'target_modules': 'all-linear'}, values))
    self.assertEqual(found.methods, named.methods)

  def test_inputs_scaled_in_one_layer_and_outputs_in_another(self):
    adapter = format_cases.make(
        'ia3[sites=["query"], leave_out=[0]]|'
        'ia3_inputs[sites=["query"], leave_out=[1]]')
    values, tensors = peft_writing.to_tensors(adapter, SHAPE)
    self.assertEqual(
        [value.shape for key, value in sorted(tensors.items())
         if 'ia3_l' in key], [(1, 32), (32, 1)])
    found = peft_reading.from_tensors(values, tensors, SHAPE)
    self.assertEqual(
        [(type(one).__name__, one.sites, one.leave_out)
         for one in found.methods],
        [('IA3', ('query',), (0,)), ('IA3Inputs', ('query',), (1,))])
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)

  def test_options_that_would_change_the_outputs_are_refused(self):
    values, tensors, _, _ = parity.load('peft-lora')
    for name, value in (('bias', 'all'), ('alpha_pattern', {'query': 'x'}),
                        ('alpha_pattern', {'[': 2}), ('alpha_pattern', [3]),
                        ('init_lora_weights', 'pissa'),
                        ('arrow_config', {'top_k': 2}),
                        ('layer_replication', [[0, 2], [0, 2]])):
      with self.assertRaisesRegex(errors.UserError, name):
        peft_reading.from_tensors({**values, name: value}, tensors, SHAPE)
    # What 'all-linear' adapts too, and no site here is at.
    key = 'base_model.model.bert.pooler.dense.lora_A.weight'
    with self.assertRaisesRegex(errors.UserError, 'pooler.*plain LoRA alone'):
      peft_reading.from_tensors(
          values, {**tensors, key: np.ones((4, 32))}, SHAPE)
    with self.assertRaisesRegex(errors.UserError, 'no tensors'):
      peft_reading.from_tensors(values, {}, SHAPE)
    with self.assertRaisesRegex(errors.UserError, 'head_input=pooler'):
      peft_writing.to_tensors(dataclasses.replace(
          format_cases.make('lora'), head_input='cls'), SHAPE)
