"""Heads of models that the real transformers saved."""

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import trees
from adapters_jax.model import heads
from tests import tiny
from tests import tiny_families
from tests.adapters.formats import transformers_model_interop_test as exported
from tests.adapters.formats import transformers_model_test as plain

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

pytestmark = pytest.mark.interop


def save(case, kind, folder, **values):
  """Saves a random model of a task; returns it.

  Args:
    case: Key of tiny_families.VALUES.
    kind: End of the name of its class, such as 'TokenClassification'.
    folder: Folder to write, with the vocabulary of the tests.
    **values: Entries of its config.
  """
  tiny_families.write_checkpoint(case, str(folder))
  torch.manual_seed(0)
  own = dict(tiny_families.VALUES[case])
  config = transformers.AutoConfig.for_model(
      own.pop('model_type'), **own, **values)
  auto = getattr(transformers, f'AutoModelFor{kind}')
  model = auto.from_config(config).eval()
  with torch.no_grad():  # Fresh ones are nearly zero.
    for weight in model.parameters():
      weight.add_(0.2 * torch.randn_like(weight))
  model.save_pretrained(str(folder))
  return model


def check(case, kind, folder, **values):
  """Checks our outputs against those of a model; returns the adapter."""
  model = save(case, kind, folder, **values)
  base = aj.load_base(str(folder))
  adapter = aj.load_adapter(str(folder), base)
  choices = adapter.head.choices
  inputs = exported.batch(case, choices)
  wanted = exported.run(model, case, choices)
  found = np.asarray(tiny.apply(
      heads.make(base.config, (), adapter.outputs, adapter.head_input),
      trees.overlay(base.params, adapter.tuned), inputs['tokens'],
      inputs['segments'], inputs['mask']))
  assert found.shape == wanted.shape and np.ptp(wanted) > 0.01
  if adapter.head.per_token:
    found, wanted = (array[inputs['mask']] for array in (found, wanted))
  np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-4)
  return adapter


NAMES = {'id2label': dict(enumerate(plain.LABELS)),
         'label2id': {label: n for n, label in enumerate(plain.LABELS)}}


@pytest.mark.parametrize('case', plain.CASES)
def test_classes(case, tmp_path):
  adapter = check(case, 'SequenceClassification', tmp_path, **NAMES)
  assert (adapter.head_input, adapter.labels) == (
      plain.CASES[case], plain.LABELS)


@pytest.mark.parametrize('case, values', [
    ('modernbert', {'classifier_pooling': 'mean'}),
    ('deberta', {'pooler_hidden_act': 'relu'}),
    ('deberta', {'pooler_hidden_act': 'tanh'}),
    ('bert', {'problem_type': 'multi_label_classification'})])
def test_other_classifiers(case, values, tmp_path):
  adapter = check(case, 'SequenceClassification', tmp_path, **NAMES, **values)
  assert adapter.labels == plain.LABELS


def test_a_score(tmp_path):
  adapter = check('roberta', 'SequenceClassification', tmp_path, num_labels=1)
  assert adapter.labels == () and adapter.outputs == 1


@pytest.mark.parametrize('kind, head_input', [
    ('TokenClassification', 'tags'), ('QuestionAnswering', 'tokens')])
@pytest.mark.parametrize(
    'case', [case for case in plain.CASES if case != 'modernbert'])
def test_heads_on_every_position(case, kind, head_input, tmp_path):
  values = NAMES if head_input == 'tags' else {}
  assert check(case, kind, tmp_path, **values).head_input == head_input


@pytest.mark.parametrize('case', ('bert', 'roberta', 'mpnet'))
def test_choices(case, tmp_path):
  check(case, 'MultipleChoice', tmp_path)


@pytest.mark.parametrize('case, kind', [
    ('distilbert', 'MultipleChoice'), ('electra-small', 'MultipleChoice'),
    ('deberta', 'MultipleChoice'), ('modernbert', 'TokenClassification'),
    ('bert', 'MaskedLM'), ('bert', 'NextSentencePrediction')])
def test_heads_that_are_refused(case, kind, tmp_path):
  save(case, kind, tmp_path)
  base = aj.load_base(str(tmp_path))
  with pytest.raises(aj.UserError, match='^`path=.*: head: '):
    aj.load_adapter(str(tmp_path), base)


@pytest.mark.parametrize('case', ('bert', 'distilbert'))
def test_answers_are_those_of_a_pipeline(case, tmp_path):
  save(case, 'SequenceClassification', tmp_path, **NAMES)
  base = aj.load_base(str(tmp_path))
  adapter = aj.load_adapter(str(tmp_path), base)
  texts = ['a good film', 'the very dull plot', 'fine']
  classify = transformers.pipeline(
      'text-classification', str(tmp_path), top_k=None)
  for found, one in zip(
      classify(texts), aj.predict(base, adapter, texts), strict=True):
    assert found[0]['label'] == one.label
    assert {row['label']: row['score'] for row in found} == pytest.approx(
        one.probabilities, abs=1e-5)
