"""Tests of the frames of experiments.analysis on made-up records."""

import math

from absl.testing import parameterized
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import reported
from adapters_jax.runs import records
from tests.experiments import made_records

pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
pytestmark = pytest.mark.figures

# pylint: disable=wrong-import-position
from experiments.analysis import conclusions  # noqa: E402
from experiments.analysis import figures  # noqa: E402
from experiments.analysis import frames  # noqa: E402
from experiments.analysis import spans  # noqa: E402
from experiments.analysis import variants  # noqa: E402

put, put_floor, put_spans, DROPS = (
    made_records.put, made_records.put_floor, made_records.put_spans,
    made_records.DROPS)


class FramesTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def folder(self, tmp_path):
    self.folder = tmp_path

  def load(self):
    return frames.load(str(self.folder))

  def test_means_over_seeds(self):
    put(self.folder, [0.5, 0.7, 0.6])
    put(self.folder, [0.9], adapter_layers='0-1')  # Not a default adapter.
    row, = frames.points(self.load()).to_dict('records')
    self.assertAlmostEqual(row['score'], 60)
    half = 4.302653 * 10 / math.sqrt(3)  # t of two degrees of freedom.
    self.assertAlmostEqual(row['low'], 60 - half, places=4)
    self.assertAlmostEqual(row['high'], 60 + half, places=4)
    self.assertEqual((row['seeds'], row['trained'], row['total']),
                     (3, 7, 1000))

  def test_the_schedule_that_seeds_apart_have_picked(self):
    for rate, epochs, own, apart in (
        (1e-3, 3.0, 0.9, 0.4), (1e-4, 3.0, 0.5, 0.6), (1e-4, 9.0, 0.8, 0.5)):
      changed = {'learning_rate': rate, 'epochs': epochs}
      put(self.folder, [own, own], **changed)
      put(self.folder, [apart], first_seed=1000, **changed)
    row, = frames.best_rate(frames.points(self.load())).to_dict('records')
    self.assertEqual((row['learning_rate'], row['epochs']), (1e-4, 3.0))
    self.assertEqual((row['trials'], row['seeds']), (3, 2))
    self.assertAlmostEqual(row['score'], 50)

  def test_the_rate_with_most_seeds_then_the_best(self):
    put(self.folder, [0.9], learning_rate=1e-2)
    put(self.folder, [0.5, 0.5], learning_rate=1e-3)
    put(self.folder, [0.6, 0.6], learning_rate=1e-4)
    found = frames.best_rate(frames.points(self.load()))
    self.assertEqual(list(found['learning_rate']), [1e-4])

  def test_test_scores_pick_no_rate(self):
    for rate, dev, test in ((1e-3, 0.6, 0.5), (1e-4, 0.5, 0.9)):
      put(self.folder, [dev, dev], tested=[test, test], learning_rate=rate)
    row, = frames.best_rate(frames.points(self.load())).to_dict('records')
    self.assertEqual(
        (row['learning_rate'], row['split'], row['score'], row['dev']),
        (1e-3, 'test', 50, 60))

  def test_the_settings_with_most_seeds_then_most_data(self):
    put(self.folder, [0.6], train_examples=0)
    put(self.folder, [0.6, 0.6], train_examples=500)
    put(self.folder, [0.7], train_examples=500, adapter_size=4)
    put(self.folder, [0.7], task='wnli', train_examples=500)
    put(self.folder, [0.7], task='wnli', train_examples=0)
    sizes = frames.tradeoff(self.load())
    self.assertEqual(
        [(row['task'], row['train_examples'], row['adapter_size'])
         for _, row in sizes.iterrows()],
        [('rte', 500, 4), ('rte', 500, 64), ('wnli', 0, 64)])

  def test_bases_have_panels_of_their_own(self):
    mpnet = {'checkpoint': 'mpnet-base', 'precision': 'float32'}
    put_floor(self.folder, **mpnet)
    put(self.folder, [0.8, 0.81], **mpnet)
    put(self.folder, [0.7], checkpoint='mpnet-base')  # Another precision.
    put(self.folder, [0.6], tune='full')
    put(self.folder, [0.5])
    put(self.folder, [0.9], 2, tune='norms', cache_frozen=True)
    runs = self.load()
    found = frames.tradeoff(runs)
    self.assertEqual(
        [(base, set(rows['precision']), set(rows['method']))
         for (_, base), rows in found.groupby(frames.PANEL)],
        [('minilm-l6', {'bfloat16_products'},
          {'adapters', 'full fine-tuning', 'layer norms'}),
         ('mpnet-base', {'float32'},
          {'adapters', 'full fine-tuning', 'head alone'})])
    near = figures.relative(found)
    self.assertEqual(list(near['checkpoint']), ['minilm-l6', 'mpnet-base'])
    np.testing.assert_allclose(near['distance'], [-10, -1.5])
    judged = conclusions.findings(runs, spans.load(str(self.folder)))
    self.assertEqual(
        {finding.data: finding.power.tells for finding in judged},
        {'RTE, 500 examples': False,
         'RTE with mpnet-base, float32, 500 examples': True})

  def test_tradeoff_names_methods_and_relative_subtracts(self):
    for task, full in (('rte', 0.8), ('wnli', 0.6)):
      put(self.folder, [full], 900, task=task, tune='full')
      put(self.folder, [full - 0.02], 30, task=task)
      put(self.folder, [full - 0.1], 300, task=task, tune='top_k', top_k=2)
    put(self.folder, [0.5], tune='norms')  # No line of figure 3.
    found = frames.tradeoff(self.load())
    self.assertEqual(sorted(found['method'].unique()), [
        'adapters', 'full fine-tuning', 'layer norms', 'top layers'])
    near = figures.relative(found)
    self.assertEqual(list(near['task']), ['rte', 'rte', 'wnli', 'wnli'])
    np.testing.assert_allclose(near['distance'], [-2, -10, -2, -10])
    np.testing.assert_allclose(near['share'], [3, 30, 3, 30])

  def test_headline_has_one_point_a_method_then_most_data(self):
    for examples in (500, 0):
      for size in (4, 64):
        put(self.folder, [0.7], train_examples=examples, adapter_size=size)
      put(self.folder, [0.8], tune='full', train_examples=examples)
    for k in (1, 2):  # More points, but no further method.
      put(self.folder, [0.6], 100 * k, tune='top_k', top_k=k)
      put(self.folder, [0.6], 100 * k, tune='top_k', top_k=k, train_examples=0)
    found = frames.headline(self.load())
    self.assertEqual(set(found['train_examples']), {0})
    self.assertEqual(sorted(found['method']),
                     ['adapters', 'full fine-tuning', 'top layers'])
    self.assertEqual(found.set_index('method')['top_k']['top layers'], 1)

  def test_figures_and_tables_are_of_the_same_runs(self):
    for tune in ('adapters', 'full', 'head'):
      put(self.folder, [0.7, 0.7], tune=tune)
    exact = {'precision': 'float32'}  # More sizes and seeds, but one method.
    for size in (4, 8, 64, 256):
      put(self.folder, [0.8, 0.8], adapter_size=size, **exact)
    put(self.folder, [0.9], adapter_config='lora[r=8]', **exact)
    runs = self.load()
    table, = (p.settings['precision'] for p in reported.headline(
        points_lib.points(records.read_all(str(self.folder))), (64,), (1,))
              if p.method == 'adapters, size 64')
    for found in (frames.tradeoff(runs), frames.headline(runs)):
      self.assertEqual(set(found['precision']), {table})
      self.assertEqual(set(found['method']), {
          'adapters', 'full fine-tuning', 'head alone'})
    # No figure has LoRA, but it decides too.
    for config in ('ia3', 'mam'):
      put(self.folder, [0.9, 0.9], adapter_config=config, **exact)
    found = frames.tradeoff(self.load())
    self.assertEqual(set(found['precision']), {'float32'})
    self.assertEqual(set(found['adapter_size']), {4, 8, 64, 256})

  def test_the_base_as_it_is_is_no_method_that_trains(self):
    put(self.folder, [0.7, 0.7])
    put(self.folder, [0.5], 0, tune='none')
    runs = self.load()
    self.assertEqual(dict(frames.tradeoff(runs)[['method', 'score']].to_numpy(
    )), {'adapters': 70, 'base as it is': 50})
    self.assertEqual(list(frames.headline(runs)['method']), ['adapters'])

  def test_powers_are_of_the_same_data(self):
    put_floor(self.folder)
    put(self.folder, [0.8, 0.8], tune='full', train_examples=0)
    put(self.folder, [0.79, 0.83])
    put(self.folder, [0.79, 0.83], train_examples=0)
    runs = self.load()
    known = frames.powers(runs)
    found = frames.points(runs)
    for examples, tells in ((500, True), (0, False)):
      rows = found[found['train_examples'] == examples]
      self.assertEqual(frames.power_of(rows, known).tells, tells)
    self.assertFalse(frames.power_of(found, {}).tells)

  def test_variants_and_places_by_name(self):
    put(self.folder, [0.5])
    put(self.folder, [0.6], activation='tanh')
    put(self.folder, [0.7], activation='tanh', adapter_sites='ffn_output')
    put(self.folder, [0.8], adapter_config='bottleneck[depth=2]')
    put(self.folder, [0.8], adapter_config='lora')
    put(self.folder, [0.9], adapter_sites='attention_output')
    put(self.folder, [0.4], adapter_layers='0-1')
    self.assertEqual(
        dict(zip(*variants.load(self.load())[['variant', 'score']].to_numpy(
        ).T)), {'default': 50, 'tanh': 60, 'two layers': 80,
                'after attention only': 90})
    self.assertEqual(
        set(variants.placements(self.load())['place']),
        {'everywhere', 'layers 0-1', 'after attention only'})

  def test_every_variant_of_the_script_has_a_name(self):
    from adapters_jax.sweeps import grid
    from experiments import ablation_variants
    for point in grid.parse_grid(ablation_variants.GRID):
      item, = point.items()
      self.assertTrue(
          item in variants.VARIANTS or item == ('activation', 'gelu'))

  def test_spans(self):
    put_spans(self.folder, DROPS)
    put_spans(self.folder, DROPS, seed=1)
    found = spans.load(str(self.folder))
    self.assertLen(found, 12)
    np.testing.assert_allclose(
        found[found['last'] == 0]['drop'], 0, atol=1e-9)
    np.testing.assert_allclose(found['majority'], 55)
    self.assertEqual(set(found['metric']), {'accuracy'})  # As in the paper.
    own = spans.load(str(self.folder), metric='matthews')
    np.testing.assert_allclose(own['drop'], 40)
    means = spans.means(found)
    np.testing.assert_allclose(means['mean'], [0, 30, 1, 1.5], atol=1e-9)
    np.testing.assert_allclose(means['low'], means['mean'], atol=1e-9)
    self.assertEmpty(spans.load(str(self.folder), restore_norms=True))
    above = spans.above_majority(found)  # 90 of both seeds, each once.
    self.assertAlmostEqual(above.mean, 35)
    self.assertEqual(above.seeds, 2)
    # Scores have no most frequent class, and constants no correlation.
    scores = spans.above_majority(found.assign(majority=float('nan')))
    self.assertAlmostEqual(scores.mean, 90)

  def test_spans_belong_to_records(self):
    put_spans(self.folder, DROPS)
    put_spans(self.folder, DROPS, seed=1)
    put_spans(self.folder, DROPS, seed=2, computation='computes in float32')
    put_spans(self.folder, DROPS, seed=1000)  # Picks settings.
    found = spans.load(str(self.folder))
    self.assertEqual(set(found['seed']), {0, 1})
    self.assertEqual(set(found['precision']), {'bfloat16_products'})
    for path in (self.folder / 'glue').rglob('*.json'):
      path.unlink()
    with self.assertRaisesRegex(errors.UserError, 'has no record in'):
      spans.load(str(self.folder))

  def test_spans_with_and_without_norms_are_of_the_same_runs(self):
    for seed in (0, 1):
      put_spans(self.folder, DROPS, seed=seed, train_examples=0)
    put_spans(self.folder, {**DROPS, '0-0': 0.1})
    for restore_norms in (False, True):
      put_spans(self.folder, DROPS, restore_norms, seed=1)
      put_spans(self.folder, DROPS, restore_norms, seed=2)
    for restore_norms, runs in ((False, 3), (True, 2)):
      found = spans.load(str(self.folder), restore_norms)
      self.assertEqual(set(found['train_examples']), {500})
      self.assertLen(found, 6 * runs)
