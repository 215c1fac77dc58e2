"""Tests of predictions: groups of a bank, length limits, bases."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import compiled
from adapters_jax.adapters import prediction
from adapters_jax.data import choices
from adapters_jax.data import tokenization
from adapters_jax.model import base as base_lib
from adapters_jax.model import composition
from adapters_jax.model import heads
from adapters_jax import trees
from tests import outputs
from tests import tiny
from tests.adapters import bank_test
from tests.adapters import composing_test

TEXTS = ['a good film', 'very dull', 'the plot ' * 4, 'bad']


def asked(adapter, **changed):
  """Returns an adapter that answers questions."""
  return dataclasses.replace(
      adapter, head_input='tokens', texts=('question', 'context'), **changed)


def test_logits_are_those_of_the_model(base):
  """Compared without batches, padding and compiled steps."""
  adapter = bank_test.make('lora[r=2]|seq_bn[size=3]')
  found = outputs.logits(base, adapter, TEXTS, batch_size=3)
  model = heads.make(tiny.CONFIG, adapter.methods, 2, 'cls')
  params = trees.overlay(base.params, adapter.tuned)
  encoded = zip(*tokenization.encode(
      tokenization.load(base.folder), [(text,) for text in TEXTS], 128))
  for row, (tokens, segments) in zip(found, encoded, strict=True):
    mask = jnp.ones((1, len(tokens)), bool)
    wanted = tiny.apply(model, params, tokens[None], segments[None], mask)
    np.testing.assert_allclose(row, wanted[0], atol=2e-6)


def test_a_method_may_leave_out_a_norm(base):
  method = ('houlsby[size=3, original_ln_before=False, '
            'original_ln_after=False]')
  film = aj.train(base, aj.Examples(TEXTS[:2] * 4, ['yes', 'no'] * 4), method,
                  max_steps=1, buckets=1, max_length=8)
  assert not any('ffn_norm' in path for path in trees.flatten(film.tuned))
  one, = aj.predict(base, film, TEXTS[:1])
  both = aj.predict(base, {'a': film, 'b': film}, TEXTS[:1], ['b'])
  assert both[0].probabilities == pytest.approx(one.probabilities)
  assert aj.encode(base, TEXTS[:1], film).shape == (1, tiny.CONFIG.dim)


def test_a_mixed_batch_has_each_adapter_its_own_labels_and_length(base):
  bank = {'a': dataclasses.replace(bank_test.make(), labels=('x', 'y')),
          'b': dataclasses.replace(bank_test.make(seed=1), max_length=4)}
  texts = ['a good film', 'very dull film', 'very dull plot']
  found = prediction.predict(base, bank, texts, ['a', 'b', 'b'])
  assert set(found[0].probabilities) == {'x', 'y'}
  assert set(found[1].probabilities) == {'0', '1'}
  # Two of its pieces are left, which the last two texts share.
  assert found[1] == found[2]
  assert found[1] != prediction.predict(
      base, dataclasses.replace(bank['b'], max_length=5), [texts[1]])[0]


def test_a_bank_of_classes_scores_and_answers(base):
  bank = {'class': bank_test.make(), 'score': bank_test.make(seed=1),
          'answer': asked(bank_test.make(seed=2))}
  head = bank['score'].tuned['head']
  bank['score'].tuned['head'] = jax.tree.map(lambda leaf: leaf[..., :1], head)
  pair = ('a plot', 'a good film the very dull plot')
  texts = [pair, 'a good film', 'a good film']
  found = prediction.predict(base, bank, texts, ['answer', 'score', 'class'])
  assert found[0].answer and found[0].answer in pair[1]
  assert found[0].answer == prediction.predict(
      base, bank['answer'], [pair])[0].answer
  assert found[1].score == pytest.approx(float(outputs.logits(
      base, bank['score'], texts[1:2])[0, 0]), abs=1e-6)
  assert found[2].label in ('0', '1') and found[2].score is None


@pytest.mark.parametrize('answering', [False, True])
def test_outputs_that_are_nan_are_no_prediction(base, answering):
  bank = {'a': bank_test.make(), 'b': bank_test.make(seed=1)}
  head = bank['b'].tuned['head']
  bank['b'].tuned['head'] = jax.tree.map(lambda leaf: leaf * np.nan, head)
  texts = ['good film', 'very dull plot', 'a good film', 'dull']
  if answering:  # The second question has several windows.
    bank = {name: asked(adapter, max_length=8)
            for name, adapter in bank.items()}
    texts = [('a plot', text * 3) for text in texts]
  with pytest.raises(errors.UserError, match='^text 2: the outputs are not fi'):
    prediction.predict(base, bank, texts, ['a', 'a', 'b', 'b'])
  with pytest.raises(errors.UserError, match='^text 0: the outputs are not fi'):
    prediction.predict(base, bank['b'], texts)


def test_no_texts_give_no_predictions(base):
  assert prediction.predict(base, bank_test.make(), []) == []
  assert prediction.predict(base, {'a': bank_test.make()}, [], []) == []


def test_the_activation_of_the_training_is_used(base):
  adapter = bank_test.make()
  other = dataclasses.replace(adapter, hidden_activation='relu')
  model = compiled.model_of(base, other)
  assert model.config.activation == 'relu'
  assert not np.allclose(
      outputs.logits(base, other, TEXTS),
      outputs.logits(base, adapter, TEXTS), atol=1e-3)


@pytest.mark.parametrize('position', [
    1, pytest.param(8, marks=pytest.mark.slow)])
def test_a_split_of_texts_of_any_length(base, position):
  bank = {'a': composing_test.make('houlsby[size=3]'),
          'b': composing_test.make('lora[r=2]', 1)}
  bank['b'].tuned['head'] = bank['a'].tuned['head']
  setup = composition.Split('a', 'b', splits=(position,))
  texts = ['good', 'the plot of a very dull film is a good plot']

  def found(adapters, texts, **options):
    return np.array([list(one.probabilities.values()) for one in
                     prediction.predict(base, adapters, texts, **options)])

  both = found(bank, texts, setup=setup)
  # Padded to other lengths.
  alone = np.concatenate([found(bank, [one], setup=setup) for one in texts])
  np.testing.assert_allclose(both, alone, atol=1e-6)
  # [CLS] good [SEP] are 3 positions.
  first = np.isclose(both, found(bank['a'], texts), atol=1e-6).all(axis=1)
  assert first.tolist() == [position == 8, False]
  assert not np.isclose(both, found(bank['b'], texts), atol=1e-4).any()


@pytest.mark.parametrize('row', [
    ('the film', 'good'), ('the film', ''), ('the film', ['good']), 'the film',
    ('the film', 'good', 'dull')])
def test_one_text_is_no_choices(base, row):
  adapter = bank_test.make()
  adapter.tuned['head'] = jax.tree.map(
      lambda leaf: leaf[..., :1], adapter.tuned['head'])
  adapter = dataclasses.replace(
      adapter, head_input='multiple_choice', texts=choices.TEXTS)
  with pytest.raises(errors.UserError, match=r'^`texts\[0\]`.*two choices'):
    prediction.predict(base, adapter, [row])


def test_prompts_leave_room_for_less_text(base):
  adapter = bank_test.make('prompt_tuning[prompt_length=30, combine=words]')
  taken = tiny.CONFIG.positions - compiled.max_length(base, adapter)
  assert taken == adapter.methods[0].positions_taken > 0
  long = ' '.join(['good'] * 100)
  found = outputs.logits(base, adapter, [long])
  # Of 10 tokens, padded to 16: beyond the table, with the prompt.
  tokens, segments = tokenization.encode(
      tokenization.load(base.folder), [(long,)], 10)
  wanted = tiny.apply(
      compiled.model_of(base, adapter),
      trees.overlay(base.params, adapter.tuned), tokens[0][None],
      segments[0][None], np.ones((1, 10), bool))
  np.testing.assert_allclose(found, wanted, atol=2e-6)
  short = dataclasses.replace(adapter, max_length=5)
  assert compiled.max_length(base, short) == 5


def test_a_reloaded_adapter_and_its_base(base, checkpoint, tmp_path):
  adapter = dataclasses.replace(bank_test.make(), base=base.identity)
  folder = str(tmp_path / 'ours')
  adapter.save(folder)
  loaded = prediction.load(folder, checkpoint)
  np.testing.assert_array_equal(
      outputs.logits(*loaded, TEXTS), outputs.logits(
          base, adapter, TEXTS))
  with pytest.raises(errors.UserError, match='trained on the folder tiny'):
    prediction.load(folder)
  moved = shutil.copytree(checkpoint, tmp_path / 'moved')
  prediction.load(folder, str(moved))  # The content counts, not the place.
  tiny.write_checkpoint(str(moved), seed=1)
  with pytest.raises(errors.UserError, match='is not the base'):
    prediction.load(folder, str(moved))
  with pytest.raises(errors.UserError, match='is not the base'):
    outputs.logits(base_lib.load(str(moved)), adapter, TEXTS)
  dataclasses.replace(adapter, base='').save(folder)
  with pytest.raises(errors.UserError, match='does not name its base'):
    prediction.load(folder)


def test_the_precision_of_the_training_is_used(base, checkpoint, tmp_path):
  adapter = dataclasses.replace(
      bank_test.make(), settings={'precision': 'bfloat16'})
  adapter.save(str(tmp_path))
  half, loaded = prediction.load(str(tmp_path), checkpoint)
  assert half.precision == 'bfloat16'
  found = outputs.logits(half, loaded, TEXTS)
  wanted = outputs.logits(base, loaded, TEXTS)
  np.testing.assert_allclose(found, wanted, atol=0.1)
  assert np.abs(found - wanted).max() > 0


def test_what_does_not_fit_is_named(base):
  other = bank_test.make('bottleneck[size=4]').tuned
  with pytest.raises(errors.UserError, match='misshapen.*adapter_'):
    outputs.logits(
        base, dataclasses.replace(bank_test.make(), tuned=other), TEXTS)
  headless, _ = trees.split(
      bank_test.make().tuned, lambda path: trees.role(path) != 'head')
  with pytest.raises(errors.UserError, match='no head'):
    outputs.logits(
        base, dataclasses.replace(bank_test.make(), tuned=headless), TEXTS)
