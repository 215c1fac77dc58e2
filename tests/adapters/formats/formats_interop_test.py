"""Folders exchanged with the real `adapters` and `peft`, with equal logits."""

import json
import os
import tempfile
import unittest.mock

from absl.testing import parameterized
import numpy as np
import pytest

from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import peft as peft_lib
from adapters_jax import errors
from tests.fixtures import make_method_fixtures as fixtures
from tests.adapters.formats import format_cases as common
from tests.methods import method_cases
from tests.methods import parity_test as parity

torch = pytest.importorskip('torch')
adapters = pytest.importorskip('adapters')
peft = pytest.importorskip('peft')
transformers = pytest.importorskip('transformers')

pytestmark = pytest.mark.interop

SHAPE = method_cases.SHAPE
BASE = parity.pretrained.from_hugging_face(method_cases.base_tensors())
FULL = 'prompt: nothing is padded'

# What we write for `adapters`, by our own texts. (It reads no DiReft from
# files, not even its own.)
OURS = (
    'bottleneck[size=6]', 'seq_bn[reduction_factor=4]',
    'par_bn[reduction_factor=4]', 'adapter_plus[stochastic_depth=0.0]',
    'seq_bn[reduction_factor=8, ln_before=True, ln_after=True]',
    'double_seq_bn_inv[reduction_factor=8]', 'compacter[reduction_factor=4]',
    'prefix_tuning[prefix_length=3, bottleneck_size=8]', 'prefix_tuning_flat',
    'prompt_tuning', 'lora[r=3, alpha=6]', 'rslora', 'dora', 'ia3',
    'vera[r=4]', 'loreft[r=2, suffix_positions=1]', 'noreft', 'loreft[r=32]',
    'seq_bn_inv[reduction_factor=4]|prompt_tuning[prompt_length=3]',
    'mam[bottleneck_size=8]', 'unipelt[bottleneck_size=8]',
    'ia3[use_gating=True]', 'vera[r=4, use_gating=True]',
    'compacter[reduction_factor=4, use_gating=True, ln_before=True]')
OURS_PEFT = (
    'lora[r=3, alpha=6]', 'rslora[leave_out=[0]]', 'dora[dora=peft]',
    'lora[sites=["ffn_output"]]',
    'lora[sites=["query"], leave_out=[0]]|lora[sites=["value"]]',
    'ia3[sites=["key", "intermediate"]]',
    'ia3[alpha=2, sites=["value"]]|ia3_inputs', 'vera[r=4, alpha=2]',
    'prompt_tuning[combine=words, prompt_length=4]',
    'prefix_tuning_flat[shift_positions=True, prefix_length=3]')


def logits_here(adapter):
  return parity.outputs(
      adapter.methods, adapter.tuned, method_cases.batch(FULL),
      adapter.head_input)[1]


def spans_there(model, text_at=0):
  """Returns [batch, length, 2] logits of starts and ends."""
  inputs = method_cases.batch(FULL)
  with torch.no_grad():
    out = model.eval()(
        input_ids=torch.from_numpy(inputs['tokens']).long(),
        token_type_ids=torch.from_numpy(inputs['segments']).long(),
        attention_mask=torch.from_numpy(inputs['mask']).long())
  both = torch.stack([out.start_logits, out.end_logits], -1)
  return both.numpy()[:, text_at:]


def logits_there(model):
  return fixtures.run(model.eval(), FULL, lambda out: out.hidden_states[-1])[
      'logits']


