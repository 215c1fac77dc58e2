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

from experiments.analysis import curves  # noqa: E402
from experiments.analysis import figures  # noqa: E402
from experiments.analysis import frames  # noqa: E402
from experiments.analysis import heat_maps  # noqa: E402
from experiments.analysis import spans  # noqa: E402
from experiments.analysis import style  # noqa: E402
from experiments.analysis import variants  # noqa: E402

CONFIG = config_lib.Config(task='rte', train_examples=500)


def put(folder, scores, trained=7, first_seed=0, **changed):
  """Writes a record for each score, of seeds 0, 1, ..."""
  for seed, score in enumerate(scores, first_seed):
    config = dataclasses.replace(CONFIG, **{'seed': seed, **changed})
    history = [{'step': step, 'loss': 1.0, 'dev': {'accuracy': share * score}}
               for step, share in ((5, 0.5), (10, 1.0))]
    records.write(
        outcome.record_path(str(folder), 'glue', config),
        grid_test.make_record(
            config, metrics={'dev': {'accuracy': score}}, history=history,
            trained_params=trained, total_params=1000))


def put_floor(folder, full=(0.82, 0.82), **changed):
  """Writes full fine-tuning far above the head alone, so that a task tells."""
  put(folder, full, 1000, tune='full', **changed)
  put(folder, [0.5, 0.5], 2, tune='head', **changed)


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


class FiguresTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def folder(self, tmp_path):
    self.folder = tmp_path

  def draw(self):
    runs = frames.load(str(self.folder))
    known, tradeoff = frames.powers(runs), frames.tradeoff(runs)
    return {
        'tradeoff': figures.tradeoff(tradeoff),
        'distances': figures.distances(tradeoff, known),
        'init': figures.init_scales(frames.at_one_rate(runs, ['init_scale'])),
        'rates': figures.learning_rates(frames.learning_rates(runs), known),
        'variants': figures.bars(
            variants.load(runs), 'variant', 'default', 'ablation_variants'),
        'curves': curves.draw(curves.load(runs)),
        'spans': heat_maps.draw(spans.load(str(self.folder))),
    }

  @parameterized.parameters(0, 1)
  def test_without_records_each_says_how_to_make_some(self, count):
    put(self.folder, count * [0.5])  # One point compares nothing.
    for name, drawn in self.draw().items():
      self.assertStartsWith(drawn, 'No records of this yet', name)

  def put_all(self, tasks):
    for task in tasks:
      put_floor(self.folder, task=task)
      put(self.folder, [0.5, 0.6], task=task)
      put(self.folder, [0.7], task=task, init_scale=0.1)
      put(self.folder, [0.6], task=task, activation='relu')
      put(self.folder, [0.6], task=task, learning_rate=1e-4)
      put_spans(self.folder, DROPS, task=task)

  @parameterized.parameters((('rte',), 1), (('rte', 'wnli'), 2),
                            (('rte', 'wnli', 'cola', 'qnli'), 3))
  def test_every_figure_is_labelled_and_fills_columns_or_a_page(
      self, tasks, columns):
    self.put_all(tasks)
    for name, drawn in self.draw().items():
      self.assertEqual(
          drawn.get_size_inches()[0],
          style.COLUMN if columns == 1 or name == 'distances' else style.PAGE,
          name)
      panels = [axis for axis in drawn.axes
                if axis.get_label() != '<colorbar>' and axis.get_visible()]
      self.assertLen(panels, 1 if name == 'distances' else len(tasks), name)
      across = {axis.get_subplotspec().colspan.start for axis in panels}
      most = 3 if name in ('tradeoff', 'curves') else 2
      self.assertLen(
          across, 1 if name == 'distances' else min(columns, most), name)
      for axis in panels:
        self.assertNotEmpty(axis.get_xlabel(), name)
        self.assertNotEmpty(axis.get_title('left') + axis.get_title('right'))
        self.assertNotEmpty(axis.lines or axis.images, name)
        if name != 'variants':
          self.assertNotEmpty(axis.get_ylabel(), name)
      drawn.canvas.draw()

  def test_the_paper_is_grey_where_its_metric_is_ours(self):
    self.put_all(('rte', 'qqp'))  # The paper has F1 of QQP, these accuracy.
    rte, qqp = (next(axis for axis in self.draw()['tradeoff'].axes
                     if name in axis.get_title('left'))
                for name in ('RTE', 'qqp'))
    grey = [line for line in rte.lines if line.get_color() == style.GREY]
    self.assertEqual(
        sorted(float(line.get_ydata()[0]) for line in grey), [68.8, 70.1])
    self.assertFalse([line for line in qqp.lines
                      if line.get_color() == style.GREY])

  def test_one_line_a_task_in_figure_three(self):
    self.put_all(('rte', 'wnli'))
    put(self.folder, [0.7], task='cola', tune='full')
    put(self.folder, [0.7], task='cola')
    legend, = self.draw()['distances'].legends
    names = [text.get_text() for text in legend.get_texts()]
    self.assertEqual(names, ['CoLA (cannot tell)', 'RTE', 'wnli'])

  def test_rates_of_tasks_that_cannot_tell_are_not_drawn(self):
    self.put_all(('rte',))
    for rate in (1e-4, 1e-3):
      put(self.folder, [0.5], task='wnli', learning_rate=rate)
    self.assertLen(self.draw()['rates'].axes, 1)
    for path in (self.folder / 'glue' / 'rte').iterdir():
      if records.read(str(path)).config['tune'] == 'head':
        path.unlink()
    self.assertIn('can tell methods apart', self.draw()['rates'])

  def test_curves_are_means_and_seeds(self):
    put(self.folder, [0.6, 0.8])
    put(self.folder, [0.9], tune='full')
    axis, = self.draw()['curves'].axes
    thick = [line for line in axis.lines if line.get_linewidth() > 1]
    self.assertEqual({line.get_label() for line in thick},
                     {'adapters', 'full fine-tuning'})
    mean, = (line for line in thick if line.get_label() == 'adapters')
    np.testing.assert_allclose(mean.get_ydata(), [35, 70])
    np.testing.assert_array_equal(mean.get_xdata(), [5, 10])
    self.assertLen(axis.lines, 2 + 3)

  def test_heat_maps_share_a_scale_and_leave_the_majority_out(self):
    for seed in (0, 1):
      put_spans(self.folder, DROPS, seed=seed)
      put_spans(self.folder, {**DROPS, '0-2': 0.4}, seed=seed, task='cola')
      put_spans(self.folder, DROPS, seed=seed, task='wnli',
                majority={'accuracy': 0.9 - 0.001 * seed})
    maps = [axis for axis in self.draw()['spans'].axes if axis.images]
    self.assertLen(maps, 2)
    for axis in maps:
      image, = axis.images
      np.testing.assert_allclose(image.get_clim(), (-40, 0), atol=1e-9)
      values = np.ma.filled(image.get_array(), np.nan)
      self.assertTrue(np.isnan(values[np.tril_indices(3, -1)]).all())
      self.assertEqual(axis.get_facecolor(), (1, 1, 1, 1))

  def test_no_heat_map_of_models_at_the_majority(self):
    put_spans(self.folder, DROPS, majority={'accuracy': 0.9})
    self.assertIn('nothing for a layer to lose', self.draw()['spans'])

  def test_more_tasks_than_markers(self):
    for task in ('cola', 'sst2', 'mrpc', 'qqp', 'qnli', 'rte', 'wnli'):
      put(self.folder, [0.5], task=task)
      put(self.folder, [0.7], task=task, init_scale=0.1)
      put(self.folder, [0.6], task=task, activation='relu')
    drawn = self.draw()
    for name in ('init', 'variants'):
      shown = [axis for axis in drawn[name].axes if axis.get_visible()]
      self.assertLen(shown, 7)
      for axis in shown:
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
      ('accuracy', 'test accuracy (%)'),
      ('matthews', "test Matthews' corr. (×100)"),
      ('spearman', 'test spearman (×100)'))
  def test_metrics_with_units(self, metric, wanted):
    rows = pd.DataFrame({'metric': [metric] * 2, 'split': ['test'] * 2})
    self.assertEqual(style.metric_name(rows), wanted)
