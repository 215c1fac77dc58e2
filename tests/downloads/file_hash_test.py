"""Tests of comparisons of hashes."""

import pytest

from adapters_jax.downloads import file_hash


@pytest.mark.parametrize('before, now, changed, unmatched', [
    ({'a': '1', 'b': '2'}, {'b': '3', 'a': '1'}, ['b'], []),
    ({'a': '1', 'b': '2'}, {'a': '2', 'c': '3'}, ['a'], ['b', 'c']),
    ({}, {'a': '1'}, [], []), ({'a': '1'}, {}, [], [])])
def test_files_of_both_and_of_one(before, now, changed, unmatched):
  assert file_hash.changed(before, now) == changed
  assert file_hash.unmatched(before, now) == unmatched
