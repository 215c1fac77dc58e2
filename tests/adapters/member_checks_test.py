"""Tests of the numbers of texts that members of a setup read."""

import dataclasses

import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import composing
from tests.adapters import composing_test


def test_a_language_adapter_serves_tasks_of_two_texts():
  a = composing_test.make('lora[r=2]')
  pair = dataclasses.replace(
      a, texts=('question', 'sentence'), max_length=384)
  headless, _ = trees.split(
      a.tuned, lambda path: trees.role(path) != 'head')
  bank = {'task': pair, 'other': a,
          'lang': dataclasses.replace(a, head_input='masked_lm'),
          'plain': dataclasses.replace(a, tuned=headless)}
  for text in ('stack(lang, task)', 'stack(plain, lang, task)'):
    found = composing.compose(bank, text)
    assert (found.texts, found.max_length) == (pair.texts, 384)
  with pytest.raises(errors.UserError, match='number of texts .2 and 1'):
    composing.compose(bank, 'stack(lang, task, other)')


def test_a_fuse_has_members_of_any_number_of_texts():
  one = composing_test.make('houlsby[size=3]')
  pair = dataclasses.replace(one, texts=('question', 'sentence'))
  bank = {'one': one, 'pair': pair}
  found = composing.compose(bank, 'fuse(pair, one)')
  assert found.method == 'fuse(pair, one)'
  with pytest.raises(errors.UserError, match='number of texts .1 and 2'):
    composing.compose(bank, 'stack(one, pair)')
