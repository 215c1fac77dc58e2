"""Names of the members of composed adapters."""

import dataclasses

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import trees
from adapters_jax.adapters import compiled
from adapters_jax.adapters import composing
from tests.adapters import bank_test

METHOD = 'seq_bn[reduction_factor=4]'


def _make(seed):
  """Returns an adapter without norms, which would differ."""
  found = bank_test.make(METHOD, seed)
  tuned, _ = trees.split(
      found.tuned, lambda path: trees.role(path) != 'norm')
  return dataclasses.replace(found, tuned=tuned)


@pytest.fixture
def bank():
  one, two, three = map(_make, range(3))
  return {'x': composing.compose({'y': one, 'z': two}, 'stack(y, z)'),
          'x.y': three, 'w': three}


def test_members_of_one_name_are_refused(bank):
  for setup in (aj.Stack('x', 'x.y'), aj.Stack('x.y', 'x')):
    with pytest.raises(aj.UserError, match="both make a member 'x.y'"):
      aj.compose(bank, setup)
  whole = aj.compose(bank, aj.Stack('x', 'w'))
  assert [name for name, _ in whole.members] == ['x.y', 'x.z', 'w']
  # The same member twice is no collision.
  assert len(aj.compose(bank, aj.Stack('x', 'w', 'x', 'w')).methods) == 6
  for name, wanted in (('x.y', aj.member(bank['x'], 'y')), ('w', bank['w'])):
    found = aj.member(whole, name).tuned['encoder']['layer_0']
    for part, leaves in wanted.tuned['encoder']['layer_0'].items():
      if part.startswith('adapter_'):
        np.testing.assert_array_equal(
            found[part]['down']['kernel'], leaves['down']['kernel'])


def test_the_base_is_that_of_a_member_that_knows_it(bank):
  """Whichever member has the head."""
  known = dataclasses.replace(
      bank['w'], base='tiny@0123456789abcdef', base_files={'vocab.txt': '1'})
  bank = {**bank, 'known': known}
  for setup in ('stack(known, w)', 'stack(w, known)', 'stack(w, known, w)'):
    whole = aj.compose(bank, setup)
    assert (whole.base, whole.base_files) == (known.base, known.base_files)
  assert aj.compose(bank, 'stack(x, w)').base == ''
  with pytest.raises(aj.UserError, match='`base`: other@.* is not the base'):
    compiled.check_base('other@fedcba9876543210', whole, 'it')


@pytest.mark.parametrize('setup', [
    aj.Parallel('stack(w, v)', aj.Stack('w', 'v')),
    aj.BatchSplit(aj.Stack('w', 'v'), 'stack(w, v)', batch_sizes=1)])
def test_answers_of_two_members_with_one_key_are_refused(base, setup):
  bank = {'w': _make(0), 'v': _make(1), 'stack(w, v)': _make(2)}
  for call in (lambda: aj.predict(base, bank, ['a', 'b'], setup=setup),
               lambda: aj.encode(base, ['a', 'b'], bank, setup=setup)):
    with pytest.raises(aj.UserError, match=r"`setup`: 'stack\(w, v\)' is a bl"):
      call()


def test_keys_of_embeddings(base):
  bank = {'w': _make(0), 'v': _make(1)}
  found = aj.encode(base, [], bank, setup='parallel(w, stack(w, v))')
  assert {name: some.shape for name, some in found.items()} == {
      'w': (0, 12), 'stack(w, v)': (0, 12)}
  # One key for other adapters of each text.
  with pytest.raises(aj.UserError, match="have the key 'w, v'"):
    aj.encode(base, ['a', 'b', 'c'], bank, setup=(
        'parallel(batch_split(w, v, batch_sizes=[1, 2]), '
        'batch_split(w, v, batch_sizes=[2, 1]))'))
  # The same member twice is no collision.
  assert list(aj.encode(base, [], bank, setup='parallel(w, w)')) == ['w']


def test_an_empty_name_is_refused(bank):
  with pytest.raises(aj.UserError, match='not an empty one'):
    aj.compose({'': bank['w'], 'w': bank['w']}, aj.Stack('', 'w'))
