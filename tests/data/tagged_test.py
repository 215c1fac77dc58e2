"""Tests of tagged words in memory."""

import enum

from adapters_jax.data import tagged


class Tag(str, enum.Enum):  # noqa: UP042, whose `str` is its name.
  PERSON = 'B-PER'
  OUTSIDE = 'O'


def test_members_of_an_enumeration_are_their_values():
  found = tagged.TaggedExamples(
      [['Ann', 'left']], [[Tag.PERSON, Tag.OUTSIDE]]).sentences()
  assert found[0].tags == ('B-PER', 'O')
  assert all(type(tag) is str for tag in found[0].tags)
