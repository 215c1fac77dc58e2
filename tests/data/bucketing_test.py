"""Tests of the lengths that batches are padded to, and of plans of batches."""

import itertools
import time
import unittest

import numpy as np

from adapters_jax.data import bucketing


class BucketingTest(unittest.TestCase):

  def test_bucket_lengths_are_the_best(self):
    lengths = np.array([3, 4, 4, 9, 10, 30])
    # By hand, in multiples of 2: {4, 10, 30} pads 3 * 4 + 2 * 10 + 30 tokens.
    self.assertEqual(bucketing.bucket_lengths(lengths, 3, 2), (4, 10, 30))
    self.assertEqual(bucketing.bucket_lengths(lengths, 2, 2), (10, 30))
    self.assertEqual(bucketing.bucket_lengths(lengths, 1, 4), (32,))
    self.assertEqual(
        bucketing.bucket_lengths(lengths, 99, 1), (3, 4, 9, 10, 30))

  def test_bucket_lengths_of_a_loop_over_all_pairs(self):
    """Equal in ties too: batches decide the numbers of a run."""

    def looped(lengths, buckets, multiple):
      rounded = -(-lengths // multiple) * multiple
      values, counts = np.unique(rounded, return_counts=True)
      total = np.concatenate([[0], np.cumsum(counts)])
      best = [(0.0, ())] + [(np.inf, ())] * len(values)
      for _ in range(min(buckets, len(values))):
        step = list(best)
        for end in range(1, len(values) + 1):
          for start in range(end):
            cost = best[start][0] + values[end - 1] * (
                total[end] - total[start])
            if cost < step[end][0]:
              step[end] = cost, best[start][1] + (int(values[end - 1]),)
        best = step
      return best[-1][1]

    rng = np.random.default_rng(0)
    for number in range(300):
      lengths = rng.integers(1, rng.integers(2, 40), rng.integers(1, 40))
      if number % 3 == 0:  # Evenly spaced and as frequent: many ties.
        lengths = np.repeat(np.unique(lengths) * 2, rng.integers(1, 4))
      arguments = lengths, int(rng.integers(1, 10)), int(rng.choice([1, 2, 8]))
      self.assertEqual(
          bucketing.bucket_lengths(*arguments), looped(*arguments), arguments)

  def test_bucket_lengths_of_many_values_take_no_second(self):
    start = time.process_time()
    found = bucketing.bucket_lengths(np.arange(1, 4001), 9, 1)
    # A loop over the pairs takes half a minute.
    self.assertLess(time.process_time() - start, 5)
    self.assertEqual(len(found), 9)

  def test_lengths_of_two_columns_by_hand(self):
    lengths = np.array([[2, 10]] * 8 + [[10, 2]] * 8 + [[9, 9]])
    self.assertEqual(
        bucketing.bucket_lengths(lengths, 3, 2), ((2, 10), (10, 2), (10, 10)))
    self.assertEqual(bucketing.bucket_lengths(lengths, 1, 4), ((12, 12),))
    # With two lengths the nine long pairs pad 8 * (2 + 10) + 9 * (10 + 10).
    self.assertEqual(len(bucketing.bucket_lengths(lengths, 2, 2)), 2)
    plans = bucketing.plan(lengths, ((2, 10), (10, 2), (10, 10)), 3)
    self.assertEqual(
        [(plan.rows.tolist(), plan.length) for plan in plans],
        # The remainders do not fit each other's length, but the last.
        [([0, 1, 2], (2, 10)), ([3, 4, 5], (2, 10)), ([8, 9, 10], (10, 2)),
         ([11, 12, 13], (10, 2)), ([6, 7, 14], (10, 10)),
         ([15, 16], (10, 10))])

  def test_the_partial_batch_of_a_training_is_the_longest(self):
    # Else its length would depend on the examples that a seed leaves over.
    lengths = np.array([[2, 10]] * 4 + [[10, 2]] * 3)
    arguments = lengths, ((2, 10), (10, 2), (10, 10)), 3
    plans = bucketing.plan(*arguments)
    self.assertEqual((plans[-1].rows.tolist(), plans[-1].length),
                     ([3], (2, 10)))
    for seed in range(3):
      partial, = (one for one in bucketing.plan(
          *arguments, np.random.default_rng(seed), np.random.default_rng(9))
                  if len(one.rows) < 3)
      self.assertEqual(partial.length, (10, 10))

  def test_lengths_of_columns_are_nearly_the_best(self):
    rng = np.random.default_rng(0)

    def padded(lengths, chosen):
      return sum(min(sum(one) for one in chosen if (row <= one).all())
                 for row in lengths)

    for columns, buckets, draws in ((2, 3, 8), (2, 4, 8), (3, 3, 2)):
      for _ in range(draws):
        lengths = rng.integers(1, 5, (12, columns)) * 2
        found = bucketing.bucket_lengths(lengths, buckets)
        last = tuple(lengths.max(0).tolist())
        self.assertEqual(found[-1], last)
        self.assertLessEqual(len(found), buckets)
        cells = itertools.product(*(np.unique(one) for one in lengths.T))
        best = min(padded(lengths, [*some, last]) for some in
                   itertools.combinations(cells, buckets - 1))
        self.assertLessEqual(padded(lengths, found), 1.1 * best)

  def test_an_example_beyond_all_lengths(self):
    for lengths, buckets in (
        (np.array([3, 50]), (4, 8)),
        (np.array([[3, 3], [50, 2]]), ((4, 4), (8, 8)))):
      with self.assertRaisesRegex(ValueError, 'is longer than'):
        bucketing.plan(lengths, buckets, 2)
