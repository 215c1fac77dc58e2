"""Tests of experiments.analysis.conclusions on made-up records."""

from absl.testing import parameterized
import pytest

from tests.experiments import made_records

pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
pytestmark = pytest.mark.figures

# pylint: disable=wrong-import-position
from experiments.analysis import conclusions  # noqa: E402
from experiments.analysis import frames  # noqa: E402
from experiments.analysis import spans  # noqa: E402

put, put_floor, put_spans, DROPS = (
    made_records.put, made_records.put_floor, made_records.put_spans,
    made_records.DROPS)


class FindingsTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def folder(self, tmp_path):
    self.folder = tmp_path

  def findings(self):
    return conclusions.findings(
        frames.load(str(self.folder)), spans.load(str(self.folder)))

  def test_nothing_is_said_without_records(self):
    self.assertEmpty(self.findings())
    text = conclusions.markdown([])
    for claim in conclusions.CLAIMS:
      self.assertIn(f'{claim}.', text)
    self.assertEndsWith(text, 'No records yet of conclusions 1, 2, 3, 4, 5.')

  def test_numbers_by_hand(self):
    # Student's t of one degree of freedom is 12.7: a difference between two
    # seeds of d has an interval of ± 6.35 d.
    put_floor(self.folder)  # 82 and 82.
    put(self.folder, [0.80, 0.81], 20)
    put(self.folder, [0.70, 0.71], 60, tune='top_k', top_k=1)
    put(self.folder, [0.75, 0.75], 90, tune='top_k', top_k=2)
    put(self.folder, [0.90, 0.91], 9, tune='norms')
    put(self.folder, [0.795, 0.805], 5, adapter_size=8)
    put(self.folder, [0.70, 0.71], 2, adapter_size=16)
    for size in (4, 512):
      put(self.folder, [0.10, 0.10], 2, adapter_size=size)
    put(self.folder, [0.801, 0.811], init_scale=1e-3)
    put(self.folder, [0.50, 0.51], init_scale=1.0)
    put(self.folder, [0.83, 0.84], activation='relu')
    put(self.folder, [0.60, 0.61], activation='tanh')
    # The thirds differ by 0.5 in both seeds: they are compared run by run.
    put_spans(self.folder, {**DROPS, '0-0': 0.01}, seed=0)
    put_spans(self.folder, {**DROPS, '0-0': 0.01}, seed=1)
    found = self.findings()
    self.assertEqual([finding.claim for finding in found], [1, 2, 3, 4, 5])
    self.assertEqual([finding.verdict for finding in found], [
        'undecided', 'holds in part', 'holds', 'holds in part',
        'does not hold'])
    self.assertEqual([finding.text for finding in found], [
        '1.5 points of accuracy (−4.9 to 7.9) below full fine-tuning with '
        '2.0% of the parameters',
        '10.0 points of accuracy (10.0 to 10.0) above the top layer (3.0 times '
        'the parameters), 10.0 (10.0 to 10.0) below layer norms',
        'the costliest single layer is 2, 1.5 points of accuracy (1.5 to 1.5), '
        'the lower third costs 1.0 (1.0 to 1.0), the upper third 1.5 (1.5 to '
        '1.5), all 30.0 (30.0 to 30.0); t over seeds alone',
        'of 3 sizes from 8 to 256, 16 is farthest from 64, by −10.0 points of '
        'accuracy (−10.0 to −10.0); of deviations up to 0.01, 0.001 is '
        'farthest from it, by 0.1 points of accuracy (0.1 to 0.1), −30.0 '
        '(−30.0 to −30.0) at 1',
        "of 2, the best is 'ReLU', by 3.0 points of accuracy (3.0 to 3.0)"])
    self.assertEqual({(finding.data, finding.split) for finding in found},
                     {('RTE, 500 examples', 'dev')})

  def test_parts_on_other_data_are_findings_of_their_own(self):
    put_floor(self.folder)
    for size, score in ((64, 0.80), (8, 0.80)):
      put(self.folder, [score, score], adapter_size=size)
    for scale in (1e-2, 1e-3):
      put(self.folder, [0.7, 0.7, 0.7], init_scale=scale, train_examples=200)
    found = [(finding.claim, finding.data, finding.verdict)
             for finding in self.findings() if finding.claim == 4]
    self.assertEqual(found, [
        (4, 'RTE, 200 examples', 'cannot be told'),
        (4, 'RTE, 500 examples', 'holds')])

  def test_many_parameters_are_not_a_few_per_cent(self):
    put_floor(self.folder)
    put(self.folder, [0.82, 0.82], 60)
    self.assertEqual(self.findings()[0].verdict, 'does not hold')

  def test_top_layers_with_fewer_parameters_are_cheaper(self):
    for trained, wanted in ((20, 'holds'), (60, 'does not hold')):
      put_floor(self.folder)
      put(self.folder, [0.80, 0.80], trained)
      put(self.folder, [0.70, 0.70], 60, tune='top_k', top_k=1)
      put(self.folder, [0.75, 0.75], 9, tune='norms')
      self.assertEqual(self.findings()[1].verdict, wanted)

  def test_cannot_be_told_where_full_fine_tuning_beats_nothing(self):
    # The effect of training on sst2 is clear, but less than the margin.
    for task, full in (('rte', (0.82, 0.82)), ('wnli', (0.4, 0.62)),
                       ('sst2', (0.509, 0.509))):
      put_floor(self.folder, full, task=task)
      put(self.folder, [0.6, 0.6], 20, task=task)
    put(self.folder, [0.82, 0.82], tune='full', task='qnli')  # No head.
    put(self.folder, [0.6, 0.6], task='qnli')
    found = {finding.data: finding for finding in self.findings()}
    self.assertEqual({data: finding.verdict for data, finding in found.items()},
                     {'RTE, 500 examples': 'does not hold',
                      'wnli, 500 examples': 'cannot be told',
                      'SST-2, 500 examples': 'cannot be told',
                      'qnli, 500 examples': 'cannot be told'})
    self.assertStartsWith(str(found['RTE, 500 examples'].power), 'yes: full')
    self.assertEndsWith(str(found['qnli, 500 examples'].power), 'no records')
    text = conclusions.markdown(list(found.values()))
    self.assertIn('| wnli, 500 examples | dev | **cannot be told** | ', text)
    table = conclusions.matrix(list(found.values()))
    self.assertEqual(table.loc[1, 'wnli, 500 examples'], 'cannot be told')
    self.assertEqual(table.loc[5, 'wnli, 500 examples'], '-')

  def test_seeds_that_pick_say_nothing(self):
    put_floor(self.folder)
    put(self.folder, [0.6, 0.6], 20)
    before = self.findings()
    put(self.folder, [0.99, 0.99], 20, first_seed=1000, learning_rate=0.5)
    self.assertEqual(self.findings(), before)

  def test_rates_near_the_best_of_tasks_that_tell(self):
    put_floor(self.folder)
    for rate, score in ((1e-4, 0.5), (3e-4, 0.79), (1e-3, 0.8), (3e-3, 0.7)):
      put(self.folder, [score], learning_rate=rate)
      put(self.folder, [score], learning_rate=rate, task='wnli')
    self.assertEqual(conclusions.rates(frames.load(str(self.folder))), [
        'RTE, 500 examples, adapters: within 2 points of accuracy of the best '
        'at 0.0003, 0.001, of 0.0001, 0.0003, 0.001, 0.003'])