class AdapterHubTest(parameterized.TestCase):

  @parameterized.parameters(*OURS)
  def test_ours_there(self, text):
    adapter = common.make(text)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapterhub.write(folder, 'film', adapter, BASE, SHAPE)
    model = fixtures.make_bert(adapters.BertAdapterModel)
    model.load_adapter(folder, set_active=True)  # Of the .bin files.
    np.testing.assert_allclose(
        logits_there(model), logits_here(adapter), atol=1e-5, rtol=1e-5)

  @parameterized.parameters(
      (dict(layers=1), 3), (dict(layers=1, use_pooler=True), 3),
      (dict(layers=2), 1), (dict(layers=1), 1))
  def test_their_heads_here_and_back(self, head, outputs):
    model = fixtures.make_bert(adapters.BertAdapterModel)
    model.add_adapter('n', config='lora[r=2]')
    model.add_classification_head('n', num_labels=outputs, **head)
    fixtures.randomize_named(model, lambda name: '.n.' in name, 4)
    model.set_active_adapters('n')
    folder = self.enter_context(tempfile.TemporaryDirectory())
    model.save_adapter(folder, 'n')
    adapter = adapterhub.read(folder, SHAPE)[1]
    self.assertEqual(adapter.outputs, outputs)
    self.enter_context(
        unittest.mock.patch.object(method_cases, 'OUTPUTS', outputs))
    wanted = logits_there(model)
    np.testing.assert_allclose(
        logits_here(adapter), wanted, atol=1e-5, rtol=1e-5)
    adapterhub.write(folder, 'm', adapter, BASE, SHAPE)
    again = fixtures.make_bert(adapters.BertAdapterModel)
    again.load_adapter(folder, use_safetensors=True, set_active=True)
    np.testing.assert_allclose(
        logits_there(again), wanted, atol=1e-5, rtol=1e-5)

  @parameterized.parameters(
      ('seq_bn[reduction_factor=4]', 0), ('lora[r=3]', 0),
      ('prompt_tuning[prompt_length=3]', 3))
  def test_heads_that_find_spans(self, text, text_at):
    adapter = common.make(text, head_input='tokens')
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapterhub.write(folder, 'qa', adapter, BASE, SHAPE)
    model = fixtures.make_bert(adapters.BertAdapterModel)
    model.load_adapter(folder, use_safetensors=True, set_active=True)
    np.testing.assert_allclose(
        spans_there(model, text_at), logits_here(adapter), atol=1e-5,
        rtol=1e-5)
    again = self.enter_context(tempfile.TemporaryDirectory())
    model.save_adapter(again, 'qa')
    np.testing.assert_array_equal(
        logits_here(adapterhub.read(again, SHAPE)[1]), logits_here(adapter))

  def test_a_head_of_transformers_that_finds_spans(self):
    model = fixtures.make_bert(transformers.BertForQuestionAnswering)
    adapters.init(model)
    model.add_adapter('n', config='lora[r=2]', set_active=True)
    fixtures.randomize_named(
        model, lambda name: '.n.' in name or 'qa_outputs' in name, 4)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    model.save_adapter(folder, 'n')
    np.testing.assert_allclose(
        logits_here(adapterhub.read(folder, SHAPE)[1]), spans_there(model),
        atol=1e-5, rtol=1e-5)

  @parameterized.parameters('swish', None)
  def test_their_heads_that_are_not_here(self, activation):
    model = fixtures.make_bert(adapters.BertAdapterModel)
    model.add_adapter('n', config='lora[r=2]')
    model.add_classification_head(
        'n', num_labels=3, layers=2, activation_function=activation)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    model.save_adapter(folder, 'n')
    with self.assertRaisesRegex(
        errors.UserError, 'give one with .*layers=2 activation_function=tanh'):
      adapterhub.read(folder, SHAPE)

  @parameterized.parameters('relu', 'gelu')
  def test_their_heads_with_a_first_layer(self, activation):
    model = fixtures.make_bert(adapters.BertAdapterModel)
    before = {name for name, _ in model.named_parameters()}
    model.add_adapter('n', config='lora[r=2]')
    model.add_classification_head(
        'n', num_labels=3, layers=2, activation_function=activation)
    fixtures.randomize_named(model, lambda name: name not in before, 4)
    model.set_active_adapters('n')
    folder = self.enter_context(tempfile.TemporaryDirectory())
    model.save_adapter(folder, 'n')
    adapter = adapterhub.read(folder, SHAPE)[1]
    self.assertEqual(adapter.head_input, f'cls_{activation}')
    np.testing.assert_allclose(
        logits_here(adapter), logits_there(model), atol=1e-5, rtol=1e-5)

  @parameterized.product(
      config=['double_seq_bn[reduction_factor=4]', 'lora[r=4]',
              'compacter[reduction_factor=4]', 'prefix_tuning_flat',
              'loreft[r=2]', 'loreft[r=32]',
              'prompt_tuning[prompt_length=3]|seq_bn_inv[reduction_factor=4]'],
      safe=[True, False])
  def test_theirs_here(self, config, safe):
    if safe and 'prefix' in config:
      self.skipTest('the library cannot write shared tensors so')
    model = fixtures.make_bert(adapters.BertAdapterModel)
    before = {name for name, _ in model.named_parameters()}
    model.add_adapter('n', config=config)
    fixtures.randomize_named(model, lambda name: name not in before, 4)
    model.add_classification_head('n', num_labels=3, layers=2)
    model.set_active_adapters('n')
    folder = self.enter_context(tempfile.TemporaryDirectory())
    model.save_adapter(folder, 'n', use_safetensors=safe)
    name, adapter = adapterhub.read(folder, SHAPE)
    self.assertEqual(name, 'n')
    np.testing.assert_allclose(
        logits_here(adapter), logits_there(model), atol=1e-5, rtol=1e-5)


