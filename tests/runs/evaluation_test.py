"""Scores of an adapter on labelled examples."""

import dataclasses
import logging
import typing
from unittest import mock

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import prediction
from adapters_jax.data import squad
from adapters_jax.data import squad_files
from adapters_jax.data import tasks
from adapters_jax.runs.kinds import chosen_kind
from tests import tiny
from tests.adapters import bank_test

SHORT = {'buckets': 0, 'batch_size': 8, 'max_steps': 4, 'max_length': 16,
         'learning_rate': 3e-2}


def texts(count=24):
  rng = np.random.default_rng(0)
  return [' '.join(rng.choice(tiny.WORDS[:11], rng.integers(2, 7)))
          for _ in range(count)]


def pairs_of(words):
  return [(one, words[row - 1]) for row, one in enumerate(words)]


def choices_of(words):
  return [(one, (words[row - 1], words[row - 2])) for row, one in enumerate(
      words)]


def data_of(form):
  """Returns learnable examples of a form, for training and dev."""
  words = texts()
  good = [any(word in tiny.WORDS[:3] for word in one.split()) for one in words]
  if form == 'classes':
    return aj.Examples(words, ['yes' if one else 'no' for one in good])
  if form == 'several labels':
    return aj.Examples(words, [sorted({*one.split()} & {*tiny.WORDS[:4]})
                               for one in words])
  if form == 'scores of pairs':  # Integers among floats.
    return aj.Examples(
        pairs_of(words), [0.5, *(len(one.split()) for one in words[1:])])
  if form == 'choices':
    return aj.Examples(choices_of(words), [int(one) for one in good])
  if form == 'texts':
    return aj.Texts(words)
  if form == 'questions':
    return aj.Questions(['a film'] * len(words), words, [
        {'text': [one.split()[-1]], 'answer_start': [one.rindex(' ') + 1]}
        for one in words])
  if form == 'entities':
    return aj.TaggedExamples([one.split() for one in words], [
        ['B-G' if word in tiny.WORDS[:3] else 'O' for word in one.split()]
        for one in words])
  scores = [float(len({*a.split()} & {*b.split()})) for a, b in pairs_of(words)]
  return aj.Pairs(pairs_of(words), scores if form == 'scored pairs' else None)


# {form of `data_of`: settings of its training}
FORMS = {
    'classes': {'threshold': 'dev', 'metric': 'matthews'},
    'texts': {'metric': 'accuracy', 'mask_rate': 0.3},
    'several labels': {'metric': 'macro_f1'},
    'questions': {'metric': 'exact_match'}, 'scores of pairs': {},
    'choices': {}, 'entities': {}, 'scored pairs': {}, 'pairs': {}}


def test_every_type_of_data_has_a_form_and_a_name():
  types = {type(data_of(form)) for form in FORMS}
  assert types == {*typing.get_args(chosen_kind.InMemory)}
  assert {one.__name__ for one in types} <= {*aj.__all__}


@pytest.mark.parametrize('form, changed', [
    pytest.param(form, changed, marks=(
        [] if form == 'classes' else [pytest.mark.slow]))
    for form, changed in FORMS.items()])
def test_scores_are_those_of_the_training(base, form, changed):
  data = data_of(form)
  adapter = aj.train(base, data, 'lora[r=2]', dev=data, **SHORT, **changed)
  found = aj.evaluate(base, adapter, data)
  assert list(found) == list(adapter.scores['dev'])
  # Other lengths of padding round logits and vectors in another way.
  assert found == pytest.approx(adapter.scores['dev'], abs=(
      2e-5 if 'pearson' in found or form == 'texts' else 1e-9))


@pytest.fixture
def adapter(base):
  return dataclasses.replace(
      bank_test.make('lora[r=2]'), base=base.identity, labels=('no', 'yes'),
      max_length=16)


def test_classes_are_matched_by_name(base, adapter, monkeypatch):
  words = texts()
  right = np.arange(len(words)) % 2
  monkeypatch.setattr(tasks, 'load', lambda task, data_dir='': {
      'dev': tasks.Split([(one,) for one in words], right.astype(np.int32)),
      'test': tasks.Split([('a',)], np.array([-1]), labelled=False)})
  given = aj.predict(base, adapter, words)
  for labels in (('negative', 'positive'), ('positive', 'negative')):
    named = dataclasses.replace(adapter, labels=labels)
    hits = [('no', 'yes').index(one.label) for one in given]
    calls = np.array([labels[hit] == 'positive' for hit in hits])
    found = aj.evaluate(base, named, 'movie_sentiment', split='dev')
    both = (calls & (right == 1)).sum()
    assert found == pytest.approx({
        'accuracy': (calls == right).mean(),
        'f1': 2 * both / (calls.sum() + right.sum())})
    names = [('negative', 'positive')[one] for one in right]
    again = aj.evaluate(base, named, aj.Examples(words, names))
    assert again['accuracy'] == pytest.approx(found['accuracy'])
  with pytest.raises(aj.UserError, match='movie_sentiment has labels in dev'):
    aj.evaluate(base, named, 'movie_sentiment')
  with pytest.raises(aj.UserError, match='has the classes negative, positive,'):
    aj.evaluate(base, adapter, 'movie_sentiment', split='dev')


