"""Tests of labels that are matched to the classes of an adapter."""

import dataclasses

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax.runs import labelled
from tests.adapters import bank_test


class Counted(str):
  """A name that counts its comparisons."""
  compared = 0

  def __eq__(self, other):
    Counted.compared += 1
    return str(self) == str(other)

  __hash__ = str.__hash__


@pytest.fixture
def adapter():
  return dataclasses.replace(bank_test.make('lora[r=2]'), labels=('no', 'yes'))


@pytest.mark.parametrize('head_input, own', [
    ('cls', 'scores'), ('multiple_choice', 'multiple choice'),
    ('tags', 'tags of words')])
def test_labels_for_an_adapter_of_another_form(adapter, head_input, own):
  other = dataclasses.replace(
      adapter, labels=(), head_input=head_input, tuned={'head': {
          name: leaf[..., :1] for name, leaf in adapter.tuned['head'].items()}})
  for label in ('no', True, 1):
    data = aj.Examples(['a'], [label])
    if own == 'scores' and type(label) is int:  # As among floats.
      assert labelled.matched(other, data)[1].labels.dtype == np.float32
      continue
    with pytest.raises(aj.UserError, match=(
        f'^`data`: its labels are for classes, and the adapter gives {own}; ')):
      labelled.matched(other, data)


@pytest.mark.parametrize('rows', (
    [[1, 0], [1, 1]], [[True, False], [True, True]], [[0], [0, 1]],
    [{0}, {1, 0}], [['0'], ['1', '0']]))
def test_rows_of_labels_are_read_as_in_training(adapter, rows):
  numbered = dataclasses.replace(
      adapter, head_input='multilabel', labels=('0', '1'))
  _, split = labelled.matched(numbered, aj.Examples(['a', 'b'], rows))
  np.testing.assert_array_equal(split.labels, [[1, 0], [1, 1]])


def test_truth_values_are_classes_of_their_names(adapter):
  named = dataclasses.replace(adapter, labels=('False', 'True'))
  _, split = labelled.matched(named, aj.Examples(['a', 'b'], [True, False]))
  np.testing.assert_array_equal(split.labels, [1, 0])


def test_rows_of_0_and_1_are_no_names(adapter):
  changed = dataclasses.replace(
      adapter, head_input='multilabel', labels=('0', '1'))
  with pytest.raises(aj.UserError, match='`labels.0.`: the label 0 is there 2'):
    labelled.matched(changed, aj.Examples(['a', 'b'], [[1, 0, 0], [1, 0]]))
  named = dataclasses.replace(changed, labels=('a', 'b'))
  with pytest.raises(aj.UserError, match="`labels.0.`: unknown '1'"):
    labelled.matched(named, aj.Examples(['a', 'b'], [[1, 0], [0, 1]]))


def test_an_answer_is_one_of_the_choices(adapter):
  with pytest.raises(aj.UserError, match='none of the 2 choices'):
    labelled.matched(adapter, aj.Examples([('a', ('b', 'c'))], [2]))


def test_the_classes_are_not_searched_for_every_label(adapter):
  count = 1000
  names = [f'class {number}' for number in range(count)]
  many = dataclasses.replace(
      adapter, labels=tuple(map(Counted, names)), tuned={'head': {
          name: np.repeat(leaf[..., :1], count, -1)
          for name, leaf in adapter.tuned['head'].items()}})
  Counted.compared = 0
  _, split = labelled.matched(many, aj.Examples(['a'] * count, names[::-1]))
  assert split.labels.tolist() == [*range(count)][::-1]
  assert Counted.compared <= 20 * count
