"""Tests of experiments.conclusions on made-up records."""

import math

from absl.testing import parameterized
import pytest

# Skips all where its extra is not installed.
from tests.experiments import figures_test

# pylint: disable=wrong-import-position
from experiments.analysis import conclusions  # noqa: E402
from experiments.analysis import frames  # noqa: E402

DROPS, put, put_spans = (
    figures_test.DROPS, figures_test.put, figures_test.put_spans)


class ConclusionsTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def folder(self, tmp_path):
    self.folder = tmp_path

  def lines(self):
    return conclusions.lines(
        frames.load(str(self.folder)), frames.load_spans(str(self.folder)))

  @parameterized.parameters(
      (0.2, 0.3, 1, 'holds'), (0.9, 0.3, 1, 'holds (narrowly)'),
      (1.5, 0.3, 1, 'does not hold (narrowly)'), (2, 0.3, 1, 'does not hold'),
      (0, math.nan, 1, 'holds (narrowly)'))
  def test_verdicts(self, value, sem, limit, wanted):
    self.assertEqual(conclusions.judge(value, sem, limit), wanted)

  @parameterized.parameters(
      (('holds', 'holds'), 'holds'),
      (('holds', 'does not hold (narrowly)'), 'holds in part (narrowly)'),
      (('holds', 'holds (narrowly)'), 'holds (narrowly)'),
      (('does not hold', 'does not hold (narrowly)'), 'does not hold'),
      (('does not hold (narrowly)',) * 2, 'does not hold (narrowly)'),
      (('holds', 'holds (narrowly)', 'does not hold'), 'holds in part'))
  def test_parts_together(self, verdicts, wanted):
    self.assertEqual(conclusions.both(*verdicts), wanted)

  @parameterized.parameters(
      (1.25, 0.31, '1.2 ± 0.3'), (-0.04, 0.2, '0.0 ± 0.2'),
      (2, math.nan, '2.0 (one seed)'))
  def test_numbers_with_their_errors(self, value, sem, wanted):
    self.assertEqual(conclusions.show(value, sem), wanted)

  def test_nothing_is_said_without_records(self):
    found = self.lines()
    self.assertLen(found, 5)
    for line in found:
      self.assertEndsWith(line, 'No records of this yet.')

  def test_numbers_by_hand(self):
    # Standard errors of two seeds are half of their difference.
    put(self.folder, [0.80, 0.81], 20)
    put(self.folder, [0.82, 0.82], 1000, tune='full')
    put(self.folder, [0.70, 0.70], 60, tune='top_k', top_k=1)
    put(self.folder, [0.90, 0.90], 5, tune='norms')
    put(self.folder, [0.70, 0.70], 9, adapter_size=8)
    put(self.folder, [0.10, 0.10], 2, adapter_size=4)
    put(self.folder, [0.80, 0.80], init_scale=1e-3)
    put(self.folder, [0.50, 0.50], init_scale=1.0)
    put(self.folder, [0.81, 0.83], activation='relu')
    put(self.folder, [0.60, 0.62], activation='tanh')
    # The thirds differ by 0.5 ± 0.0: they are compared run by run.
    put_spans(self.folder, {**DROPS, '0-0': 0.01}, seed=0)
    put_spans(self.folder, {**DROPS, '0-0': 0.02, '2-2': 0.025}, seed=1)
    texts = [line.partition('**')[2].rstrip('.*') for line in self.lines()]
    self.assertEqual([text.partition(': ')[2] for text in texts], [
        'does not hold (narrowly): 1.5 ± 0.5 points below with 2.0% of the '
        'parameters',
        'holds in part: 10.5 ± 0.5 points above the top layer (3.0 times the '
        'parameters), -9.5 ± 0.5 above layer norms',
        'holds (narrowly): one layer costs at most 2.0 ± 0.5 points '
        '(layer 2), the lower third 1.5 ± 0.5, the upper third '
        '2.0 ± 0.5, all 30.0 ± 0.0 (to 60.0; the most frequent class alone has '
        '55.0; accuracy (%))',
        'holds in part (narrowly): 10.5 ± 0.5 points over sizes 8 to 64, '
        '0.5 ± 0.5 points over deviations 0.001 to 0.01, -30.5 ± 0.5 at 1',
        "does not hold (narrowly): of 2, the best is 'ReLU', by 1.5 ± 1.1 "
        'points'])
    self.assertEqual(
        {text.partition(': ')[0] for text in texts}, {'RTE, 500 examples'})

  def test_layers_of_no_worth_and_without_a_most_frequent_class(self):
    for seed in (0, 1):
      put_spans(self.folder, {span: 0.0 for span in DROPS}, seed=seed,
                majority={})
    text = self.lines()[2]
    self.assertIn('RTE, 500 examples: holds in part: one layer', text)
    self.assertIn('all 0.0 ± 0.0 (to 90.0; accuracy (%))', text)

  def test_rates_near_the_best(self):
    for rate, score in ((1e-4, 0.5), (3e-4, 0.79), (1e-3, 0.8), (3e-3, 0.7)):
      put(self.folder, [score], learning_rate=rate)
    put(self.folder, [0.9], tune='full')  # One rate: nothing to compare.
    self.assertEqual(conclusions.rates(frames.load(str(self.folder))), [
        'RTE, 500 examples, adapters: within 2 points of the best at 0.0003, '
        '0.001, of 0.0001, 0.0003, 0.001, 0.003'])