def test_a_threshold_of_its_own(base, adapter):
  words = texts()
  shares = sorted(one.probabilities['yes']
                  for one in aj.predict(base, adapter, words))
  examples = aj.Examples(words, ['yes'] * len(words))
  middle = (shares[5] + shares[6]) / 2
  found = aj.evaluate(base, adapter, examples, threshold=middle)
  assert found['accuracy'] == pytest.approx(18 / 24)
  saved = dataclasses.replace(adapter, threshold=middle)
  assert aj.evaluate(base, saved, examples) == found


def test_a_composed_adapter_and_classes_that_are_numbers(base, adapter):
  other = dataclasses.replace(
      bank_test.make('lora[r=2]', seed=1), base=base.identity, max_length=16)
  both = aj.compose({'a': adapter, 'b': other}, 'stack(a, b, norms=last)')
  words = texts(6)
  given = [int(one.label) for one in aj.predict(base, both, words)]
  found = aj.evaluate(base, both, aj.Examples(words, given))
  assert found['accuracy'] == 1


def test_questions(base, monkeypatch):
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), base=base.identity, max_length=16,
      head_input='tokens', texts=('question', 'context'))
  asked = [squad.Question('0', 'a film', 'very good plot', (('good', 5),))]
  monkeypatch.setattr(squad_files, 'read_tfds', lambda data_dir: {'dev': asked})
  answer, = aj.predict(base, adapter, [('a film', 'very good plot')])
  found = aj.evaluate(base, adapter, 'squad', split='dev')
  assert list(found) == list(squad.TASK.metrics)
  again = aj.evaluate(
      base, adapter, 'squad', split='dev', metric='exact_match')
  assert again == found and next(iter(again)) == 'exact_match'
  assert found['exact_match'] == float(answer.answer == 'good')
  for data, split, message in (
      ('squad', '', "unknown 'test'"), (data_of('classes'), '', 'answers')):
    with pytest.raises(aj.UserError, match=message):
      aj.evaluate(base, adapter, data, split=split)


def test_tags_that_the_adapter_does_not_know(base, caplog):
  tagger = dataclasses.replace(
      bank_test.make('lora[r=2]'), base=base.identity, head_input='tags',
      labels=('S', 'T'), max_length=16)
  with caplog.at_level(logging.WARNING, 'adapters_jax'):
    found = aj.evaluate(base, tagger, aj.TaggedExamples([['a', 'film']], [
        ['X', 'T']]))
  assert "such as 'X'" in caplog.text and found['tag_accuracy'] <= 0.5
  with pytest.raises(aj.UserError, match="`tags`: unknown 'X'"):
    aj.evaluate(base, tagger, aj.TaggedExamples([['a']], [['X']]))
  with pytest.raises(aj.UserError, match='adapter gives tags of words'):
    aj.evaluate(base, tagger, data_of('classes'))


def test_a_tagger_with_tags_of_other_forms(base, monkeypatch):
  made = bank_test.make('lora[r=2]')
  head = {'kernel': np.zeros((12, 3)), 'bias': np.zeros(3)}
  tagger = dataclasses.replace(
      made, tuned={**made.tuned, 'head': head}, base=base.identity,
      head_input='tags', labels=('B-P', 'O', '[PAD]'), max_length=16)
  monkeypatch.setattr(prediction, 'values', lambda *_: (
      [mock.Mock(tags=('B-P', '[PAD]', '[PAD]'))], None))
  # As `predict` reads the tags, there is one entity, of one word.
  assert aj.evaluate(base, tagger, aj.TaggedExamples(
      [['a', 'good', 'film']], [['B-P', 'O', 'O']])) == {
          'entity_f1': 1, 'entity_precision': 1, 'entity_recall': 1,
          'tag_accuracy': 1 / 3}


