"""Folders of every family exchanged with the real `adapters` and `peft`."""

import dataclasses

import numpy as np
import pytest

from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import peft as peft_lib
from tests import tiny_families
from tests.adapters.formats import family_cases
from tests.fixtures import make_method_fixtures as fixtures

torch = pytest.importorskip('torch')
adapters = pytest.importorskip('adapters')
peft = pytest.importorskip('peft')
transformers = pytest.importorskip('transformers')

pytestmark = pytest.mark.interop

ADAPTERHUB = (
    'double_seq_bn[reduction_factor=4]', 'par_bn[reduction_factor=4]',
    'seq_bn_inv[reduction_factor=4]', 'compacter[reduction_factor=2, '
    'phm_dim=2]', 'prefix_tuning[prefix_length=3, bottleneck_size=5]',
    'prompt_tuning[prompt_length=3]', 'ia3', 'loreft[r=2]',
    'lora[r=2, sites=["query", "key", "value", "intermediate", "ffn_output"]]')
PEFT = (
    'lora[r=2]', 'dora[r=2, dora=peft]', 'vera[r=4]',
    'lora[r=2, sites=["query", "attention_output", "intermediate"]]',
    'lora[r=2, sites=["ffn_output"], leave_out=[0]]',
    'ia3[sites=["key", "value"]]|ia3_inputs[sites=["ffn_output"]]',
    'prompt_tuning[prompt_length=3, combine=words]',
    'prefix_tuning_flat[shift_positions=true, prefix_length=3]')


def config_of(case, **extra):
  values = {**tiny_families.VALUES[case], **extra}
  return transformers.AutoConfig.for_model(**values)


def load(model, case):
  """Puts the random weights of a case into a model of a task."""
  prefix = tiny_families.names_of(case)['prefix']
  own = model.state_dict()
  tensors = {prefix + name: torch.from_numpy(value)
             for name, value in tiny_families.tensors(case).items()}
  left = model.load_state_dict(
      {name: value for name, value in tensors.items() if name in own},
      strict=False)
  absent = [name for name in left.missing_keys if name.startswith(prefix)
            and 'prompt_tuning' not in name]  # A second name of the words.
  assert not absent, absent
  # Models of classes alone leave the pooler out.
  assert all('pooler' in name or 'position_ids' in name
             for name in tensors if name not in own)
  return model.eval()


def make_model(case, kind, **extra):
  torch.manual_seed(0)
  name = models.FOREIGN[tiny_families.config(case).family].class_start
  library = adapters if kind == 'AdapterModel' else transformers
  return load(getattr(library, name + kind)(config_of(case, **extra)), case)


def run(model, case, plain=False, **options):
  """Returns the output of a model for the batch of a case."""
  inputs = family_cases.batch(case, plain)
  named = {'input_ids': torch.from_numpy(inputs['tokens']).long(),
           'attention_mask': torch.from_numpy(inputs['mask']).long()}
  if tiny_families.config(case).segments == 2:
    named['token_type_ids'] = torch.from_numpy(inputs['segments']).long()
  with torch.no_grad():
    return model.eval()(**named, **options)


def assert_close(found, wanted):
  assert np.ptp(wanted) > 0.01  # Neither zero nor constant.
  np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-5)


def into_peft(ours, case, folder, kind, **extra):
  """Returns the model of PEFT that reads our adapter from a folder."""
  peft_lib.write(str(folder / 'a'), ours, tiny_families.config(case))
  return peft.PeftModel.from_pretrained(
      make_model(case, kind, **extra), str(folder / 'a'))


def check_saved(model, case, folder, wanted, **options):
  """Checks the outputs of a folder that PEFT saves; returns its adapter."""
  model.save_pretrained(str(folder / 'b'))
  shape = tiny_families.config(case)
  again = peft_lib.read(str(folder / 'b'), shape)
  assert again.family == shape.family
  assert_close(family_cases.outputs(case, again, **options), wanted)
  return again


def narrow(case, text):
  return case == 'electra-small' and ('inv' in text or 'prompt' in text)