class PeftTest(parameterized.TestCase):

  def load(self, folder):
    model = fixtures.make_bert(
        transformers.BertForSequenceClassification, num_labels=3)
    return peft.PeftModel.from_pretrained(model, folder)

  @parameterized.product(text=OURS_PEFT, norms=[True, False])
  def test_ours_there(self, text, norms):
    if norms and text.startswith('pr'):
      self.skipTest('PEFT saves no norms with a prompt or a prefix')
    adapter = common.make(text, norms=norms)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    peft_lib.write(folder, adapter, SHAPE)
    np.testing.assert_allclose(
        logits_there(self.load(folder)), logits_here(adapter), atol=1e-5,
        rtol=1e-5)

  @parameterized.product(text=['', *OURS_PEFT], norms=[True, False])
  def test_heads_that_find_spans(self, text, norms):
    if (norms and text.startswith('pr')) or (not norms and not text):
      self.skipTest('PEFT has nothing like it')
    adapter = common.make(text, norms=norms, head_input='tokens')
    folder = self.enter_context(tempfile.TemporaryDirectory())
    peft_lib.write(folder, adapter, SHAPE)
    model = fixtures.make_bert(transformers.BertForQuestionAnswering)
    model = peft.PeftModel.from_pretrained(model, folder)
    at = 4 if text.startswith('prompt') else 0
    batch = method_cases.batch(FULL)  # Whose segments PEFT forgets, so:
    batch['segments'] = np.zeros_like(batch['segments'])
    self.enter_context(unittest.mock.patch.object(
        method_cases, 'batch', lambda case: batch))
    np.testing.assert_allclose(
        spans_there(model, at), logits_here(adapter), atol=1e-5, rtol=1e-5)
    again = self.enter_context(tempfile.TemporaryDirectory())
    model.save_pretrained(again)
    np.testing.assert_allclose(
        logits_here(peft_lib.read(again, SHAPE)), logits_here(adapter),
        atol=1e-6)

  def test_layer_norms_alone(self):
    adapter = common.make('', norms=True)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    peft_lib.write(folder, adapter, SHAPE)
    np.testing.assert_allclose(
        logits_there(self.load(folder)), logits_here(adapter), atol=1e-5,
        rtol=1e-5)

  @parameterized.parameters(False, True)
  def test_their_patterns_here(self, use_dora):
    model = fixtures.make_bert(
        transformers.BertForSequenceClassification, num_labels=3)
    model = peft.get_peft_model(model, peft.LoraConfig(
        task_type='SEQ_CLS', r=4, lora_alpha=8, use_dora=use_dora,
        target_modules=['query', 'value'], rank_pattern={'value': 2},
        alpha_pattern={r'layer\.1\.attention\.self\.query': 3}))
    fixtures.randomize_named(model, lambda name: 'lora_' in name, 5)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    model.save_pretrained(folder)
    np.testing.assert_allclose(
        logits_here(peft_lib.read(folder, SHAPE)), logits_there(model),
        atol=1e-5, rtol=1e-5)

  @parameterized.parameters(*method_cases.PEFT)
  def test_theirs_here(self, case):
    model = fixtures.make_bert(
        transformers.BertForSequenceClassification, num_labels=3)
    model = peft.get_peft_model(model, peft.get_peft_config(
        {**method_cases.PEFT[case], 'task_type': 'SEQ_CLS'}))
    folder = self.enter_context(tempfile.TemporaryDirectory())
    model.save_pretrained(folder)
    with open(os.path.join(folder, peft_lib.CONFIG)) as file:
      self.assertIn('peft_type', json.load(file))
    adapter = peft_lib.read(folder, SHAPE)
    np.testing.assert_allclose(
        logits_here(adapter), logits_there(model), atol=1e-5, rtol=1e-5)
