"""Whole models loaded by the real transformers."""

import dataclasses
import json

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax.adapters import exchange
from adapters_jax.model import base as base_lib
from tests import tiny_families
from tests.adapters.formats import family_cases
from tests.adapters.formats import head_layers_test
from tests.adapters.formats import transformers_model_test as plain

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

pytestmark = pytest.mark.interop

FORM = plain.FORM
folders = plain.folders
ON_POSITIONS = [
    (case, head_input) for head_input in ('tokens', 'tags')
    for case in plain.CASES if case != 'modernbert']


def load(folder, adapter):
  """Returns the model of a folder, all of whose tensors are the model's."""
  kind = adapter.head.transformers
  loader = getattr(transformers, f'AutoModelFor{kind}')
  model, found = loader.from_pretrained(str(folder), output_loading_info=True)
  assert not any(found.values()), found
  return model.eval()


def run(model, case, choices=False):
  """Returns the logits of a model for the padded batch of a case."""
  inputs = batch(case, choices)
  named = {'input_ids': torch.from_numpy(inputs['tokens']).long(),
           'attention_mask': torch.from_numpy(inputs['mask']).long()}
  if tiny_families.config(case).segments == 2:
    named['token_type_ids'] = torch.from_numpy(inputs['segments']).long()
  with torch.no_grad():
    out = model(**named)
  return (torch.stack([out.start_logits, out.end_logits], -1)
          if 'start_logits' in out else out.logits).numpy()


def batch(case, choices=False):
  """Returns a batch whose last text is padded; three choices of one input."""
  inputs = family_cases.batch(case)
  inputs['mask'][-1, 6:] = False
  for name in ('tokens', 'segments'):
    inputs[name] = inputs[name] * inputs['mask']
  pad = tiny_families.VALUES[case].get('pad_token_id', 0)
  if pad:  # RoBERTa and MPNet count positions from it.
    inputs['tokens'][-1, 6:] = pad
  return {name: value[None] for name, value in inputs.items()
          } if choices else inputs


def check(case, adapter, folder, source, monkeypatch):
  """Checks an export against our outputs; returns the model."""
  exchange.write(folder, adapter, FORM, checkpoint=source)
  model = load(folder, adapter)
  choices = adapter.head.choices
  inputs = batch(case, choices)
  monkeypatch.setattr(family_cases, 'batch', lambda *_: inputs)
  wanted = family_cases.outputs(case, adapter)
  monkeypatch.undo()
  found = run(model, case, choices)
  assert found.shape == wanted.shape and np.ptp(found) > 0.01
  if adapter.head.per_token:
    found, wanted = (array[inputs['mask']] for array in (found, wanted))
  np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-5)
  return model


@pytest.mark.parametrize('case, head_input', [
    *plain.CASES.items(), ('modernbert', 'mean_norm'), *ON_POSITIONS,
    *((case, 'multiple_choice_pooler') for case in ('bert', 'roberta', 'mpnet')
      ), ('bert', 'multilabel_pooler'), ('roberta', 'multilabel_pooler')])
def test_heads(case, head_input, folders, tmp_path, monkeypatch):
  adapter = plain.make(case, head_input)
  model = check(case, adapter, tmp_path, folders[case], monkeypatch)
  if adapter.labels:
    assert model.config.id2label == dict(enumerate(plain.LABELS))
  if adapter.head.multilabel:
    assert model.config.problem_type == 'multi_label_classification'


@pytest.mark.parametrize('text', [
    '', 'rslora[r=2]', 'dora[r=2, dora=peft]', 'dora[r=2]', 'vera[r=4]',
    'ia3', 'lora[r=2]|ia3'])
@pytest.mark.parametrize('case', ('bert', 'roberta', 'distilbert'))
def test_methods(case, text, folders, tmp_path, monkeypatch):
  adapter = plain.make(case, plain.CASES[case], text)
  adapter.tuned.pop('pooler', None)  # The head reads that of the base.
  check(case, adapter, tmp_path, folders[case], monkeypatch)


@pytest.mark.parametrize('case, head_input', [
    (case, form) for case in ('bert', 'roberta', 'mpnet')
    for form in ('pooler', 'multiple_choice_pooler')])
