"""Tests of pairs in memory."""

import dataclasses
import decimal

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import pairs
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import pair_losses
from adapters_jax.runs.kinds import embeddings


class Table:
  """A table as of pandas, which iterates over the names of its columns."""
  columns = ('ab', 'cd')

  def __iter__(self):
    return iter(self.columns)


def test_arrays_and_generators_are_pairs():
  rows = [('a', 'b'), ('c', 'd')]
  for texts in (np.array(rows), np.array(rows, object), iter(rows)):
    assert pairs.Pairs(texts).texts == rows
  found = pairs.Pairs(rows, (x for x in (1, decimal.Decimal('0.5'))))
  assert found.scores.tolist() == [1, 0.5]
  assert found.scores.dtype == np.float32


@pytest.mark.parametrize('texts, scores, message', [
    ('ab', None, '`texts`: give a list of texts'),
    ({'ab': 1}, None, '`texts`: give a list, not dict'),
    (Table(), None, '`texts`: give a list, not Table'),
    (None, None, '`texts`: give a list, not NoneType'),
    ([], None, '`texts`: there is no pair'),
    (['ab', 'cd'], None, r'`texts\[0\]`: give two strings'),
    ([('a', 'b'), {'a': 1, 'b': 2}], None, r'`texts\[1\]`: give two'),
    ([('a', 'b'), None], None, r'`texts\[1\]`: is missing'),
    ([('a', 'b'), ('c', 'd', 'e')], None, r'`texts\[1\]`: there are 3 texts'),
    ([('a', 'b')], 0.5, '`scores`: give a list, not float'),
    ([('a', 'b')], [0.5, 1], '`scores`: there are 2 for 1 pairs'),
    ([('a', 'b')] * 2, np.array(['0.5', '1']), r'`scores\[0\]`: .*0.5'),
    ([('a', 'b')] * 2, [0.5, None], r'`scores\[1\]`: is missing'),
    ([('a', 'b')] * 2, [0.5, np.inf], r'`scores\[1\]`: inf is no score'),
    ([('a', 'b')] * 2, [1e39, 1], r'`scores\[0\]`: 1e\+39 is no score'),
])
def test_wrong_pairs(texts, scores, message):
  with pytest.raises(errors.UserError, match=message):
    pairs.Pairs(texts, scores)


def test_places_are_those_of_all_pairs():
  whole = pairs.Pairs([('a', 'b')] * 4)
  assert whole.place(2) == '`data`, pair 2'
  part = whole.take([3, 1]).take([1])
  assert part.place(0) == '`data`, pair 1'
  named = dataclasses.replace(whole, where='a.json')
  assert named.take([3]).place(0) == 'a.json'
  lined = dataclasses.replace(whole, where='a.tsv', lines=[2, 3, 4, 5])
  assert lined.take([3]).place(0) == 'a.tsv, line 5'


@pytest.mark.parametrize('scores, message', [
    ([0.5, 1, 2], '^`data`, pair 2: the score 2 is no cosine'),
    (None, '^`pair_loss=cosine`: needs scores, and the pairs have none')])
def test_messages_of_the_loss_name_the_pair(scores, message):
  config = config_lib.Config(
      task='pairs', file_task='pairs', pair_loss='cosine')
  given = pairs.Pairs([('a', 'b'), ('c', 'd'), ('e', 'f')], scores)
  with pytest.raises(errors.UserError, match=message):
    embeddings.prepare(config, data={'train': given, 'dev': given})


@pytest.mark.parametrize('loss, changed, message', [
    ('', {}, '^`texts`: a third text is for .*, and this is cosent; give two'),
    ('cosine', {'negative_column': 'bad', 'train_file': 'a.tsv',
                'dev_file': 'b.tsv'},
     '^`negative_column=bad`: is for .*, and this is cosine; leave it out$')])
def test_scores_leave_no_use_for_a_third_text(loss, changed, message):
  config = config_lib.Config(
      task='pairs', file_task='pairs', pair_loss=loss, **changed)
  with pytest.raises(errors.UserError, match=message):
    pair_losses.check(config, pairs.Pairs(
        [('a', 'b', 'c'), ('d', 'e', 'f')], [0.5, 1]))


@pytest.mark.parametrize('scores, end', [
    ((None, None, [1, 0]), 'none'), (([1, 0], [1, 0], None), 'some')])
def test_dev_and_test_both_have_scores_or_neither(scores, end):
  config = config_lib.Config(task='pairs', file_task='pairs')
  given = dict(zip(('train', 'dev', 'test'), (
      pairs.Pairs([('a', 'b'), ('c', 'd')], some) for some in scores),
      strict=True))
  with pytest.raises(
      errors.UserError, match=f'^`test`: .* those of dev have {end}$'):
    embeddings.prepare(config, data=given)


def test_no_training_pair_has_a_text_that_is_held_out(caplog):
  count = 20
  given = pairs.Pairs([
      (f'q{n}', f'd{n}', f'd{(n + 1) % count}') for n in range(count)] + [
          (f'd{n}', f'q{n}', 'd0') for n in range(count)])
  found = pairs.hold_out(given, 0.2, 0.1)
  held = {texts[1] for split in ('dev', 'test') for texts in found[split].texts}
  assert len(held) == 12
  # Dev and test are as they are in pairs without negatives.
  plain = pairs.hold_out(
      pairs.Pairs([texts[:2] for texts in given.texts]), 0.2, 0.1)
  assert all(plain[name].texts == found[name].texts for name in ('dev', 'test'))
  train = found['train']
  assert not held & {text for texts in train.texts for text in texts}
  left_out = [texts for texts in given.texts
              if texts[1] not in held and texts[0] in held]
  assert train.left_out == left_out and left_out
  # The others are as given, but for a negative that is held out.
  kept = [texts for texts in given.texts if not held & {*texts[:2]}]
  assert train.texts == [
      (*texts[:2], texts[1] if texts[2] in held else texts[2])
      for texts in kept]
  assert [given.texts[number] for number in train.lines] == kept
  negatives = sum(texts[2] in held for texts in kept)
  assert f'{len(left_out)} training pairs are left out' in caplog.text
  assert f'{negatives} training pairs go without their neg' in caplog.text


def test_pairs_without_held_out_texts_are_as_given(caplog):
  given = pairs.Pairs([(f'q{n}', f'd{n}', f'n{n}') for n in range(20)])
  found = pairs.hold_out(given, 0.2)
  held = {texts[:2] for texts in found['dev'].texts}
  assert found['train'].texts == [
      texts for texts in given.texts if texts[:2] not in held]
  assert not caplog.records and not found['train'].left_out


def test_no_pair_is_left_to_train_on():
  given = [(one, other) for one in 'abc' for other in 'abc' if one != other]
  with pytest.raises(errors.UserError, match='no pair is left .*give `dev`'):
    pairs.hold_out(pairs.Pairs(given), 0.3, 0.3)