@pytest.mark.parametrize('text', ADAPTERHUB)
@pytest.mark.parametrize('case', family_cases.ADAPTERHUB)
def test_adapterhub_both_ways(case, text, tmp_path):
  if narrow(case, text):
    pytest.skip('refused: the library has it before the wider layer')
  shape, ours = tiny_families.config(case), family_cases.make(case, text)
  wanted = family_cases.outputs(case, ours)
  adapterhub.write(str(tmp_path / 'a'), 'n', ours, {}, shape)
  model = make_model(case, 'AdapterModel')
  model.load_adapter(
      str(tmp_path / 'a'), use_safetensors=True, set_active=True)
  assert_close(run(model, case).logits.numpy(), wanted)
  model.save_adapter(str(tmp_path / 'b'), 'n', use_safetensors=False)
  again = adapterhub.read(str(tmp_path / 'b'), shape)[1]
  assert again.family == shape.family
  assert_close(family_cases.outputs(case, again), wanted)


@pytest.mark.parametrize('attention, equal', [('eager', True), ('sdpa', False)])
def test_a_prefix_of_distilbert_in_padded_batches(
    attention, equal, tmp_path, monkeypatch):
  """`adapters` 1.3.0 adds its mask of ones to the scores; we note it."""
  case, whole = 'distilbert', family_cases.batch('distilbert')
  whole['mask'][1, 5:] = False
  monkeypatch.setattr(family_cases, 'batch', lambda *_: whole)
  ours = family_cases.make(case, 'prefix_tuning_flat[prefix_length=3]')
  notes = adapterhub.write(
      str(tmp_path), 'n', ours, {}, tiny_families.config(case))
  assert any('eager' in note for note in notes)
  model = make_model(case, 'AdapterModel', attn_implementation=attention)
  model.load_adapter(str(tmp_path), use_safetensors=True, set_active=True)
  found = run(model, case).logits.numpy()
  distance = np.abs(found - family_cases.outputs(case, ours)).max()
  assert distance < 1e-5 if equal else distance > 0.01


def test_adapterhub_gives_modernbert_random_biases():
  """`adapters` 1.3.0 adds them to joined layers; we refuse the family."""
  model = transformers.AutoModel.from_config(config_of('modernbert'))
  joined = [layer.attn.Wqkv.bias for layer in model.layers]
  assert joined == [None] * len(joined) != []
  adapters.init(model)
  assert all(layer.attn.Wqkv.bias.abs().max() > 0 for layer in model.layers)


@pytest.mark.parametrize('case', family_cases.ADAPTERHUB)
@pytest.mark.parametrize('head', [
    dict(layers=1), dict(layers=2), dict(layers=1, num_labels=1),
    dict(layers=2, activation_function='relu')])
def test_heads_of_adapterhub(case, head, tmp_path):
  model = make_model(case, 'AdapterModel')
  model.add_adapter('n', config='double_seq_bn[reduction_factor=4]')
  model.add_classification_head('n', **{'num_labels': 3, **head})
  fixtures.randomize_named(model, lambda name: '.n.' in name, 4)
  model.set_active_adapters('n')
  model.save_adapter(str(tmp_path), 'n')
  adapter = adapterhub.read(str(tmp_path), tiny_families.config(case))[1]
  assert adapter.head_input == (
      'cls_relu' if 'activation_function' in head else
      'pooler' if head['layers'] == 2 else 'cls')
  assert_close(
      family_cases.outputs(case, adapter), run(model, case).logits.numpy())


@pytest.mark.parametrize('case', family_cases.ADAPTERHUB)
def test_a_head_of_transformers_in_adapterhub(case, tmp_path):
  model = make_model(case, 'ForSequenceClassification', num_labels=3)
  adapters.init(model)
  model.add_adapter('n', config='lora[r=2]', set_active=True)
  fixtures.randomize_named(
      model, lambda name: '.n.' in name or 'classifier' in name
      or 'pooler' in name, 4)
  model.save_adapter(str(tmp_path), 'n')
  adapter = adapterhub.read(str(tmp_path), tiny_families.config(case))[1]
  assert_close(
      family_cases.outputs(case, adapter), run(model, case).logits.numpy())


@pytest.mark.parametrize('text', PEFT[:-1])
@pytest.mark.parametrize('case', family_cases.PEFT)
def test_peft_both_ways(case, text, tmp_path):
  ours = family_cases.make(case, text, 'peft', not text.startswith('pr'))
  wanted = family_cases.outputs(case, ours)
  model = into_peft(
      ours, case, tmp_path, 'ForSequenceClassification', num_labels=3)
  assert_close(run(model, case).logits.numpy(), wanted)
  if case == 'deberta' and text.startswith('pr'):
    return  # PEFT saves no pooler with a prompt.
  check_saved(model, case, tmp_path, wanted)


