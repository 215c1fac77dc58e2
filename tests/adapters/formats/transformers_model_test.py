"""Whole models for transformers: files, refusals, and our own reading."""

import dataclasses
import json
import os

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.adapters.formats import weights
from adapters_jax.api.commands import convert
from adapters_jax.downloads import hub_checkpoints
from adapters_jax.model import base as base_lib
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from tests import tiny
from tests import tiny_families
from tests.adapters import bank_test
from tests.adapters.formats import family_cases

FORM = 'transformers'
LABELS = ('bad', 'fair', 'good')
TEXTS = ['a good film', 'the very dull plot']
# {case: head of its classifier}
CASES = {'bert': 'pooler', 'roberta': 'pooler', 'mpnet': 'pooler',
         'distilbert': 'cls_relu', 'electra-small': 'cls_gelu',
         'deberta': 'cls_gelu', 'modernbert': 'cls_norm'}
ALL_LINEARS = (
    'lora[r=2, sites=["query", "value", "attention_output", "ffn_output"]]')


def make(case, head_input, text=ALL_LINEARS, **changed):
  """Returns an adapter with norms and a head, for texts."""
  row = aj.Adapter((), {}, head_input).head
  form = head_input.removeprefix('multilabel_').removeprefix('multiple_choice_')
  adapter = family_cases.make(case, text, form, norms=case != 'modernbert')
  if row.choices:
    adapter.tuned['head'] = {
        'kernel': adapter.tuned['head']['kernel'][:, :1],
        'bias': adapter.tuned['head']['bias'][:1]}
  labels = LABELS if row.least_classes is not None else ()
  return dataclasses.replace(
      adapter, head_input=head_input, texts=row.texts, labels=labels,
      max_length=12, **changed)


def saved(folder):
  """Returns (entries of config.json, tensors) of a folder."""
  with open(os.path.join(folder, 'config.json')) as file:
    return json.load(file), weights.read(str(folder), 'model.safetensors')


def read_back(folder):
  """Returns (base, adapter of the head alone) of a folder of transformers."""
  base = base_lib.load(str(folder))
  return base, dataclasses.replace(
      aj.load_adapter(folder, base), max_length=12)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """{case: folder of its checkpoint}"""
  return {case: tiny_families.write_checkpoint(
      case, str(tmp_path_factory.mktemp(case) / 'base')) for case in CASES}


@pytest.mark.parametrize('case, head_input', [
    *CASES.items(), ('modernbert', 'mean_norm'), ('distilbert', 'tokens'),
    ('roberta', 'tags'), ('bert', 'multiple_choice_pooler'),
    ('bert', 'multilabel_pooler')])
def test_the_model_predicts_as_base_and_adapter(
    case, head_input, folders, tmp_path):
  adapter = make(case, head_input)
  notes = exchange.write(tmp_path, adapter, FORM, checkpoint=folders[case])
  kind = adapter.head.transformers
  assert notes[0] == f'load it with AutoModelFor{kind}.from_pretrained(folder)'
  base, head = read_back(tmp_path)
  texts = {'tags': [text.split() for text in TEXTS],
           'tokens': [('a good', text) for text in TEXTS],
           'multiple_choice_pooler': [('a', TEXTS)]}.get(head_input, TEXTS)
  found = aj.predict(base, head, texts)
  wanted = aj.predict(base_lib.load(folders[case]), adapter, texts)
  for one, other in zip(found, wanted, strict=True):
    assert dataclasses.replace(one, probabilities=None) == (
        dataclasses.replace(other, probabilities=None))
    assert (one.probabilities or {}) == pytest.approx(
        other.probabilities or {}, abs=1e-5)
  _, tensors = saved(tmp_path)
  prefix = tiny_families.names_of(case)['prefix']
  outside = {name for name in tensors if not name.startswith(prefix)}
  assert outside and all(
      transformers_heads.is_head(name, adapter.family) for name in outside)
  assert all(value.dtype == np.float32 for value in tensors.values())


@pytest.mark.parametrize('text', [
    '', 'rslora[r=2]', 'dora[r=2]', 'vera[r=4]', 'ia3', 'lora[r=2]|ia3'])
