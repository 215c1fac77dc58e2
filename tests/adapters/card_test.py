"""Model cards, for each format of the files."""

import dataclasses

import huggingface_hub
import pytest

from adapters_jax.adapters import card
from tests.adapters import bank_test


def make(head_input, **changed):
  """Returns an adapter of two classes with this head."""
  return dataclasses.replace(
      bank_test.make('lora[r=2]'), head_input=head_input, **changed)


def task_of(text):
  """Returns the task of a card's metadata."""
  return huggingface_hub.ModelCard(text).data.pipeline_tag


@pytest.mark.parametrize('form, head, line', [
    ('transformers', True, "model = AutoModelForSequenceClassification."
     "from_pretrained('me/film')"),
    ('transformers', False, "model = AutoModel.from_pretrained('me/film')"),
    ('sentence_transformers', True, "model = SentenceTransformer('me/film')")])
def test_the_card_of_a_whole_model(form, head, line):
  text = card.text(make('pooler'), 'me/film', form, head)
  assert line in text.splitlines() and 'load_adapter' not in text


@pytest.mark.parametrize('head_input, form, head, task', [
    *(('pooler', form, True, 'text-classification')
      for form in ('own', 'adapterhub', 'peft', 'transformers')),
    *(('pooler', form, False, 'feature-extraction')
      for form in ('own', 'adapterhub', 'peft', 'transformers')),
    ('pooler', 'sentence_transformers', True, 'feature-extraction'),
    ('tokens', 'transformers', True, 'question-answering'),
    ('masked_lm', 'adapterhub', True, 'fill-mask'),
    ('masked_lm', 'peft', True, 'feature-extraction'),
    ('masked_lm', 'transformers', True, 'feature-extraction'),
    ('embedding_max', 'sentence_transformers', True, 'sentence-similarity'),
    ('embedding_max', 'peft', False, 'sentence-similarity'),
    ('embedding_max', 'transformers', True, 'feature-extraction')])
def test_the_task_is_that_of_the_files(head_input, form, head, task):
  adapter = make(head_input)
  if head_input == 'embedding_max':
    del adapter.tuned['head']
  assert task_of(card.text(adapter, 'me/film', form, head)) == task


def test_no_card_speaks_of_a_head_that_the_files_lack():
  adapter = make('pooler', labels=('no', 'yes'), threshold=0.4)
  for form, head in (('peft', True), ('peft', False),
                     ('sentence_transformers', True)):
    text = card.text(adapter, 'me/film', form, head)
    assert ('| classes | no, yes |' in text) == ('| threshold' in text) == (
        form == 'peft' and head)
  del adapter.tuned['head']
  bare = card.text(dataclasses.replace(adapter, labels=()), 'me/film', 'peft')
  assert task_of(bare) == 'feature-extraction'


@pytest.mark.parametrize('task, settings, public', [
    ('rte', {}, True), ('squad', {'task': 'squad'}, True),
    ('squad', {'task': 'questions'}, False),  # Of an earlier version.
    ('rte', {'train_file': 'rte.tsv'}, False), ('examples', {}, False),
    ('rte+cola', {}, False), ('', {}, False)])
def test_scores_are_results_on_public_datasets_alone(task, settings, public):
  adapter = make('pooler', task=task, scores={'dev': {'accuracy': 0.75}},
                 settings=settings)
  text = card.text(adapter, 'me/film', 'own')
  found = huggingface_hub.ModelCard(text).data.eval_results or []
  assert [one.dataset_name for one in found] == [task] * public
  assert '| dev | accuracy | 0.7500 |' in text


def test_how_the_adapter_was_made():
  trained = make('tokens', task='films', settings={'epochs': 1.0})
  for adapter, said in (
      (trained, 'trained with adapters_jax on films.'),
      (dataclasses.replace(trained, task='a+b', settings={}),
       'made with adapters_jax on a+b.'),
      (dataclasses.replace(trained, task='question_answering', settings={}),
       'made with adapters_jax.')):
    assert f', {said}' in card.text(adapter, 'me/film', 'own')
