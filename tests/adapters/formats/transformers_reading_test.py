"""Tests of heads of whole models, read as adapters."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

import adapters_jax as aj
from adapters_jax import trees
from adapters_jax.adapters import exchange
from adapters_jax.adapters import folders as folders_lib
from adapters_jax.api.commands import convert
from adapters_jax.model import encoder
from adapters_jax.model import heads
from tests import tiny
from tests import tiny_families
from tests.adapters.formats import transformers_model_test as plain

folders = plain.folders
FORM = plain.FORM
# {case: start of the names of its classes in transformers}
CLASSES = {
    'bert': 'Bert', 'roberta': 'Roberta', 'mpnet': 'MPNet',
    'distilbert': 'DistilBert', 'electra-small': 'Electra',
    'deberta': 'DebertaV2', 'modernbert': 'ModernBert'}
INPUTS = {
    'tags': [text.split() for text in plain.TEXTS],
    'tokens': [('a good', text) for text in plain.TEXTS],
    'multiple_choice_pooler': [('a', plain.TEXTS)]}


def shapes_of(case):
  """Returns {name: shape} of a classifier of three classes."""
  names = tiny_families.names_of(case)['AutoModelForSequenceClassification']
  last = 'classifier'
  if f'{last}.out_proj.weight' in names:
    last += '.out_proj'
  found = {}
  for name in names:
    stem, _, leaf = name.rpartition('.')
    rows = len(plain.LABELS) if stem == last else 12
    matrix = leaf == 'weight' and 'norm' not in stem
    found[name] = (rows, 12) if matrix else (rows,)
  return found


def write(case, folder, heads_of=None, more=None, **values):
  """Writes a model of a task, as `save_pretrained` does.

  Args:
    case: Key of CLASSES.
    folder: Folder of the model.
    heads_of: {name: shape} of the head; by default of a classifier.
    more: {name: tensor} that replace others.
    **values: Entries of config.json.

  Returns:
    The tensors of the head.
  """
  tiny_families.write_checkpoint(case, str(folder))
  row = tiny_families.names_of(case)
  shapes = shapes_of(case) if heads_of is None else heads_of
  head = tiny_families.random_tensors(shapes) | (more or {})
  safetensors_numpy.save_file({
      **{row['prefix'] + name: value
         for name, value in tiny_families.tensors(case).items()}, **head},
                              os.path.join(folder, 'model.safetensors'))
  path = os.path.join(folder, 'config.json')
  with open(path) as file:
    old = json.load(file)
  with open(path, 'w') as file:
    json.dump({**old, 'architectures': [
        f'{CLASSES[case]}ForSequenceClassification'], 'id2label': {
            str(n): label for n, label in enumerate(plain.LABELS)},
               **values}, file)
  return head


def load(folder):
  """Returns (base, adapter) of a model."""
  base = aj.load_base(str(folder))
  return base, aj.load_adapter(str(folder), base)


def logits(base, adapter, case):
  """Returns the outputs for the padded batch of a case."""
  inputs = tiny_families.batch(case)
  return tiny.apply(
      heads.make(base.config, (), adapter.outputs, adapter.head_input),
      trees.overlay(base.params, adapter.tuned), inputs['tokens'],
      inputs['segments'], inputs['mask'])


def by_formula(case, base, head):
  """Returns the outputs of transformers' classifier, by its documentation."""
  inputs = tiny_families.batch(case)
  last = tiny.apply(
      encoder.Bert(base.config),
      {name: leaves for name, leaves in base.params.items()
       if name != 'pooler'}, inputs['tokens'], inputs['segments'],
      inputs['mask'])[-1][:, 0]

  def dense(name, value):
    return value @ head[f'{name}.weight'].T + head.get(f'{name}.bias', 0)

  if case == 'bert':
    pooler = base.params['pooler']
    return dense('classifier', jnp.tanh(
        last @ pooler['kernel'] + pooler['bias']))
  if case == 'distilbert':
    return dense('classifier', jax.nn.relu(dense('pre_classifier', last)))
  if case == 'deberta':
    return dense('classifier', jax.nn.gelu(
        dense('pooler.dense', last), approximate=False))
  if case == 'modernbert':
    first = jax.nn.gelu(dense('head.dense', last), approximate=False)
    first = (first - first.mean(-1, keepdims=True)) / jnp.sqrt(
        first.var(-1, keepdims=True) + base.config.norm_epsilon)
    return dense('classifier', first * head['head.norm.weight'])
  first = dense('classifier.dense', last)
  return dense('classifier.out_proj', jnp.tanh(first) if case != 'electra-small'
               else jax.nn.gelu(first, approximate=False))


