"""Tests of the advice on names of other libraries."""

import pytest

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.methods import hints


def test_hints_name_what_exists():
  known = {hints.plain(name) for name in methods.CONFIGS}
  assert not known & hints.ABSENT.keys()
  assert not known & hints.SAME.keys()
  assert {*hints.ABSENT.values(), *hints.SAME.values()} <= {*methods.CONFIGS}
  assert {*hints.TUNED.values()} <= {'full', 'top_k', 'norms', 'bias', 'head'}
  assert all(hints.plain(word) == word for word in (
      *hints.ABSENT, *hints.SAME, *hints.TUNED))


@pytest.mark.parametrize('word, known, wanted', [
    ('widht', ('sites', 'width'), 'mean width?'),
    ('width', ('sites', 'size'), 'one of sites, size'),
    ('accurcy', ('accuracy', 'f1'), 'mean accuracy?'),
    ('lr', ('learning_rate', 'seed'), 'mean learning_rate?')])
def test_distant_names_are_not_suggested(word, known, wanted):
  error = errors.unknown('field', word, known, {'lr': 'learning_rate'})
  assert wanted in str(error)
  assert str(error).startswith(f'field: unknown {word!r}; ')
