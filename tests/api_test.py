"""Tests of the library's face: the README's program on a tiny base."""

import dataclasses
import doctest
import os
import re

import jax
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax.adapters import mixed
from adapters_jax.adapters import resident
from adapters_jax.adapters import prediction
from adapters_jax.api import face
from adapters_jax.data import tasks
from adapters_jax.runs import console
from adapters_jax import trees
from tests import api_faults
from tests import outputs
from tests import tiny
from tests.adapters import bank_test

QUICK = {'buckets': 0, 'batch_size': 16, 'max_length': 12, 'max_steps': 200,
         'eval_every': 50, 'learning_rate': 3e-2}
SHORT = {**QUICK, 'max_steps': 2}
TEXTS = ['a good film', 'very dull', 'the plot', 'great ' * 9, 'bad']


def split(seed, size):
  """Returns a split of sentences whose first word decides the class."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 2, size).astype(np.int32)
  words = rng.choice(tiny.WORDS[6:11], (size, 4))
  first = rng.choice(tiny.WORDS[:3], size), rng.choice(tiny.WORDS[3:6], size)
  texts = [(' '.join([first[1 - label][row], *words[row]]),)
           for row, label in enumerate(labels)]
  return tasks.Split(texts, labels)


def data(task, data_dir=''):
  """Stands in for `tasks.load`, which downloads."""
  del task, data_dir
  return {'train': split(0, 48), 'dev': split(1, 30), 'test': split(2, 20)}


@pytest.fixture(scope='module')
def bank(base):
  """The adapters that the README's program trains, by name."""
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(tasks, 'load', data)
    film = aj.train(base, 'movie_sentiment', method='houlsby[size=3]', **QUICK)
    food = aj.train(base, 'amazon_sentiment', method='lora[r=2]', **QUICK)
    news = aj.train(
        base, 'nyt_sentiment', method='lora[r=2]', seed=1, **QUICK)
  return {'film': film, 'food': food, 'news': news}


@pytest.fixture(autouse=True)
def quiet(shown_messages):
  """Leaves the messages to the logger, as for a user of the library."""
  console.hide()


def test_the_program(base, bank, tmp_path):
  film = bank['film']
  assert set(film.scores) == {'dev', 'test'}
  assert list(film.scores['test']) == ['accuracy', 'f1']
  assert film.scores['test']['accuracy'] >= 0.8  # One class is half of them.
  # 2 sites of 2 * 3 * 12 + 12 + 3; 3 norms of 24; a head of 26.
  assert film.trained_params == 2 * 87 + 3 * 24 + 26
  assert (film.base, film.labels, film.max_length) == (
      base.identity, ('negative', 'positive'), 12)

  film.save(tmp_path / 'film')
  again = aj.load_adapter(tmp_path / 'film', base)
  assert dataclasses.replace(again, tuned=film.tuned) == film
  jax.tree.map(np.testing.assert_array_equal, again.tuned, film.tuned)
  np.testing.assert_array_equal(
      outputs.logits(base, again, TEXTS),
      outputs.logits(base, film, TEXTS))

  found, = aj.predict(base, film, TEXTS[:1])
  assert found.label == max(found.probabilities, key=found.probabilities.get)
  assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-6)
  assert repr(found).startswith(f'Prediction(label={found.label!r}, prob')

  folder = str(tmp_path / 'out')
  merged = aj.merge({'food': bank['food'], 'news': bank['news']}, how='average')
  notes = aj.export(merged, folder, format='adapterhub')
  assert 'layer_norms.safetensors' in notes[0]
  back = aj.load_adapter(folder, base)
  np.testing.assert_allclose(
      outputs.logits(base, back, TEXTS),
      outputs.logits(base, merged, TEXTS), atol=1e-6)


def test_the_scores_are_those_of_the_predictions(base, bank):
  test = data(None)['test']
  found = aj.predict(base, bank['film'], test.texts)
  right = [('negative', 'positive')[label] for label in test.labels]
  accuracy = np.mean([one.label == label for one, label in zip(found, right)])
  assert bank['film'].scores['test']['accuracy'] == pytest.approx(accuracy)


def test_a_bank_of_any_methods_equals_one_by_one(base, bank):
  names = ['film', 'news', 'food', 'food', 'news']
  mixed = aj.predict(base, bank, TEXTS, adapters=names)
  for text, name, found in zip(TEXTS, names, mixed, strict=True):
    alone, = aj.predict(base, bank[name], [text])
    assert found.label == alone.label
    for label, share in alone.probabilities.items():
      assert found.probabilities[label] == pytest.approx(share, abs=1e-6)
  assert len({tuple(one.probabilities.values()) for one in mixed}) == 5


