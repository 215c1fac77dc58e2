"""Tests of the figures of experiments.analysis on made-up records."""

from absl.testing import parameterized
import numpy as np
import pytest

from adapters_jax.runs import records
from tests.experiments import made_records

pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
pytestmark = pytest.mark.figures

# pylint: disable=wrong-import-position
import pandas as pd  # noqa: E402

from experiments.analysis import curves  # noqa: E402
from experiments.analysis import figures  # noqa: E402
from experiments.analysis import frames  # noqa: E402
from experiments.analysis import heat_maps  # noqa: E402
from experiments.analysis import spans  # noqa: E402
from experiments.analysis import style  # noqa: E402
from experiments.analysis import variants  # noqa: E402

put, put_floor, put_spans, DROPS = (
    made_records.put, made_records.put_floor, made_records.put_spans,
    made_records.DROPS)


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

  @parameterized.parameters((('rte',), 1), (('rte', 'wnli', 'cola', 'qnli'), 2))
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
      self.assertLen(across, 1 if name == 'distances' else columns, name)
      for axis in panels:
        self.assertNotEmpty(axis.get_xlabel(), name)
        self.assertNotEmpty(axis.get_title('left') + axis.get_title('right'))
        self.assertNotEmpty(axis.lines or axis.images, name)
        if name != 'variants':
          self.assertNotEmpty(axis.get_ylabel(), name)
      drawn.draw_without_rendering()  # Places everything.
      inked = drawn.get_tightbbox()  # Inches; beyond the page is cut.
      width, height = drawn.get_size_inches()
      self.assertGreater(min(inked.x0, inked.y0), -0.01, name)
      self.assertLess(max(inked.x1 - width, inked.y1 - height), 0.01, name)

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

  def test_the_base_as_it_is_is_a_line_across(self):
    put(self.folder, [0.7, 0.72, 0.71])
    put(self.folder, [0.5], 0, tune='none')
    drawn = self.draw()['tradeoff']
    axis, = drawn.axes
    across, = (line for line in axis.lines if line.get_linestyle() == ':')
    self.assertEqual(list(across.get_ydata()), [50, 50])
    self.assertLess(axis.get_ylim()[0], 50)
    self.assertEndsWith(axis.get_title('left'), '3 seeds')
    self.assertEqual([text.get_text() for text in drawn.legends[0].get_texts()],
                     ['adapters', 'base as it is', 'the paper: BERT-LARGE, '
                      'test'])

  def test_two_seeds_have_markers_in_place_of_an_interval(self):
    put_floor(self.folder, (0.8, 0.82, 0.84))
    put(self.folder, [0.5, 0.9])  # t: from -184 to 324.
    put(self.folder, [0.9, 0.94, 0.99], learning_rate=1e-4)
    put(self.folder, [0.6], learning_rate=1e-2)
    axis, = self.draw()['rates'].axes
    small = {tuple(line.get_ydata()) for line in axis.lines
             if line.get_markersize() == 2 and line.get_marker() != 'None'}
    self.assertEqual(small, {(50, 90)})
    bars, = (bars for bars in axis.containers
             if bars.get_label() == 'adapters')
    ends = {float(segment[0, 0]): np.ptp(segment[:, 1])
            for segment in bars.lines[2][0].get_segments()}
    self.assertGreater(ends[1e-4], 10)
    self.assertEqual((ends[1e-3], ends[1e-2]), (0, 0))
    self.assertEqual(axis.get_ylim()[1], 100)  # 94 and its interval: 105.
    self.assertBetween(axis.get_ylim()[0], 40, 50)

  def test_two_seeds_of_a_variant(self):
    put(self.folder, [0.5, 0.9])
    put(self.folder, [0.97, 0.98, 0.999], activation='relu')
    axis, = self.draw()['variants'].axes
    small, = (line for line in axis.lines if line.get_markersize() == 2
              and line.get_marker() != 'None')
    self.assertEqual((list(small.get_xdata()), list(small.get_ydata())),
                     ([50, 90], [1, 1]))
    self.assertEqual(axis.get_xlim()[1], 100)

  @parameterized.parameters(
      ('accuracy', 0, 100), ('matthews', -100, 100), ('r2', -300, 100),
      ('perplexity', 0, 300))
  def test_axes_end_where_the_metric_does(self, metric, low, high):
    rows = pd.DataFrame({'metric': [metric], 'split': ['dev']})
    for across in (False, True):
      figure, (axis,) = style.panels(1, 2, 1)
      axis.set(xlim=(-300, 300), ylim=(-300, 300))
      style.label_scores(axis, rows, 'title', across=across)
      ends = [(low, high), (-300, 300)][::1 if across else -1]
      self.assertEqual([axis.get_xlim(), axis.get_ylim()], ends)

  def test_the_flags_that_the_runs_need_are_said(self):
    put_spans(self.folder, DROPS)
    found = spans.load(str(self.folder), restore_norms=True)
    self.assertEndsWith(
        heat_maps.draw(found, flags='--restore_norms'),
        'ablation_layers --records=experiments/results --restore_norms')

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

  def test_rates_of_tasks_with_one_rate_a_method_are_not_drawn(self):
    put_floor(self.folder, task='wnli')
    put(self.folder, [0.6], task='wnli')
    put(self.folder, [0.7], task='wnli', tune='full')
    self.assertStartsWith(self.draw()['rates'], 'No records of this yet')
    self.put_all(('rte',))
    axis, = self.draw()['rates'].axes
    self.assertIn('RTE', axis.get_title('left'))

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
    self.assertLen({style.task_look(number) for number in range(42)}, 42)
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

  @parameterized.parameters((6, {'−47.1'}), (12, {'−47'}), (24, set()))
  def test_heat_maps_of_deep_models_have_short_numbers(self, layers, wanted):
    put_spans(self.folder, {
        f'{first}-{last}': 0.471 for first in range(layers)
        for last in range(first, layers)}, layers=layers)
    axis = self.draw()['spans'].axes[0]
    self.assertEqual({text.get_text() for text in axis.texts}, wanted)
    self.assertLessEqual(len(axis.get_xticks()), 14)

  def test_another_checkpoint_is_named(self):
    put(self.folder, [0.5], checkpoint='org/bert-base')
    put(self.folder, [0.7], checkpoint='org/bert-base', init_scale=0.1)
    self.assertEqual(self.draw()['init'].axes[0].get_title('left'),
                     'RTE with org/bert-base\n500 examples, 1 seed')

  @parameterized.parameters(
      ('accuracy', 'test accuracy (%)'),
      ('matthews', "test Matthews' corr. (×100)"),
      ('spearman', "test Spearman's correlation (×100)"),
      ('entity_f1', 'test entity F1 (×100)'))
  def test_metrics_with_units(self, metric, wanted):
    rows = pd.DataFrame({'metric': [metric] * 2, 'split': ['test'] * 2})
    self.assertEqual(style.metric_name(rows), wanted)
