"""Tests of tagged words in memory."""

import dataclasses
import enum

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import tagged


class Tag(str, enum.Enum):  # noqa: UP042, whose `str` is its name.
  PERSON = 'B-PER'
  OUTSIDE = 'O'


def test_members_of_an_enumeration_are_their_values():
  found = tagged.TaggedExamples(
      [['Ann', 'left']], [[Tag.PERSON, Tag.OUTSIDE]]).sentences()
  assert found[0].tags == ('B-PER', 'O')
  assert all(type(tag) is str for tag in found[0].tags)


@pytest.mark.parametrize('tags', [
    [[1, 0], [0, 1]], np.array([[1, 0], [0, 1]]), [['B-PER', 'O'], [0, 1]]])
def test_numbers_of_tags_get_their_names(tags):
  words = [['Ann', 'left'], ['See', 'Bob']]
  given = tagged.TaggedExamples(words, tags, names=('O', 'B-PER'))
  assert given.tags == [['B-PER', 'O'], ['O', 'B-PER']]
  again = dataclasses.replace(given)
  assert (again.tags, again.names) == (given.tags, ['O', 'B-PER'])
  assert [one.tags for one in tagged.splits(given, given)['train']] == [
      ('B-PER', 'O'), ('O', 'B-PER')]


@pytest.mark.parametrize('tags, names, message', [
    ([[1, 0]], None, r'`tags\[0\]`: give a list .*, or numbers with their `n'),
    ([[0, 2]], ['O', 'X'], r'`tags\[0\]\[1\]`: 2 is no number of the 2 `na'),
    ([[0, -100]], ['O', 'X'], r'`tags\[0\]\[1\]`: -100 is no number'),
    ([[0, 1]], ['O', 'O'], r"`names\[1\]`: 'O'; give a text for each"),
    ([[]], ['O', 'X'], r'`tags\[0\]`: give a list of strings')])
def test_tags_that_are_no_numbers_of_names(tags, names, message):
  with pytest.raises(errors.UserError, match=f'^{message}'):
    tagged.TaggedExamples([['Ann', 'left']], tags, names=names)