def test_setups(base, bank):
  alone = {name: aj.predict(base, one, TEXTS) for name, one in bank.items()}
  found = aj.predict(base, bank, TEXTS, setup=aj.Parallel('film', 'food'))
  for row, one in enumerate(found):
    for name, answer in one.items():
      assert answer.probabilities == pytest.approx(
          alone[name][row].probabilities, abs=1e-6)
  assert {name for one in found for name in one} == {'film', 'food'}
  found = aj.predict(
      base, bank, TEXTS, setup='batch_split(food, film, batch_sizes=[2, 3])')
  for one, other in zip(found, alone['food'][:2] + alone['film'][2:]):
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
  assert aj.predict(base, bank, TEXTS, setup='news') == alone['news']
  both = aj.Stack('film', 'food', norms='last')
  found = aj.predict(base, bank, TEXTS, setup=both)
  assert found == aj.predict(base, aj.compose(bank, both), TEXTS)
  assert found != alone['food']
  for setup, message in (
      ('stack(film, food)', 'norms that differ.*norms=last'),
      ('parallel(film, fod)', "unknown 'fod'.*food"),
      ('batch_split(film, food, batch_sizes=2)', 'sum to 4.*5 texts')):
    with pytest.raises(aj.UserError, match=message):
      aj.predict(base, bank, TEXTS, setup=setup)


def test_an_adapter_under_a_new_one(base, bank):
  examples = aj.Examples(['good', 'bad'] * 8, ['yes', 'no'] * 8)
  both = aj.train(base, examples, method='lora[r=1]', under=bank['film'],
                  **SHORT)
  assert both.method == 'stack(under, task)'
  assert aj.member(both, 'task').method == 'lora[r=1]'
  found = aj.predict(base, {'film': bank['film'], 'mine': aj.member(
      both, 'task')}, ['good'], setup='stack(film, mine, norms=last)')
  assert found == aj.predict(base, both, ['good'])
  with pytest.raises(aj.UserError, match='`under`: give an Adapter or a bank'):
    aj.train(base, examples, under='film')


def test_a_second_call_compiles_nothing(base, bank):
  names = ['film', 'food', 'news', 'food', 'film']
  aj.predict(base, bank, TEXTS, adapters=names)
  step = mixed.make_step(resident.place(base, bank).layouts)
  programs = step._cache_size()
  assert programs >= 1
  aj.predict(base, bank, TEXTS[::-1], adapters=names[::-1])
  aj.predict(base, bank, TEXTS, adapters=['news', *names[:4]])
  assert step._cache_size() == programs


def test_examples_in_memory(base):
  words = [('good', 'fine', 'great')[n % 3] for n in range(12)]
  others = [('bad', 'poor', 'dull')[n % 3] for n in range(12)]
  examples = aj.Examples(
      texts=[f'{word} film' for word in words + others],
      labels=['praise'] * 12 + ['blame'] * 12)
  mine = aj.train(base, examples, method='lora[r=2]', **SHORT)
  assert (mine.labels, mine.task) == (('blame', 'praise'), 'examples')
  assert set(mine.scores) == {'dev'}
  found = aj.predict(base, mine, ['a good film'])
  assert found[0].label in mine.labels


def test_scores_of_pairs_and_a_given_test_set(base):
  pairs = [(f'{a} film', f'{b} plot') for a in tiny.WORDS[:6]
           for b in tiny.WORDS[:6]]
  scores = [float(a.split()[0] == b.split()[0]) for a, b in pairs]
  train = aj.Examples(pairs, scores)
  adapter = aj.train(
      base, train, method='norms', dev=train, test=train, **SHORT)
  assert set(adapter.scores) == {'dev', 'test'}
  assert adapter.method == 'layer norms' and len(adapter.texts) == 2
  found, = aj.predict(base, adapter, pairs[:1])
  assert isinstance(found.score, float)
  assert found.label is None and found.probabilities is None
  with pytest.raises(aj.UserError, match=r'`texts\[1\]`: give 2 texts'):
    aj.predict(base, adapter, [pairs[0], 'a good film'])


def test_nothing_is_printed_and_no_global_setting_changes(
    base, bank, capsys, monkeypatch):
  before = dict(jax.config.values)
  monkeypatch.setattr(tasks, 'load', data)
  aj.train(base, 'movie_sentiment', method='houlsby[size=3]', **SHORT)
  aj.predict(base, bank['film'], TEXTS)
  assert dict(jax.config.values) == before
  assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('call, message', api_faults.FAULTS)
