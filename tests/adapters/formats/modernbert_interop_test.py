"""PEFT folders of ModernBERT exchanged with the real library."""

import json

import numpy as np
import pytest

from adapters_jax.adapters.formats import peft as peft_lib
from adapters_jax.model import pretrained
from adapters_jax.adapters.formats import peft_writing
from tests import tiny_families
from tests.adapters.formats import family_cases

torch = pytest.importorskip('torch')
peft = pytest.importorskip('peft')
pytest.importorskip('adapters')

from tests.adapters.formats import families_interop_test  # noqa: E402
from tests.fixtures import make_method_fixtures as fixtures  # noqa: E402

pytestmark = pytest.mark.interop
CASE = 'modernbert'
ALL = '["query", "key", "value"]'
TEXTS = (
    'lora[r=2]', f'lora[r=2, sites={ALL}]',
    f'dora[r=2, dora=peft, sites={ALL}]',
    'rslora[r=2, sites=["value", "attention_output"]]',
    'lora[r=2, sites=["query", "intermediate", "ffn_output"], leave_out=[0]]',
    'vera[r=4, sites=["attention_output", "ffn_output"]]',
    'ia3[sites=["key", "intermediate"]]|ia3_inputs[sites=["ffn_output"]]',
    'lora[r=2, sites=["query", "intermediate", "gate"]]',
    'dora[r=2, dora=peft, sites=["intermediate", "gate"]]',
    'ia3[sites=["key", "intermediate", "gate"]]',
    'prompt_tuning[prompt_length=3, combine=words]')


def peft_model(folder=None, config=None):
  base = families_interop_test.make_model(CASE, 'ForSequenceClassification')
  if folder:
    return peft.PeftModel.from_pretrained(base, folder).eval()
  return peft.get_peft_model(base, config).eval()


def hidden_of(model, **options):
  """Returns the encoder's last hidden states, after the last norm."""
  kept = []
  hook = model.get_base_model().model.register_forward_hook(
      lambda module, inputs, out: kept.append(out[0]))
  families_interop_test.run(model, CASE, **options)
  hook.remove()
  return kept[0].numpy()


@pytest.mark.parametrize('text', TEXTS)
def test_both_ways(text, tmp_path):
  shape = tiny_families.config(CASE)
  ours = family_cases.make(
      CASE, text, None, norms=not text.startswith('prompt'))
  wanted = family_cases.outputs(CASE, ours)
  peft_lib.write(str(tmp_path / 'a'), ours, shape)
  if text.startswith('prompt'):  # Without a task PEFT does not apply it.
    path = tmp_path / 'a' / peft_lib.CONFIG
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, 'task_type': 'FEATURE_EXTRACTION'}))
  model = peft_model(folder=str(tmp_path / 'a'))
  families_interop_test.assert_close(hidden_of(model), wanted)
  model.save_pretrained(str(tmp_path / 'b'))
  again = peft_lib.read(str(tmp_path / 'b'), shape)
  families_interop_test.assert_close(
      family_cases.outputs(CASE, again), wanted)


@pytest.mark.parametrize('targets, dora', (
    (['Wqkv'], False), (['Wqkv', 'Wo'], True), (['Wi', 'Wqkv'], False),
    (['Wi'], True)))
def test_a_file_of_peft(targets, dora, tmp_path):
  shape = tiny_families.config(CASE)
  model = peft_model(config=peft.LoraConfig(
      r=3, lora_alpha=5, target_modules=targets, use_dora=dora))
  fixtures.randomize_named(
      model, lambda name: 'lora_A' in name or 'lora_B' in name, 4)
  model.save_pretrained(str(tmp_path / 'a'))
  ours = peft_lib.read(str(tmp_path / 'a'), shape)
  families_interop_test.assert_close(
      family_cases.outputs(CASE, ours), hidden_of(model))
  # Parts with the same first factor are one LoRA of the old rank again.
  values, tensors = peft_writing.to_tensors(ours, shape)
  assert values['r'] == 3
  for key, value in model.state_dict().items():
    key = f'{key}'.replace('.default', '')
    if 'lora_' in key:
      key = key.removesuffix('.weight') if 'magnitude' in key else key
      np.testing.assert_array_equal(tensors[key], value.numpy())


@pytest.mark.parametrize('case, pooling', (
    (CASE, 'cls'), (CASE, 'mean'), ('modernbert-128', 'mean')))
@pytest.mark.parametrize('saved', (None, ['classifier', 'head']))
def test_the_classifier(case, pooling, saved, tmp_path):
  """With the head's first layers in PEFT's file, or in the base."""
  model = families_interop_test.make_model(
      case, 'ForSequenceClassification', num_labels=3,
      classifier_pooling=pooling)
  fixtures.randomize_named(model, lambda name: name.startswith('head.'), 2)
  model.save_pretrained(str(tmp_path / 'base'))
  start = pretrained.load_head_start(str(tmp_path / 'base'))
  shape = pretrained.read_config(str(tmp_path / 'base'))
  assert shape.classifier_pooling == pooling
  model = peft.get_peft_model(model, peft.LoraConfig(
      task_type='SEQ_CLS', target_modules=['Wi'], modules_to_save=saved)).eval()
  fixtures.randomize_named(
      model, lambda name: model.get_parameter(name).requires_grad, 4)
  model.save_pretrained(str(tmp_path / 'a'))
  wanted = families_interop_test.run(model, case).logits.numpy()
  ours = peft_lib.read(str(tmp_path / 'a'), shape, base=lambda: start)
  assert ours.head_input == f'{pooling}_norm'
  families_interop_test.assert_close(family_cases.outputs(case, ours), wanted)
  peft_lib.write(str(tmp_path / 'b'), ours, shape)
  again = peft.PeftModel.from_pretrained(
      families_interop_test.make_model(
          case, 'ForSequenceClassification', num_labels=3,
          classifier_pooling=pooling), str(tmp_path / 'b'))
  families_interop_test.assert_close(
      families_interop_test.run(again, case).logits.numpy(), wanted)
