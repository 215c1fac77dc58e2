"""Tests of a base's tokenizer, and of adapters that a base cannot run."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import compiled
from adapters_jax.methods import bottleneck
from tests import tiny
from tests.adapters import bank_test


@pytest.fixture
def folder(checkpoint, tmp_path) -> pathlib.Path:
  """A copy of the tiny checkpoint, whose files a test changes."""
  return pathlib.Path(shutil.copytree(checkpoint, tmp_path / 'tiny'))


def test_a_tokenizer_is_read_once(folder):
  base = aj.load_base(folder)
  assert compiled.tokenizer_of(base) is compiled.tokenizer_of(
      aj.load_base(folder))


def test_a_changed_vocabulary_is_read_again(folder):
  """With the same weights, so that the identity of the base stays."""
  before = aj.load_base(folder)
  good, dull = aj.encode(before, ['good', 'dull'])
  words = [{'good': 'dull', 'dull': 'good'}.get(word, word)
           for word in tiny.VOCABULARY]
  (folder / 'vocab.txt').write_text('\n'.join(words) + '\n')
  after = aj.load_base(folder)
  assert after.identity == before.identity
  np.testing.assert_array_equal(aj.encode(after, ['good', 'dull']),
                                [dull, good])


def test_changed_settings_of_a_tokenizer_are_read_again(folder):
  base = aj.load_base(folder)
  good, upper = aj.encode(base, ['good', 'GOOD'])
  np.testing.assert_array_equal(good, upper)
  (folder / 'tokenizer_config.json').write_text('{"do_lower_case": false}')
  unknown, upper = aj.encode(aj.load_base(folder), ['[UNK]', 'GOOD'])
  np.testing.assert_array_equal(unknown, upper)


def test_a_layer_that_the_base_does_not_have(checkpoint):
  base = aj.load_base(checkpoint)
  # Without a leaf in layer 7, its tree is that of an adapter of no layer.
  adapter = dataclasses.replace(
      bank_test.make('bottleneck[size=2, layers=()]'),
      methods=(bottleneck.Bottleneck(2, layers=(7,)),))
  for bank, what in ((adapter, 'the adapter'), ({'film': adapter}, "'film'")):
    with pytest.raises(
        errors.UserError, match=f'{what}: layers: there is no layer 7; the'):
      aj.predict(base, bank, ['good'])
