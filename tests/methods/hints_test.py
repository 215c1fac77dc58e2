"""Tests of the advice on names of other libraries."""

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