@pytest.mark.parametrize('case', CLASSES)
def test_outputs_are_those_of_the_classifier(case, tmp_path):
  head = write(case, tmp_path)
  base, adapter = load(tmp_path)
  assert (adapter.methods, adapter.labels, adapter.base) == (
      (), plain.LABELS, base.identity)
  assert adapter.max_length == base.config.longest
  assert {trees.role(path) for path in trees.flatten(adapter.tuned)} <= {
      'head', 'encoder'} and 'encoder' not in adapter.tuned
  found = logits(base, adapter, case)
  assert np.ptp(found) > 0.1
  np.testing.assert_allclose(
      found, by_formula(case, base, head), atol=1e-5, rtol=1e-5)
  for one in aj.predict(base, adapter, plain.TEXTS):
    assert one.label in plain.LABELS


@pytest.mark.parametrize('case, head_input', [
    *plain.CASES.items(), ('modernbert', 'mean_norm'), ('distilbert', 'tokens'),
    ('roberta', 'tags'), ('bert', 'multiple_choice_pooler'),
    ('bert', 'multilabel_pooler')])
def test_an_export_comes_back_bit_by_bit(case, head_input, folders, tmp_path):
  adapter = plain.make(case, head_input, '')
  first, second = tmp_path / 'first', tmp_path / 'second'
  exchange.write(first, adapter, FORM, checkpoint=folders[case])
  base, back = plain.read_back(first)
  assert (back.methods, back.head_input, back.labels, back.texts) == (
      (), head_input, adapter.labels, adapter.texts)
  own = trees.flatten(adapter.tuned)
  for path, leaf in trees.flatten(back.tuned).items():
    np.testing.assert_array_equal(leaf, own[path])
  texts = INPUTS.get(head_input, plain.TEXTS)
  assert aj.predict(base, back, texts) == aj.predict(
      aj.load_base(folders[case]), adapter, texts)
  exchange.write(second, back, FORM, checkpoint=str(first))
  assert sorted(os.listdir(first)) == sorted(os.listdir(second))
  for name in os.listdir(first):
    one, other = ((folder / name).read_bytes() for folder in (first, second))
    if name == 'config.json':  # The order of entries may differ.
      one, other = json.loads(one), json.loads(other)
    assert one == other


@pytest.mark.parametrize('changed, outputs, head_input, labels', [
    ({}, 3, 'pooler', plain.LABELS),
    ({'problem_type': 'single_label_classification'}, 3, 'pooler',
     plain.LABELS),
    ({'problem_type': 'multi_label_classification'}, 3, 'multilabel_pooler',
     plain.LABELS),
    ({'id2label': None}, 2, 'pooler', ()),
    ({'id2label': None, 'architectures': None}, 3, 'pooler', ()),
    ({'id2label': {'0': 'LABEL_0'}}, 1, 'pooler', ()),
    ({'id2label': {'0': 'x'}, 'problem_type': 'regression'}, 1, 'pooler', ()),
    ({'id2label': {'0': 'x'}, 'problem_type': 'multi_label_classification'}, 1,
     'multilabel_pooler', ('x',))])
def test_what_the_config_says(changed, outputs, head_input, labels, tmp_path):
  write('bert', tmp_path, {
      'classifier.weight': (outputs, 12), 'classifier.bias': (outputs,)})
  path = tmp_path / 'config.json'
  values = {**json.loads(path.read_text()), **changed}
  path.write_text(json.dumps({
      name: value for name, value in values.items() if value is not None}))
  base, adapter = load(tmp_path)
  assert (adapter.head_input, adapter.labels, adapter.outputs) == (
      head_input, labels, outputs)
  one, = aj.predict(base, adapter, plain.TEXTS[:1])
  assert (one.score is None) == (head_input != 'pooler' or outputs > 1)


def test_other_heads_and_lengths(tmp_path):
  head = {'classifier.weight': (3, 12), 'classifier.bias': (3,)}
  write('roberta', tmp_path, head,
        architectures=['RobertaForTokenClassification'])
  base, tagger = load(tmp_path)
  assert (tagger.head_input, tagger.labels) == ('tags', plain.LABELS)
  assert (tagger.texts, tagger.max_length) == (
      ('words',), base.config.longest)
  write('distilbert', tmp_path / 'y', {
      'qa_outputs.weight': (2, 12), 'qa_outputs.bias': (2,)},
        architectures=['DistilBertForQuestionAnswering'])
  base, reader = load(tmp_path / 'y')
  assert (reader.head_input, reader.labels, reader.texts) == (
      'tokens', (), ('question', 'context'))
  assert reader.max_length == min(384, base.config.longest)


