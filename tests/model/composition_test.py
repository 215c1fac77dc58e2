"""Setups as text, their nesting, and the blocks that choose examples."""

import dataclasses

from absl.testing import parameterized
import pytest

from adapters_jax import errors
from adapters_jax.model import composition
from adapters_jax.model import setups

Stack, Split, Average = (
    composition.Stack, composition.Split, composition.Average)
Fuse, Parallel, BatchSplit = (
    composition.Fuse, composition.Parallel, composition.BatchSplit)


class TextTest(parameterized.TestCase):

  @parameterized.parameters(
      ('lang', 'lang'),
      (' stack( lang,task )', Stack('lang', 'task')),
      ('stack(lang, fuse(a, b, dropout=0))', Stack(
          'lang', Fuse('a', 'b', dropout=0))),
      ("average(a, 'my film', weights=[2, 1], norms=last)", Average(
          'a', 'my film', weights=[2, 1], norms='last')),
      (r"average('a\\b', 'it''s')", Average('a\\b', 'its')),
      ('split(a, stack(b, c), splits=[3])', Split(
          'a', Stack('b', 'c'), splits=[3])),
      ('Parallel(a-1, batch_split(b.x, c, batch_sizes=2))', Parallel(
          'a-1', BatchSplit('b.x', 'c', batch_sizes=2))))
  def test_a_text_and_back(self, text, wanted):
    found = setups.parse(text)
    self.assertEqual(found, wanted)
    self.assertEqual(setups.parse(str(found)), wanted)
    self.assertEqual(hash(found), hash(wanted))

  @parameterized.parameters(
      ('stak(a, b)', "'stak'.*mean stack"),
      ('stack(a, b', "neither a name nor of the form"),
      ('stack()', 'name one adapter or more'),
      ('fuse(a, parallel(b, c))', 'fuse holds names, stack, but no parallel'),
      ('fuse(a, stack(b, average(c, d)))', 'names only'),
      ('split(a, b)', 'give splits='),
      ('split(a, b, splits=[0])', 'give splits='),
      ('average(a, b, weights=[1])', 'give 2 weights'),
      ('average(a, b, weights=[1, -1])', 'sum above 0'),
      ('average(a, b, weights=[1e308, 1e308])', 'a finite sum'),
      ('stack(a, b, norms=last, norms=base)', 'stack is given norms twice'),
      ('stack(a, split(b, c, splits=[2], splits=[2]))',
       'split is given splits twice'),
      ('batch_split(a, b)', 'give batch_sizes='),
      ('stack(a, b, norms=none)', "unknown 'none'"),
      ('stack(a, b, weights=[1, 2])', "unknown 'weights'"),
      ('fuse(a, b, dropout=x)', 'dropout=.x.: give float'),
      ('fuse(a, b, dropout=1)', 'dropout from 0'))
  def test_wrong_texts(self, text, message):
    with self.assertRaisesRegex(errors.UserError, message) as caught:
      setups.parse(text, '`setup`')
    self.assertTrue(str(caught.exception).startswith('`setup`'))

  def test_a_member_of_another_type(self):
    with self.assertRaisesRegex(errors.UserError, 'blocks, not int'):
      Stack('a', 3)


class ColumnsTest(parameterized.TestCase):

  @parameterized.parameters(
      ('a', [[(None, 'a')]]),
      (Stack('l', Parallel('a', 'b'), 'c'), [
          [(None, Stack('l', 'a', 'c'))], [(None, Stack('l', 'b', 'c'))]]),
      (Stack(Parallel('a', 'b'), Parallel('c', 'd')), [
          [(None, Stack('a', 'c'))], [(None, Stack('b', 'd'))]]),
      (BatchSplit('a', Stack('b', 'c'), batch_sizes=[1, 2]), [
          [(1, 'a'), (2, Stack('b', 'c'))]]),
      (Average('c', BatchSplit('a', 'b', batch_sizes=2)), [
          [(2, Average('c', 'a')), (2, Average('c', 'b'))]]),
      (Parallel('a', BatchSplit(
          'b', BatchSplit('c', 'd', batch_sizes=1), batch_sizes=2)), [
              [(None, 'a')], [(2, 'b'), (1, 'c'), (1, 'd')]]))
  def test_blocks_that_choose_examples_move_up(self, setup, wanted):
    self.assertEqual(setups.columns(setup), wanted)

  @parameterized.parameters(
      (Stack(Parallel('a', 'b'), Parallel('c', 'd', 'e')), 'Parallels of'),
      (BatchSplit('a', BatchSplit('b', 'c', batch_sizes=1), batch_sizes=3),
       'sum to 2, not 3'),
      (Stack(BatchSplit('a', 'b', batch_sizes=1),
             BatchSplit('c', 'd', batch_sizes=2)), 'different batch_sizes'))
  def test_unequal_widths(self, setup, message):
    with self.assertRaisesRegex(errors.UserError, message):
      setups.columns(setup)


class ResolveTest(parameterized.TestCase):

  def test_indices_of_methods(self):
    part = composition.Part
    tree, places = setups.over_methods(
        Stack('l', Fuse('a', 'l', norms='last')), {'l': 2, 'a': 1})
    self.assertEqual(tree, Stack(
        part(0, 2), Fuse(part(2, 3), part(3, 5), regularization=0.0)))
    self.assertEqual(places, [('l', 0), ('a', 2), ('l', 3)])
    # A sequence needs no tree, and so is the program of a union.
    self.assertIsNone(setups.over_methods(Stack('l', 'a'), {'l': 2, 'a': 1})[0])


class GivenTest(parameterized.TestCase):

  @parameterized.parameters(
      ('stack(a, a)', 'leaves out b; name every'), ('a', 'leaves out b;'),
      ('fuse(a, a)', 'leaves out b;'),
      ('stack(b, fuse(a, a))', r'two or more; fuse\(a, a\) has one'),
      ('stack(b, fuse(a))', r'two or more; fuse\(a\) has one'))
  def test_setups_that_do_less_than_they_seem_to(self, text, message):
    with self.assertRaisesRegex(errors.UserError, message):
      setups.demand_all(setups.parse(text), ['a', 'b'])

  @parameterized.parameters(
      'stack(a, b)', 'average(a, b, a)', 'fuse(a, stack(a, b))',
      'stack(a, c)')  # An unknown name has a message of its own.
  def test_other_setups_pass(self, text):
    setups.demand_all(setups.parse(text), ['a', 'b'])


@pytest.mark.parametrize('text', [
    'stack(a, b)', 'average(a, b, weights=[2, 1])', 'split(a, b, splits=[3])',
    'fuse(a, stack(b, c), dropout=0)', 'parallel(a, b)',
    'batch_split(a, b, batch_sizes=[1, 2])'])
def test_replace_changes_a_field(text):
  setup = setups.parse(text)
  last = dataclasses.replace(setup, norms='last')
  assert last == setup.with_members(setup.members, norms='last')
  assert dataclasses.replace(last, norms='') == setup
  assert dataclasses.replace(setup, members=['x', 'y']).members == ('x', 'y')


def test_shares_of_an_average():
  assert Average('a', 'b').shares == (0.5, 0.5)
  assert Average('a', 'b', weights=[3, 1]).shares == (0.75, 0.25)


def test_members_are_given_once():
  with pytest.raises(errors.UserError, match="unknown 'members'"):
    Stack('a', members=['b'])
  with pytest.raises(errors.UserError, match='name one adapter or more'):
    Stack(members=[])