@pytest.mark.parametrize('text', (*PEFT[:-2], ''))
@pytest.mark.parametrize('case', family_cases.PEFT)
def test_spans_in_peft(case, text, tmp_path):
  ours = family_cases.make(case, text, 'tokens', norms=True)
  wanted = family_cases.outputs(case, ours)
  model = into_peft(ours, case, tmp_path, 'ForQuestionAnswering')
  # PEFT's own class for it forgets the segments.
  out = run(model.get_base_model(), case)
  assert_close(
      torch.stack([out.start_logits, out.end_logits], -1).numpy(), wanted)
  check_saved(model, case, tmp_path, wanted)


@pytest.mark.parametrize('text', ('lora[r=2]', ''))
@pytest.mark.parametrize('case', family_cases.PEFT)
def test_tags_in_peft(case, text, tmp_path):
  ours = family_cases.make(case, text, 'tags', norms=True)
  wanted = family_cases.outputs(case, ours)
  model = into_peft(
      ours, case, tmp_path, 'ForTokenClassification', num_labels=3)
  assert isinstance(model, peft.PeftModelForTokenClassification)
  assert_close(run(model, case).logits.numpy(), wanted)
  assert check_saved(model, case, tmp_path, wanted).head.name == 'tags'


@pytest.mark.parametrize('case', ('roberta', 'distilbert'))
def test_tags_of_peft(case, tmp_path):
  """As PEFT trains them: it adds the classifier to the saved modules."""
  model = peft.get_peft_model(
      make_model(case, 'ForTokenClassification', num_labels=3),
      peft.LoraConfig(task_type='TOKEN_CLS', r=2, target_modules=(
          ['q_lin', 'v_lin'] if case == 'distilbert' else ['query', 'value'])))
  fixtures.randomize_named(
      model, lambda name: model.get_parameter(name).requires_grad, 4)
  model.save_pretrained(str(tmp_path))
  adapter = peft_lib.read(str(tmp_path), tiny_families.config(case))
  assert adapter.head.name == 'tags'
  assert_close(
      family_cases.outputs(case, adapter), run(model, case).logits.numpy())


@pytest.mark.parametrize('case', family_cases.ADAPTERHUB)
def test_tags_in_adapterhub(case, tmp_path):
  shape = tiny_families.config(case)
  ours = dataclasses.replace(
      family_cases.make(case, 'seq_bn[reduction_factor=4]', 'tags'),
      labels=('B-PER', 'I-PER', 'O'))
  wanted = family_cases.outputs(case, ours)
  adapterhub.write(str(tmp_path / 'a'), 'n', ours, {}, shape)
  model = make_model(case, 'AdapterModel')
  model.load_adapter(
      str(tmp_path / 'a'), use_safetensors=True, set_active=True)
  assert_close(run(model, case).logits.numpy(), wanted)
  assert model.heads['n'].config['head_type'] == 'tagging'
  model.save_adapter(str(tmp_path / 'b'), 'n', use_safetensors=False)
  again = adapterhub.read(str(tmp_path / 'b'), shape)[1]
  assert (again.head.name, again.labels) == ('tags', ours.labels)
  assert_close(family_cases.outputs(case, again), wanted)


@pytest.mark.parametrize('text', PEFT[-2:])
@pytest.mark.parametrize('case', family_cases.PEFT)
def test_a_prompt_or_prefix_in_peft(case, text, tmp_path):
  if text.startswith('prefix') and case in (
      'mpnet', 'deberta', 'distilbert'):
    pytest.skip('refused: its model takes no past keys')
  ours = family_cases.make(case, text, 'tokens')
  model = into_peft(ours, case, tmp_path, 'ForQuestionAnswering')
  out = run(model, case, plain=True)  # PEFT forgets the segments.
  found = torch.stack([out.start_logits, out.end_logits], -1).numpy()
  wanted = family_cases.outputs(case, ours, plain=True)
  assert_close(found[:, -wanted.shape[1]:], wanted)
  check_saved(model, case, tmp_path, wanted, plain=True)


@pytest.mark.parametrize('case', ('roberta', 'camembert', 'electra'))
def test_peft_cannot_run_classes_after_a_prefix(case, tmp_path):
  """peft 0.21.2 takes the cache for the hidden states; we note it."""
  ours = family_cases.make(case, PEFT[-1], 'peft')
  notes = peft_lib.write(str(tmp_path), ours, tiny_families.config(case))
  assert any('prefix' in note for note in notes)
  model = peft.PeftModel.from_pretrained(
      make_model(case, 'ForSequenceClassification', num_labels=3),
      str(tmp_path))
  with pytest.raises(TypeError):
    run(model, case)