def test_a_pooler_whose_bias_is_tuned(
    case, head_input, folders, tmp_path, monkeypatch):
  adapter = head_layers_test.bias_alone(plain.make(case, head_input, ''))
  check(case, adapter, tmp_path, folders[case], monkeypatch)


@pytest.mark.parametrize('text', ['', plain.ALL_LINEARS, 'ia3'])
def test_joined_layers(text, folders, tmp_path, monkeypatch):
  adapter = plain.make('modernbert', 'cls_norm', text)
  check('modernbert', adapter, tmp_path, folders['modernbert'], monkeypatch)


@pytest.mark.parametrize('case, head_input, values', [
    ('modernbert', 'cls_norm', {
        'classifier_pooling': 'mean', 'classifier_bias': True,
        'classifier_activation': 'relu'}),
    ('deberta', 'cls_gelu', {'pooler_hidden_act': 'relu'}),
    ('deberta', 'cls_relu', {'pooler_hidden_act': 'tanh'}),
    ('deberta', 'pooler', {}),
    ('bert', 'tokens', {'id2label': {str(n): str(n) for n in range(5)}}),
    ('roberta', 'multiple_choice_pooler', {'problem_type': 'regression'})])
def test_a_base_with_a_head_of_another_kind(
    case, head_input, values, tmp_path, monkeypatch):
  source = tiny_families.write_checkpoint(case, str(tmp_path / 'base'))
  path = tmp_path / 'base' / 'config.json'
  path.write_text(json.dumps({
      **json.loads(path.read_text()), **values, 'torch_dtype': 'float16'}))
  adapter = plain.make(case, head_input)
  model = check(case, adapter, tmp_path / 'x', source, monkeypatch)
  assert model.dtype == torch.float32
  auto = type(model).from_pretrained(str(tmp_path / 'x'), torch_dtype='auto')
  assert auto.dtype == torch.float32


@pytest.mark.parametrize('case', ('bert', 'distilbert'))
def test_a_pipeline_predicts_as_we_do(case, folders, tmp_path):
  adapter = plain.make(case, plain.CASES[case])
  exchange.write(tmp_path, adapter, FORM, checkpoint=folders[case])
  texts = ['a good film', 'the very dull plot', 'fine']
  classify = transformers.pipeline(
      'text-classification', str(tmp_path), top_k=None)
  wanted = aj.predict(base_lib.load(folders[case]), adapter, texts)
  for found, one in zip(classify(texts), wanted, strict=True):
    assert found[0]['label'] == one.label
    assert {row['label']: row['score'] for row in found} == pytest.approx(
        one.probabilities, abs=1e-5)


def test_a_score(folders, tmp_path, monkeypatch):
  adapter = dataclasses.replace(plain.make('bert', 'pooler'), labels=())
  adapter.tuned['head'] = {name: leaf[..., :1] for name, leaf in
                           adapter.tuned['head'].items()}
  model = check('bert', adapter, tmp_path, folders['bert'], monkeypatch)
  assert model.config.problem_type == 'regression'
  assert model.config.num_labels == 1


@pytest.mark.parametrize('case', ('roberta', 'modernbert'))
def test_a_bare_encoder(case, folders, tmp_path, monkeypatch):
  adapter = plain.make(case, 'tokens')
  exchange.write(
      tmp_path, adapter, FORM, checkpoint=folders[case], head=False)
  model, found = transformers.AutoModel.from_pretrained(
      str(tmp_path), output_loading_info=True)
  assert not any(found.values()), found
  inputs = batch(case)
  monkeypatch.setattr(family_cases, 'batch', lambda *_: inputs)
  del adapter.tuned['head']
  wanted = family_cases.outputs(case, adapter)
  with torch.no_grad():
    hidden = model.eval()(
        input_ids=torch.from_numpy(inputs['tokens']).long(),
        attention_mask=torch.from_numpy(inputs['mask']).long())[0].numpy()
  np.testing.assert_allclose(
      hidden[inputs['mask']], wanted[inputs['mask']], atol=1e-5, rtol=1e-5)