def test_what_is_wrong_is_named(call, message, base, bank):
  with pytest.raises(aj.UserError, match=message) as error:
    call(base, bank)
  text = re.sub('`adapters-jax .*?`', '', str(error.value))  # A whole command.
  assert '--' not in text and '\n' not in text


def test_files_of_other_libraries_need_the_base(base, bank, tmp_path):
  folder = str(tmp_path / 'out')
  aj.export(bank['food'], folder, format='adapterhub', base=base)
  with pytest.raises(aj.UserError, match='`base`:.*load_base'):
    aj.load_adapter(folder)
  with pytest.raises(aj.UserError, match='neither a folder'):
    aj.load_adapter(os.path.join(folder, 'absent'))


def test_ways_to_merge(base, bank):
  pair = {name: bank[name] for name in ('food', 'news')}
  merged = {how: aj.merge(pair, how=how, base=base)
            for how in ('average', 'linear', 'ties', 'dare')}
  merged['rank'] = aj.merge(pair, rank=3, base=base)
  assert merged['rank'].method == 'lora[r=3, alpha=3]'
  for adapter in merged.values():
    assert adapter.task == 'amazon_sentiment+nyt_sentiment'
    assert adapter.scores == {}
    assert np.isfinite(outputs.logits(base, adapter, TEXTS)).all()
  # Weights of 1/2 are an average; the base cancels out of it.
  plain = aj.merge(pair)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
               plain.tuned, merged['average'].tuned)
  # For LoRA, `linear` sums the updates: the ranks add up.
  assert merged['linear'].method == 'lora[r=4, alpha=4]'
  exact = aj.merge(pair, how='linear', base=base, rank=4)
  np.testing.assert_allclose(
      outputs.logits(base, exact, TEXTS),
      outputs.logits(base, merged['linear'], TEXTS), atol=1e-5)
  leaf = 'encoder/layer_0/attention/adapter_query_0/a'
  flat = [trees.flatten(adapter.tuned)[leaf]
          for adapter in (plain, bank['food'], bank['news'])]
  np.testing.assert_allclose(flat[0], (flat[1] + flat[2]) / 2, atol=1e-7)
  # TIES averages where both agree, so that equal adapters merge to themselves.
  twice = aj.merge({'a': bank['food'], 'b': bank['food']}, how='ties',
                   base=base, density=1)
  np.testing.assert_allclose(
      trees.flatten(twice.tuned)[leaf], flat[1], atol=1e-7)


def test_the_examples_of_docstrings(
    base, two_layers_base, bank, tmp_path, monkeypatch):
  monkeypatch.setattr(tasks, 'load', data)
  monkeypatch.chdir(tmp_path)
  names = {'aj': aj, 'base': base, **bank}
  of_two_layers = {
      'base': two_layers_base, 'food': bank_test.make('lora[r=2]', layers=2)}
  ran = 0
  for function in (face.train, face.merge, face.export, face.load_adapter,
                   face.compose, face.member, face.drop_layers, face.fold,
                   prediction.predict, face.Examples, face.Pairs, face.encode,
                   face.evaluate):
    for test in doctest.DocTestFinder(recurse=False).find(
        function, globs=names | (
            of_two_layers if function is face.drop_layers else {})):
      result = doctest.DocTestRunner(
          optionflags=doctest.ELLIPSIS).run(test)
      assert result.failed == 0
      ran += result.attempted
  assert ran >= 10


@pytest.mark.slow
def test_embeddings_over_a_frozen_adapter(base):
  film = dataclasses.replace(
      bank_test.make('houlsby[size=3]'), base=base.identity, max_length=12)
  words = ('good', 'bad', 'dull', 'fine', 'great', 'poor')
  pairs = aj.Pairs([(f'a {word} film', f'very {word}') for word in words] * 3)
  both = aj.train(base, pairs, method='lora[r=1]',
                  under={'film': film}, **SHORT)
  assert both.method == 'stack(film, task)'
  # The frozen adapter is the one that was given, the other one has moved.
  frozen = trees.flatten(aj.member(both, 'film').tuned)
  for path, leaf in trees.flatten(film.tuned).items():
    if trees.role(path) == 'adapter':
      np.testing.assert_array_equal(frozen[path], leaf, err_msg=path)
  sts = aj.member(both, 'task')
  assert any(np.any(leaf) for path, leaf in trees.flatten(sts.tuned).items()
             if path.endswith('/b'))
  found = aj.encode(base, TEXTS, both)
  assert np.abs(found - aj.encode(base, TEXTS, sts)).max() > 1e-3
  apart = aj.encode(base, TEXTS, {'film': film, 'sts': sts},
                    setup='stack(film, sts, norms=last)')
  np.testing.assert_allclose(found, apart, atol=1e-6)
