"""Tests of adapters.readings: numbers of texts in messages."""

import dataclasses
from unittest import mock

import pytest

import adapters_jax as aj
from adapters_jax.adapters import batcher as batcher_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import prediction
from adapters_jax.adapters import readings
from adapters_jax.data import squad
from adapters_jax.data import tokenization
from tests.adapters import bank_test

HALF = 'bad \ud800'


@pytest.fixture(scope='module')
def bank():
  one = bank_test.make('lora[r=2]')
  return {
      'a': one, 'b': bank_test.make('lora[r=2]', 1),
      'pair': dataclasses.replace(one, texts=('premise', 'hypothesis')),
      'asked': dataclasses.replace(
          one, head_input='tokens', texts=('question', 'context')),
      'tags': dataclasses.replace(one, head_input='tags', labels=('O', 'X')),
      'choice': dataclasses.replace(
          one, head_input='multiple_choice', texts=('context', 'choices'))}


def test_half_a_character_is_in_the_text_of_that_number(base, bank):
  for call in (
      lambda: aj.predict(base, bank, ['good', HALF], ['a', 'b']),
      lambda: aj.predict(base, {'a': bank['a']}, ['good', HALF]),
      lambda: aj.encode(base, ['good', HALF]),
      lambda: aj.encode(base, ['good', HALF], bank, adapters=['a', 'b']),
      lambda: aj.encode(base, ['good', HALF], bank, adapters=['a', None])):
    with pytest.raises(aj.UserError, match=r'(?<!\w)text 1: the tokenizer'):
      call()
  # A text that is there twice is tokenised once.
  with pytest.raises(aj.UserError, match='text 2: the tokenizer'):
    aj.encode(base, ['good', 'good', HALF])


@pytest.mark.parametrize('name, given', [
    ('a', HALF), ('pair', ('good', HALF)), ('asked', ('good', HALF)),
    ('tags', HALF), ('tags', ['good', HALF]),
    ('choice', ('good', ('plot', HALF)))])
def test_every_reader_checks_before_a_batch(name, given, base, bank):
  with pytest.raises(aj.UserError, match='text 7: the tokenizer cannot'):
    readings.check(bank[name], 7, given)
  batcher = batcher_lib.Batcher(base, {'a': bank['a']})
  batcher.bank[name] = bank[name]
  with mock.patch.object(prediction, 'values') as values:
    with pytest.raises(aj.UserError, match='text 0: the tokenizer'):
      batcher.submit(name, given)
    batcher.close()
  assert not values.called


class _Failing:
  """A tokenizer that fails on the word `dull`."""

  def __init__(self, tokenizer):
    self._tokenizer = tokenizer

  def __getattr__(self, name):
    return getattr(self._tokenizer, name)

  def encode(self, text, *args, **more):
    if text == 'dull':
      raise ValueError('no piece')
    return self._tokenizer.encode(text, *args, **more)

  def encode_batch(self, texts, **more):
    return [self.encode(text, **more) for text in texts]


def test_a_text_on_which_the_tokenizer_fails(base, bank, monkeypatch):
  failing = _Failing(compiled.tokenizer_of(base))
  monkeypatch.setattr(compiled, 'tokenizer_of', lambda base: failing)
  for name, texts in (
      ('a', ['good', 'dull']),
      ('asked', [('good', 'plot'), ('dull', 'plot')]),
      ('choice', [('good', ('a', 'plot')), ('good', ('a', 'dull'))])):
    with pytest.raises(tokenization.Unreadable, match='text 9: .*no piece'):
      readings.read(base, bank[name], texts, [4, 9])
  # The same paragraph is tokenised once.
  with pytest.raises(tokenization.Unreadable, match='text 2: '):
    squad.cut(failing, [
        squad.Question(str(row), 'good', text, (('', 0),))
        for row, text in enumerate(['plot', 'plot', 'dull'])], 12)
