"""Tests of the judgements of experiments.analysis.verdicts."""

import math

from absl.testing import parameterized
import pytest

from adapters_jax.analysis import statistics

pd = pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
pytestmark = pytest.mark.figures

# pylint: disable=wrong-import-position
from experiments.analysis import verdicts  # noqa: E402


def between(low, high):
  return statistics.Estimate((low + high) / 2, (low, high), (low, high), 3)


class VerdictsTest(parameterized.TestCase):

  @parameterized.parameters(
      (-0.5, 0.9, 'holds'), (0.5, 1.5, 'undecided'),
      (1.1, 2.0, 'does not hold'), (math.nan, math.nan, 'undecided'),
      (0.5, 1.0, 'holds'), (1.0, 1.0, 'holds'), (1.0, 2.0, 'undecided'))
  def test_at_most_one(self, low, high, wanted):
    self.assertEqual(verdicts.judge(between(low, high), 1), wanted)

  @parameterized.parameters(
      (-0.5, 0.9, 'holds'), (-1.5, 0.9, 'undecided'), (-3, 3, 'undecided'),
      (-3, -2, 'does not hold'), (2, 3, 'does not hold'),
      (math.nan, math.nan, 'undecided'))
  def test_within_one(self, low, high, wanted):
    self.assertEqual(verdicts.judge_within(between(low, high)), wanted)

  @parameterized.parameters(
      (('holds', 'holds'), 'holds'),
      (('holds', 'undecided'), 'undecided'),
      (('does not hold', 'undecided'), 'does not hold'),
      (('does not hold', 'undecided', 'holds'), 'holds in part'),
      (('holds in part', 'holds'), 'holds in part'))
  def test_parts_together(self, parts, wanted):
    self.assertEqual(verdicts.both(*parts), wanted)

  @parameterized.parameters(
      (1.0, 1.5, 'accuracy', '1.2 points of accuracy (1.0 to 1.5)'),
      (-2, 2, 'matthews', "0.0 points of Matthews' correlation (−2.0 to 2.0)"),
      (-0.04, 0.0, '', '0.0 (0.0 to 0.0)'))
  def test_numbers_with_their_units_and_intervals(
      self, low, high, metric, wanted):
    self.assertEqual(verdicts.show(between(low, high), metric), wanted)

  @parameterized.parameters(
      ({}, 'holds'),
      ({(0, 0): (1.6, 1.6)}, 'holds in part'),  # More than the upper third.
      ({(0, 2): (1.5, 1.5)}, 'holds in part'),  # All cost no more than one may.
      ({(2, 2): (2.5, 2.5)}, 'holds in part'),
      # Not the costliest layer by its mean, but of unknown cost.
      ({(1, 1): (0.0, 2.2)}, 'undecided'))
  def test_layers(self, changed, wanted):
    drops = {(0, 0): (1.0, 1.0), (1, 1): (0.5, 0.5), (2, 2): (1.5, 1.5),
             (0, 2): (30, 30), **changed}
    rows = pd.DataFrame([
        {'first': first, 'last': last, 'seed': seed, 'drop': drop,
         'layers': 3, 'metric': 'accuracy'}
        for (first, last), some in drops.items()
        for seed, drop in enumerate(some)])
    self.assertEqual(verdicts.layers(rows)[0], wanted)

  def test_one_seed(self):
    nothing = (math.nan, math.nan)
    self.assertEqual(verdicts.show(
        statistics.Estimate(2, nothing, (1, 3), 1)), '2.0 (one seed)')