@pytest.mark.parametrize('change, data, call, message', [
    ({}, aj.Examples(['a'], ['yess']), {}, "`labels.0.`: unknown 'yess'.*yes"),
    ({}, aj.Examples(['a'], [1.0]), {}, 'for scores, and the adapter gives c'),
    ({}, aj.Examples(['a'], [['yes']]), {}, 'for several labels a text, and'),
    ({}, aj.Examples([('a', ('b', 'c'))], [0]), {}, 'for multiple choice, and'),
    ({}, aj.Examples([('a', 'b')], ['yes']), {}, r'`texts\[0\]`: give 1 text'),
    ({}, aj.TaggedExamples([['a']], [['yes']]), {}, 'tags of words need an ad'),
    ({}, aj.Pairs([('a', 'b')]), {}, 'Pairs are for sentence embeddings'),
    ({}, 'squad_texts', {}, '^`data`: unknown .*movie_sentiment_texts'),
    ({}, aj.Texts(['a']), {}, 'raw texts need an adapter of masked language'),
    ({}, aj.Questions(['a'], ['b'], ['b']), {}, 'questions need an adapter'),
    ({}, 'movi_sentiment', {}, '^`data`: unknown .*movie_sentiment'),
    ({}, 3, {}, '`data`: give Examples.*not int'),
    ({}, aj.Examples(['a'], ['no']), {'split': 'dev'}, 'for a task by name'),
    ({}, aj.Examples(['a'], ['no']), {'data_dir': 'x'}, '`data_dir=x`: is for'),
    ({}, 'rte', {'data_dir': 3}, '`data_dir`: give a path'),
    ({}, aj.Examples(['a'], ['no']), {'metric': 'acc'},
     "`metric`: unknown 'acc'; did you mean accuracy.$"),
    ({}, aj.Examples(['a'], ['no']), {'metric': 3}, '`metric`: .*not int'),
    ({}, aj.Examples(['a'], ['no']), {'metric': 'spearman'},
     '`metric=spearman`: is not for this task; give one of accuracy'),
    ({}, aj.Examples(['a'], ['no']), {'threshold': 2}, '`threshold=2`: give a'),
    ({'labels': ('a', 'b', 'c')}, aj.Examples(['a'], ['a']), {}, '2 outputs'),
    ({'base': 'other@0'}, aj.Examples(['a'], ['no']), {}, 'is not the base'),
    ({'tuned': {}}, aj.Examples(['a'], ['no']), {}, 'no head to predict with'),
    ({'head_input': 'embedding_mean', 'tuned': {}},
     aj.Examples(['a'], ['no']), {}, 'for sentence embeddings and has no cl'),
    ({'head_input': 'tags'}, aj.Examples(['a'], ['no']), {'threshold': 0.4},
     'is for two classes, or several')])
def test_what_cannot_be_scored(base, adapter, change, data, call, message):
  changed = dataclasses.replace(adapter, **change)
  with pytest.raises(aj.UserError, match=message):
    aj.evaluate(base, changed, data, **call)


def test_a_metric_comes_first(base, adapter):
  examples = aj.Examples(texts(6), ['yes', 'no'] * 3)
  usual = aj.evaluate(base, adapter, examples)
  found = aj.evaluate(base, adapter, examples, metric='f1')
  assert list(found) == ['f1', *usual] == ['f1', 'accuracy', 'macro_f1']
  assert found == {'f1': found['f1'], **usual}
  trained = dataclasses.replace(adapter, settings={'metric': 'kappa'})
  again = aj.evaluate(base, trained, examples, metric='macro_f1')
  assert list(again) == ['macro_f1', 'accuracy']


def test_scores_of_raw_texts(base):
  adapter = aj.train(base, data_of('texts'), method='lora[r=2]', **{
      **SHORT, 'max_steps': 1})
  found = aj.evaluate(base, adapter, aj.Texts(texts(6)))
  again = aj.evaluate(base, adapter, aj.Texts(texts(6)), metric='perplexity')
  assert again == found and next(iter(again)) == 'perplexity'
  with pytest.raises(aj.UserError, match='^`data`: no text has a piece that'):
    aj.evaluate(base, adapter, aj.Texts(['\u200b']))


@pytest.mark.parametrize('name', [
    'movie_sentiment', 'movie_sentiment_texts', 'stsb_pairs', 'squad'])
def test_the_folder_of_the_data(base, adapter, name, monkeypatch, tmp_path):
  def load(source, data_dir=''):
    raise errors.UserError(f'from {data_dir}')

  monkeypatch.setattr(tasks, 'load', load)
  monkeypatch.setattr(squad_files, 'read_tfds', lambda folder: load('', folder))
  with pytest.raises(aj.UserError, match=f'^from {tmp_path}$'):
    aj.evaluate(base, adapter, name, data_dir=tmp_path)


def test_other_types(base, adapter):
  examples = aj.Examples(['a'], ['no'])
  with pytest.raises(aj.UserError, match='`base`: .*evaluate.base, adapter'):
    aj.evaluate(adapter, base, examples)
  with pytest.raises(aj.UserError, match='`adapter`: give an Adapter, not d'):
    aj.evaluate(base, {'a': adapter}, examples)