@pytest.mark.parametrize('case, head, values, message', [
    ('bert', {}, {'architectures': ['BertModel']},
     'it is an encoder without the head of a task; load_base reads it$'),
    ('bert', {}, {'architectures': ['BertForMaskedLM']},
     'head: BertForMaskedLM has a kind of head that is not read; those of '
     '.*TokenClassification.* are$'),
    ('bert', {'classifier.weight': (3, 12), 'crf.transitions': (3, 3)}, {},
     'head: crf.transitions has no place in it$'),
    ('distilbert', None, {'architectures': ['DistilBertForMultipleChoice']},
     'head: pre_classifier.* has no place in it$'),
    ('modernbert', None, {'architectures': ['ModernBertForTokenClassification'
                                            ]},
     'head: ModernBertForTokenClassification has layers that no head of this '
     'package has$'),
    ('modernbert', None, {'classifier_bias': True},
     'head: ModernBertForSequenceClassification has layers that no'),
    ('bert', {'classifier.weight': (3, 12)}, {'problem_type': 'regression'},
     'head: 3 outputs and `problem_type=regression`, as in no head of'),
    ('bert', {'classifier.weight': (1, 12)},
     {'problem_type': 'single_label_classification'}, 'head: 1 outputs and'),
    ('bert', {'classifier.weight': (3, 12)}, {'id2label': {'0': 'a', '1': 'b'}},
     'config.json should name the classes 0 to 2$'),
    ('bert', {'classifier.weight': (2, 12)},
     {'id2label': {'0': 'a', '1': 'a'}}, "`labels`: 'a' is there twice"),
    ('bert', {'classifier.weight': (3, 12)}, {'architectures': 3},
     'its JSON is not as it should be'),
    ('bert', {'classifier.weight': (3, 7)}, {}, 'head/kernel'),
    ('roberta', {'qa_outputs.weight': (3, 12)},
     {'architectures': ['RobertaForQuestionAnswering']}, '3 outputs for each')])
def test_heads_that_are_refused(case, head, values, message, tmp_path):
  write(case, tmp_path, head, **values)
  base = aj.load_base(str(tmp_path))
  with pytest.raises(aj.UserError, match=message) as found:
    aj.load_adapter(str(tmp_path), base)
  assert str(found.value).startswith('`path=') or 'config.json' in str(
      found.value)
  assert len(str(found.value).splitlines()) == 1


@pytest.mark.parametrize('value, message', [
    (np.full((3, 12), np.nan, np.float32), 'NaN'),
    (np.ones((3, 12), np.int8), 'not quantized')])
def test_damaged_numbers(value, message, tmp_path):
  write('bert', tmp_path, {'classifier.bias': (3,)},
        {'classifier.weight': value})
  base = aj.load_base(str(tmp_path))
  with pytest.raises(aj.UserError, match=message):
    aj.load_adapter(str(tmp_path), base)


def test_the_head_is_for_its_own_encoder(folders, tmp_path):
  write('bert', tmp_path)
  base = aj.load_base(str(tmp_path))
  with pytest.raises(aj.UserError, match='`base`: .* is not the base that the '
                     'adapter in .* was trained on'):
    aj.load_adapter(tmp_path, aj.load_base(folders['bert']))
  with pytest.raises(aj.UserError, match='^`base`: .* is a whole model'):
    aj.load_adapter(tmp_path)
  with pytest.raises(aj.UserError, match='`head=False`: nothing but the head'):
    aj.load_adapter(tmp_path, base, head=False)


def test_half_precision(tmp_path):
  value = np.random.default_rng(0).random((3, 12)).astype(np.float16)
  write('bert', tmp_path, {'classifier.bias': (3,)},
        {'classifier.weight': value})
  kernel = load(tmp_path)[1].tuned['head']['kernel']
  assert kernel.dtype == np.float32
  np.testing.assert_array_equal(kernel, value.T)


def test_it_is_an_adapter_like_others(tmp_path):
  write('bert', tmp_path / 'model')
  base, adapter = load(tmp_path / 'model')
  wanted = aj.predict(base, adapter, plain.TEXTS)
  adapter.save(tmp_path / 'saved')
  assert aj.predict(
      base, aj.load_adapter(tmp_path / 'saved', base), plain.TEXTS) == wanted
  lines = convert.convert(tmp_path / 'model', tmp_path / 'own', 'own')
  assert lines == [f'head -> {tmp_path / "own"}']
  assert folders_lib.is_own(str(tmp_path / 'own'))
  assert aj.predict(
      base, aj.load_adapter(tmp_path / 'own', base), plain.TEXTS) == wanted
  data = aj.Examples(plain.TEXTS * 8, ['good', 'bad'] * 8, names=plain.LABELS)
  assert aj.evaluate(base, adapter, data)['accuracy'] == np.mean(
      [one.label == label for one, label in zip(wanted, ('good', 'bad'))])
  on = aj.train(base, data, start=adapter, max_steps=1,
                max_length=8, learning_rate=1e-9)
  assert (on.method, on.head_input) == ('head', 'pooler')
  np.testing.assert_allclose(
      on.tuned['head']['kernel'], adapter.tuned['head']['kernel'], atol=1e-6)


def test_a_run_beside_it_is_not_read(tmp_path):
  write('bert', tmp_path / 'work' / 'model')
  (tmp_path / 'work' / 'run.json').write_text('{}')
  assert load(tmp_path / 'work' / 'model')[1].labels == plain.LABELS