def test_what_can_be_folded(text, folders, tmp_path):
  adapter = make('roberta', 'pooler', text)
  del adapter.tuned['pooler']  # The head reads that of the base.
  if not text:  # Full fine-tuning: every leaf differs.
    tree = pretrained.load_base(folders['roberta'])
    adapter.tuned.update({
        name: trees.unflatten({path: np.asarray(leaf) + 0.1 for path, leaf in
                               trees.flatten(leaves).items()})
        for name, leaves in tree.items() if name != 'pooler'})
  exchange.write(
      tmp_path, adapter, FORM, checkpoint=folders['roberta'])
  base, head = read_back(tmp_path)
  found = aj.predict(base, head, TEXTS)
  wanted = aj.predict(base_lib.load(folders['roberta']), adapter, TEXTS)
  plain = aj.predict(base_lib.load(folders['roberta']), dataclasses.replace(
      head, base=''), TEXTS)
  for one, other, without in zip(found, wanted, plain, strict=True):
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert one.probabilities != pytest.approx(without.probabilities, abs=1e-3)


def test_the_entries_of_the_config(checkpoint, tmp_path):
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), head_input='pooler', labels=('no', 'yes'),
      hidden_activation='gelu_tanh')
  # A base of another task, in half precision.
  source = tiny.write_checkpoint(str(tmp_path / 'base'), 'bert.')
  path = tmp_path / 'base' / 'config.json'
  old = json.loads(path.read_text())
  path.write_text(json.dumps({
      **old, 'torch_dtype': 'float16', 'num_labels': 7,
      'id2label': {'0': 'x'}, 'label2id': {'x': 0},
      'problem_type': 'regression', 'layer_norm_eps': 1e-6}))
  exchange.write(tmp_path / 'x', adapter, FORM, checkpoint=source)
  values, tensors = saved(tmp_path / 'x')
  assert values == {
      **old, 'layer_norm_eps': 1e-6, 'hidden_act': 'gelu_new',
      'architectures': ['BertForSequenceClassification'],
      'id2label': {'0': 'no', '1': 'yes'}, 'label2id': {'no': 0, 'yes': 1},
      'problem_type': 'single_label_classification'}
  assert {'bert.pooler.dense.weight', 'classifier.weight'} <= set(tensors)
  assert (tmp_path / 'x/vocab.txt').read_text() == (
      tmp_path / 'base/vocab.txt').read_text()
  spans = dataclasses.replace(adapter, head_input='tokens', labels=())
  exchange.write(tmp_path / 'x', spans, FORM, checkpoint=source)
  values, tensors = saved(tmp_path / 'x')
  assert values['architectures'] == ['BertForQuestionAnswering']
  assert not {'id2label', 'label2id', 'problem_type', 'num_labels'} & {*values}
  assert not any('pooler' in name for name in tensors)


@pytest.mark.parametrize('head_input, outputs, labels, kind', [
    ('pooler', 1, {'0': 'LABEL_0'}, 'regression'),
    ('pooler', 2, {'0': '0', '1': '1'}, 'single_label_classification'),
    ('multilabel_pooler', 1, {'0': '0'}, 'multi_label_classification')])
def test_numbers_of_outputs(
    head_input, outputs, labels, kind, checkpoint, tmp_path):
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), head_input=head_input)
  adapter.tuned['head'] = {name: leaf[..., :outputs] for name, leaf in
                           adapter.tuned['head'].items()}
  exchange.write(tmp_path, adapter, FORM, checkpoint=checkpoint)
  values, tensors = saved(tmp_path)
  assert (values['id2label'], values['problem_type']) == (labels, kind)
  assert tensors['classifier.weight'].shape == (outputs, 12)


@pytest.mark.parametrize('case, head_input, message', [
    ('bert', 'cls', "BertForSequenceClassification's reads the pooler; train "
     'with `head_input=pooler`, or give `head=False`'),
    ('roberta', 'multilabel', 'RobertaFor.*train with `head_input=pooler`'),
    ('distilbert', 'cls', 'train with `head_input=cls_relu`'),
    ('electra-small', 'cls_relu', 'train with `head_input=cls_gelu`'),
    ('modernbert', 'cls', 'a norm between them; train with '
     '`head_input=cls_norm`'),
    ('modernbert', 'tags', 'ModernBertForTokenClassification has layers'),
    ('deberta', 'multiple_choice_pooler',
     'DebertaV2ForMultipleChoice has layers that no head'),
    ('bert', 'multiple_choice', "BertForMultipleChoice's reads the pooler; "
     'train with `head_input=pooler`')])
def test_heads_that_transformers_lacks(
    case, head_input, message, folders, tmp_path):
  made = 'pooler' if head_input.startswith('multi') else head_input
  adapter = dataclasses.replace(make(case, made), head_input=head_input)
  with pytest.raises(errors.UserError, match=f'^head: .*{message}') as found:
    exchange.write(
        tmp_path / 'x', adapter, FORM, checkpoint=folders[case])
  assert len(str(found.value).splitlines()) == 1
  assert not (tmp_path / 'x').exists()


