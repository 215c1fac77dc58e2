"""Tests of experiments.frames and figures on made-up records."""

import dataclasses
import math

from absl.testing import parameterized
import numpy as np
import pytest

from adapters_jax.analysis import layer_removal
from adapters_jax.downloads import atomic
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records
from adapters_jax.sweeps import outcome
from tests.sweeps import grid_test

pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")

# pylint: disable=wrong-import-position
import pandas as pd  # noqa: E402

from experiments.analysis import figures  # noqa: E402
from experiments.analysis import frames  # noqa: E402

CONFIG = config_lib.Config(task='rte', train_examples=500)


def put(folder, scores, trained=7, **changed):
  """Writes a record for each score, of seeds 0, 1, ..."""
  for seed, score in enumerate(scores):
    config = dataclasses.replace(CONFIG, **{'seed': seed, **changed})
    records.write(
        outcome.record_path(str(folder), 'glue', config),
        grid_test.make_record(
            config, metrics={'dev': {'accuracy': score}},
            trained_params=trained, total_params=1000))


def put_spans(
    folder, drops, restore_norms=False, majority=None, layers=3, **changed
):
  """Writes the spans of a run, of three layers; the whole scores 0.9."""
  record = grid_test.make_record(dataclasses.replace(CONFIG, **changed))
  atomic.write_json(
      layer_removal.map_path(str(folder / 'spans'), record, restore_norms),
      {'config': record.config, 'restore_norms': restore_norms,
       'layers': layers,
       'majority': {'accuracy': 0.55} if majority is None else majority,
       'whole': {'matthews': 0.5, 'accuracy': 0.9},
       'without': {span: {'matthews': 0.1, 'accuracy': 0.9 - drop}
                   for span, drop in drops.items()}})


DROPS = {'0-0': 0.0, '0-1': 0.01, '0-2': 0.3, '1-1': 0.01, '1-2': 0.1,
         '2-2': 0.015}


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
    self.assertAlmostEqual(row['sem'], 10 / math.sqrt(3))
    self.assertEqual((row['seeds'], row['trained'], row['total']),
                     (3, 7, 1000))

  def test_the_rate_with_most_seeds_then_the_best(self):
    put(self.folder, [0.9], learning_rate=1e-2)
    put(self.folder, [0.5, 0.5], learning_rate=1e-3)
    put(self.folder, [0.6, 0.6], learning_rate=1e-4)
    found = frames.best_rate(frames.points(self.load()))
    self.assertEqual(list(found['learning_rate']), [1e-4])

  def test_the_settings_with_most_points_then_most_data(self):
    for examples in (0, 500):
      put(self.folder, [0.6], train_examples=examples)
    put(self.folder, [0.7], train_examples=500, adapter_size=4)
    put(self.folder, [0.7], task='wnli', train_examples=500)
    put(self.folder, [0.7], task='wnli', train_examples=0)
    sizes = frames.tradeoff(self.load())
    self.assertEqual(
        [(row['task'], row['train_examples'], row['adapter_size'])
         for _, row in sizes.iterrows()],
        [('rte', 500, 4), ('rte', 500, 64), ('wnli', 0, 64)])

  def test_tradeoff_names_methods_and_relative_subtracts(self):
    for task, full in (('rte', 0.8), ('wnli', 0.6)):
      put(self.folder, [full], 900, task=task, tune='full')
      put(self.folder, [full - 0.02], 30, task=task)
      put(self.folder, [full - 0.1], 300, task=task, tune='top_k', top_k=2)
    put(self.folder, [0.5], tune='norms')  # One task alone has it.
    found = frames.tradeoff(self.load())
    self.assertEqual(sorted(found['method'].unique()), [
        'adapters', 'full fine-tuning', 'layer norms', 'top layers'])
    wide = figures.relative(found)
    np.testing.assert_allclose(wide, [[-2, -2], [-10, -10]])
    self.assertEqual(list(wide.index.get_level_values('trained')), [0.03, 0.3])

  def test_variants_and_places_by_name(self):
    put(self.folder, [0.5])
    put(self.folder, [0.6], activation='tanh')
    put(self.folder, [0.7], activation='tanh', adapter_sites='ffn_output')
    put(self.folder, [0.8], adapter_config='bottleneck[depth=2]')
    put(self.folder, [0.8], adapter_config='lora')
    put(self.folder, [0.9], adapter_sites='attention_output')
    put(self.folder, [0.4], adapter_layers='0-1')
    self.assertEqual(
        dict(zip(*frames.variants(self.load())[['variant', 'score']].to_numpy(
        ).T)), {'default': 50, 'tanh': 60, 'two layers': 80,
                'after attention only': 90})
    self.assertEqual(
        set(frames.placements(self.load())['place']),
        {'everywhere', 'layers 0-1', 'after attention only'})

  def test_every_variant_of_the_script_has_a_name(self):
    from adapters_jax.sweeps import grid
    from experiments import ablation_variants
    for point in grid.parse_grid(ablation_variants.GRID):
      item, = point.items()
      self.assertTrue(item in frames.VARIANTS or item == ('activation', 'gelu'))

  def test_spans(self):
    put_spans(self.folder, DROPS)
    put_spans(self.folder, DROPS, seed=1)
    found = frames.load_spans(str(self.folder))
    self.assertLen(found, 12)
    np.testing.assert_allclose(
        found[found['last'] == 0]['drop'], 0, atol=1e-9)
    np.testing.assert_allclose(found['majority'], 55)
    self.assertEqual(set(found['metric']), {'accuracy'})  # As in the paper.
    own = frames.load_spans(str(self.folder), metric='matthews')
    np.testing.assert_allclose(own['drop'], 40)
    means = frames.span_means(found)
    np.testing.assert_allclose(means['mean'], [0, 30, 1, 1.5], atol=1e-9)
    np.testing.assert_allclose(means['sem'], 0, atol=1e-9)
    self.assertEmpty(frames.load_spans(str(self.folder), restore_norms=True))

  def test_spans_with_and_without_norms_are_of_the_same_runs(self):
    for seed in (0, 1):
      put_spans(self.folder, DROPS, seed=seed, train_examples=0)
    put_spans(self.folder, {**DROPS, '0-0': 0.1})
    for restore_norms in (False, True):
      put_spans(self.folder, DROPS, restore_norms, seed=1)
      put_spans(self.folder, DROPS, restore_norms, seed=2)
    for restore_norms, runs in ((False, 3), (True, 2)):
      found = frames.load_spans(str(self.folder), restore_norms)
      self.assertEqual(set(found['train_examples']), {500})
      self.assertLen(found, 6 * runs)

  def test_points_that_all_tasks_share(self):
    for size in (8, 64):  # All that is shared is of all examples.
      for task in ('rte', 'wnli'):
        put(self.folder, [0.7], task=task, train_examples=0, adapter_size=size)
    for task in ('rte', 'wnli', 'qnli'):
      put(self.folder, [0.8], task=task, train_examples=0, tune='full')
    put(self.folder, [0.7, 0.7], task='cola', train_examples=0)
    for size in (1, 4, 64, 256):
      put(self.folder, [0.6, 0.6], adapter_size=size)
    put(self.folder, [0.7, 0.7], tune='full')
    found = frames.shared(self.load())
    self.assertEqual(set(found['task']), {'rte', 'wnli'})
    self.assertEqual(set(found['train_examples']), {0})
    self.assertEqual(
        sorted(found['adapter_size'].dropna()), [8, 8, 64, 64])
    self.assertLen(figures.relative(found), 2)
    self.assertEmpty(frames.shared(self.load()[:0]))


class FiguresTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def folder(self, tmp_path):
    self.folder = tmp_path

  def draw(self):
    runs = frames.load(str(self.folder))
    return {
        'tradeoff': figures.tradeoff(frames.tradeoff(runs)),
        'percentiles': figures.percentiles(frames.shared(runs)),
        'init': figures.init_scales(frames.at_one_rate(runs, ['init_scale'])),
        'rates': figures.learning_rates(frames.learning_rates(runs)),
        'variants': figures.bars(
            frames.variants(runs), 'variant', 'default', 'ablation_variants'),
        'spans': figures.spans(frames.load_spans(str(self.folder))),
    }

  @parameterized.parameters(0, 1)
  def test_without_records_each_says_how_to_make_some(self, count):
    put(self.folder, count * [0.5])  # One point compares nothing.
    for name, drawn in self.draw().items():
      self.assertStartsWith(drawn, 'No records of this yet', name)

  def test_every_figure_is_labelled_and_as_wide_as_a_column(self):
    for task in ('rte', 'wnli'):
      put(self.folder, [0.5, 0.6], task=task)
      put(self.folder, [0.7], task=task, init_scale=0.1)
      put(self.folder, [0.7], task=task, tune='full')
      put(self.folder, [0.6], task=task, activation='relu')
    put_spans(self.folder, DROPS)
    for name, drawn in self.draw().items():
      self.assertEqual(drawn.get_size_inches()[0], figures.WIDTH, name)
      panels = [axis for axis in drawn.axes if axis.get_label() != '<colorbar>']
      self.assertLen(panels, 1 if name in ('percentiles', 'spans') else 2)
      self.assertNotEmpty(panels[-1].get_xlabel(), name)
      for axis in panels:
        self.assertNotEmpty(axis.get_title('left') + axis.get_title('right'))
        if name != 'variants':
          self.assertNotEmpty(axis.get_ylabel(), name)
      drawn.canvas.draw()

  def test_more_tasks_than_markers(self):
    for task in ('cola', 'sst2', 'mrpc', 'qqp', 'qnli', 'rte', 'wnli'):
      put(self.folder, [0.5], task=task)
      put(self.folder, [0.7], task=task, init_scale=0.1)
      put(self.folder, [0.6], task=task, activation='relu')
    drawn = self.draw()
    for name in ('init', 'variants'):
      self.assertLen(drawn[name].axes, 7)
      for axis in drawn[name].axes:
        self.assertNotEmpty(axis.lines, name)

  def test_heat_maps_of_deep_models_have_short_numbers(self):
    put_spans(self.folder, {
        f'{first}-{last}': 0.471 for first in range(12)
        for last in range(first, 12)}, layers=12)
    texts = {text.get_text() for text in self.draw()['spans'].axes[0].texts}
    self.assertEqual(texts, {'−47'})

  def test_another_checkpoint_is_named(self):
    put(self.folder, [0.5], checkpoint='/models/bert-base/')
    put(self.folder, [0.7], checkpoint='/models/bert-base/', init_scale=0.1)
    self.assertEqual(self.draw()['init'].axes[0].get_title('left'),
                     'RTE with bert-base, 500 examples, 1 seed')

  @parameterized.parameters(
      ('accuracy', 'accuracy (%)'), ('matthews', "Matthews' corr. (×100)"),
      ('spearman', 'spearman (×100)'))
  def test_metrics_with_units(self, metric, wanted):
    rows = pd.DataFrame({'metric': [metric] * 2})
    self.assertEqual(figures.metric_name(rows), wanted)