def test_a_head_of_another_kind_has_no_class(
    checkpoint, monkeypatch, tmp_path):
  monkeypatch.setitem(heads.HEADS, 'new', dataclasses.replace(
      heads.HEADS['cls'], name='new', least_classes=None))
  adapter = dataclasses.replace(bank_test.make('lora[r=2]'), head_input='new')
  for form in (FORM, 'peft'):
    with pytest.raises(errors.UserError, match="known for the head 'new'; gi"):
      exchange.write(tmp_path / 'x', adapter, form, checkpoint=checkpoint)


def test_what_cannot_be_folded(checkpoint, tmp_path):
  adapter = dataclasses.replace(bank_test.make(), head_input='pooler')
  with pytest.raises(errors.UserError, match="a change of weights; 'own'"):
    exchange.write(tmp_path / 'x', adapter, FORM, checkpoint=checkpoint)
  with pytest.raises(errors.UserError, match='`base`: its weights are part'):
    exchange.write(tmp_path / 'x', adapter, FORM)
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), head_input='pooler')
  base = tiny.write_checkpoint(str(tmp_path / 'base'))
  with pytest.raises(errors.UserError, match='folder of the base'):
    exchange.write(base, adapter, FORM, checkpoint=base)
  path = os.path.join(base, 'model.safetensors')
  weights.write(path, {name: value for name, value in weights.read(
      base, 'model.safetensors').items() if 'pooler' not in name})
  with pytest.raises(errors.UserError, match='`base`: the head reads a pooler'):
    exchange.write(tmp_path / 'x', adapter, FORM, checkpoint=base)
  assert not (tmp_path / 'x').exists()


def test_notes(checkpoint, tmp_path):
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), head_input='pooler', threshold=0.3,
      max_length=9)
  assert [note.partition(':')[0] for note in exchange.write(
      tmp_path, adapter, FORM, checkpoint=checkpoint)[1:]] == [
          'the files do not state `max_length=9`',
          'the files do not state `threshold=0.3`']
  longest = dataclasses.replace(adapter, threshold=None, max_length=40)
  assert len(exchange.write(
      tmp_path, longest, FORM, checkpoint=checkpoint)) == 1


def test_an_encoder_without_a_head(tmp_path):
  adapter = dataclasses.replace(bank_test.make('lora[r=2]'), threshold=0.3)
  source = tiny.write_checkpoint(str(tmp_path / 'base'), 'bert.')
  note, = exchange.write(
      tmp_path / 'x', adapter, FORM, checkpoint=source, head=False)
  assert 'AutoModel.from' in note
  values, tensors = saved(tmp_path / 'x')
  assert values['architectures'] == ['BertModel']
  assert set(tensors) == set(tiny.hugging_face_shapes(
      12, 1, 20, len(tiny.VOCABULARY), 40))
  np.testing.assert_allclose(
      aj.encode(base_lib.load(str(tmp_path / 'x')), TEXTS),
      aj.encode(base_lib.load(source), TEXTS, adapter), atol=1e-5)
  del adapter.tuned['head']
  pooled = dataclasses.replace(adapter, head_input='embedding_max')
  assert any('the pooling' in note for note in exchange.write(
      tmp_path / 'x', pooled, FORM, checkpoint=source))


def test_a_head_of_masked_language_modelling_is_left_out(checkpoint, tmp_path):
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), head_input='masked_lm')
  notes = exchange.write(tmp_path, adapter, FORM, checkpoint=checkpoint)
  assert notes[-1] == 'the head of masked language modelling is left out'
  assert saved(tmp_path)[0]['architectures'] == ['BertModel']


def test_the_command(folders, tmp_path):
  adapter = dataclasses.replace(
      make('distilbert', 'cls_relu'),
      base=base_lib.identity(folders['distilbert']))
  adapter.save(tmp_path / 'own')
  lines = convert.convert(tmp_path / 'own', tmp_path / 'x', FORM,
                          checkpoint=folders['distilbert'])
  assert lines[0].endswith(f'-> {tmp_path / "x"}') and 'AutoModel' in lines[1]
  assert saved(tmp_path / 'x')[0]['label2id'] == {
      label: n for n, label in enumerate(LABELS)}


def test_an_earlier_export_leaves_no_parts(checkpoint, tmp_path):
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), head_input='pooler')
  exchange.write(
      tmp_path, adapter, 'sentence_transformers', checkpoint=checkpoint)
  (tmp_path / hub_checkpoints.TOKENIZER_FILES[0]).write_text('of another base')
  exchange.write(tmp_path, adapter, FORM, checkpoint=checkpoint)
  assert {name for name in os.listdir(tmp_path)
          if os.path.isfile(tmp_path / name)} == {
              'config.json', 'model.safetensors', 'vocab.txt'}
