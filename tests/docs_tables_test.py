"""Tests that tables, lists and figures of the pages are of records and code."""

import contextlib
import io
import os
import re
import tempfile

from absl.testing import parameterized
import pytest

from adapters_jax.downloads import json_files
from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.model import endings
from adapters_jax.runs import identity
from adapters_jax.runs import presets
from adapters_jax.runs import records
from adapters_jax.sweeps import grid
from docs import training_tables
from scripts import summarize
from scripts.benchmark import table as benchmark_table
from scripts.stress import table as stress_table
from tests import docs_test

ROOT, PAGES, between = docs_test.ROOT, docs_test.PAGES, docs_test.between
# As in docs/reproduce.md.
SUMMARIZE = ('python -m scripts.summarize --records=experiments/results '
             '--readme=README.md --checkpoint=mpnet-base')


class RecordsTest(parameterized.TestCase):

  def check_current(self, page, found, wanted):
    if found != wanted:  # Without a dump of both, which hides the way out.
      self.fail(f'{page} differs from the records; run `{SUMMARIZE}` and '
                '`python -m docs.generate`')

  @parameterized.parameters(
      ('README.md', 'mpnet-base'), ('docs/results.md', ''))
  def test_results_are_those_of_the_records(self, page, checkpoint):
    found = list(records.read_all(str(ROOT / 'experiments' / 'results')))
    table = between(PAGES[page], summarize.BEGIN, summarize.END)
    self.check_current(
        page, table, summarize.table(found, (8, 64), (2,), checkpoint))

  def test_reliability_is_that_of_the_figures(self):
    table = between(PAGES['docs/reliability.md'], '<!-- stress: begin -->',
                    '<!-- stress: end -->')
    found = json_files.read(
        str(ROOT / 'experiments' / 'results' / 'reliability.json'))
    self.check_current('docs/reliability.md', table.splitlines(),
                       stress_table.lines(found))

  def test_rates_are_those_of_the_records(self):
    found = records.read_all(str(ROOT / 'experiments' / 'results'))
    self.check_current(
        'docs/methods.md',
        between(PAGES['docs/methods.md'], '<!-- rates: begin -->',
                '<!-- rates: end -->'), training_tables.rates(found))

  def test_shares_of_encoders_are_those_of_the_records(self):
    rows = docs_test.table_rows(
        PAGES['docs/encoders.md'].partition('\nThe column')[0])
    shares = {name.strip('`'): float(re.search(r'\((.*) %\)', trained)[1])
              for _, name, *_, trained in rows[1:]}
    found = {}
    for record in records.read_all(str(ROOT / 'experiments' / 'results')):
      config = identity.completed(record.config)
      if config['tune'] == 'adapters' and not config['adapter_config'] and (
          config['adapter_size'] == 64 and config['adapters'] == ''
          and config['adapter_layers'] == 'all' and config['tune_norms']
          and config['adapter_sites'] == 'attention_output,ffn_output'):
        found.setdefault(config['checkpoint'], []).append(
            100 * record.trained_params / record.total_params)
    self.assertCountEqual(found, ['minilm-l6', 'mpnet-base'])
    for base, percents in found.items():
      self.assertAlmostEqual(shares[base], min(percents), delta=0.01)

  def test_times_and_ratios_are_those_of_the_benchmark(self):
    found = json_files.read(
        str(ROOT / 'experiments' / 'results' / 'benchmark.json'))
    steps = [row for tune in ('adapters', 'full')
             for row in found['step'][tune]['lengths'].values()]
    sizes = found['inference']['sizes'].values()
    for title, rows, written in (
        ('training step, batch 32', steps,
         lambda row, seconds: f'{1e3 * seconds:,.0f} ms'),
        ('inference, sentences a second', sizes,
         lambda row, seconds: f'{row["examples"] / seconds:.0f}')):
      table = f'| {title} ' + PAGES['docs/performance.md'].partition(
          f'| {title} ')[2].partition('\n\n')[0]
      self.assertEqual(
          [cells[1:] for cells in docs_test.table_rows(table)[1:]],
          [[*(written(row, row['sides'][side]['seconds']['min'])
              for side in ('ours_bfloat16', 'ours', 'peer_bfloat16', 'peer')),
            *(f'{benchmark_table.ratio_of(row, "ours_bfloat16", name):.2f}×'
              for name in ('min', 'median'))] for row in rows])

  def test_phases_and_processes_are_those_of_the_benchmark(self):
    found = json_files.read(
        str(ROOT / 'experiments' / 'results' / 'benchmark.json'))
    page = PAGES['docs/performance.md']
    sides = 'ours_bfloat16', 'ours', 'peer_bfloat16', 'peer'

    def rows_of(title):
      return docs_test.table_rows(f'| {title} |' + page.partition(
          f'| {title} |')[2].partition('\n\n')[0])[1:]

    process = found['process']
    self.assertEqual([cells[1:] for cells in rows_of('process')], [
        [f'{process["sides"][side]["seconds"]["min"]:.1f}',
         f'{process["sides"][side]["cpu_seconds"]["min"]:.1f}',
         f'{process["first_seconds"][side]:.0f}' if side in sides[:2] else '']
        for side in sides])
    start = found['start']['seconds']
    for sentence in (
        'process is {min:.2f} times as fast, by medians {median:.2f}'.format(
            **{name: benchmark_table.ratio_of(process, 'ours_bfloat16', name)
               for name in ('min', 'median')}),
        'takes {warm:.1f} s here, {cold:.1f} s if it compiles, and {peer:.1f} '
        's in the peer'.format(
            **{name: seconds['min'] for name, seconds in start.items()})):
      self.assertIn(sentence, page.replace('\n', ' '))
    warm = {row.pop('task'): row for row in benchmark_table.phase_rows(found)}
    columns = [warm[side] for side in (
        'ours, bfloat16 products, warm', 'ours, warm')]
    wanted = {name: [one[name] for one in columns] for name in columns[0]}
    wanted['whole / (steps + evaluation)'] = wanted.pop(
        'all / (steps + evaluation)')
    self.assertEqual(wanted.pop('saving'), ['0.0', '0.0'])  # Not in the table.
    self.assertEqual(
        {name: cells for name, *cells in rows_of(
            'phase | bfloat16 products | float32')}, wanted)

  @pytest.mark.figures
  def test_the_program_for_own_records_runs(self):
    pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
    pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
    code, = docs_test.blocks(PAGES['docs/reproduce.md'], 'python')
    folder = str(ROOT / 'experiments' / 'results')
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
      exec(code.replace("'mine'", repr(folder)), names)  # pylint: disable=exec-used
    self.assertIn('cola', set(names['runs']['task']))
    self.assertIn('| 1 | CoLA with mpnet-base', printed.getvalue())

  @pytest.mark.figures
  def test_conclusions_are_those_of_the_records(self):
    pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
    pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
    from docs import generate
    self.check_current(
        'docs/results.md',
        between(PAGES['docs/results.md'], *generate.markers('conclusions')),
        generate.conclusion_lines())

  @pytest.mark.figures
  def test_intervals_and_composed_adapters_are_those_of_the_records(self):
    pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
    pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
    from docs import generate
    found = list(records.read_all(generate.RECORDS))
    page = PAGES['docs/results.md']
    for name, wanted in (
        ('intervals', summarize.intervals(found, (8, 64), (2,))),
        ('composed', generate.composed_lines(found))):
      self.check_current('docs/results.md',
                         between(page, *generate.markers(name)), wanted)
    with tempfile.TemporaryDirectory() as folder:
      self.check_current('docs/results.md',
                         between(page, *generate.markers('dropped')),
                         generate.dropped_lines(folder))

  @pytest.mark.figures
  def test_figures_of_ablations_are_those_of_the_records(self):
    pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
    pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
    from docs import generate
    with tempfile.TemporaryDirectory() as folder:
      lines = generate.draw_ablations(folder)
      drawn = os.listdir(folder)
    self.check_current(
        'docs/results.md',
        between(PAGES['docs/results.md'], *generate.markers('ablations')),
        lines)
    for name in drawn:
      self.assertIn(f'](figures/{name})', lines)
      self.assertTrue((ROOT / 'docs' / 'figures' / name).exists(), name)


class CodeTest(parameterized.TestCase):

  def test_methods_that_modernbert_refuses_are_listed(self):
    def is_refused(name):
      try:
        endings.check_pre_norm(methods.CONFIGS[name], 'modernbert')
      except errors.UserError:
        return True
      return False

    listed = between(
        ' '.join(PAGES['docs/encoders.md'].split()),
        'or leave it out, are refused: ', '. The error')
    self.assertCountEqual(re.findall('`([^`]+)`', listed),
                          filter(is_refused, methods.CONFIGS))

  def test_the_syntax_of_grids_is_described(self):
    page = between(
        PAGES['docs/scale.md'], 'A grid is a text', 'Runs that differ')
    for name in grid.GRIDS:
      self.assertIn(f'`--grid={name}`', page)
    self.assertIn('`adapter_layers=0-2,5|3-5` has two values', page)
    self.assertIn('`seed=0-4` is five seeds; for other settings `0-4` is one',
                  page)
    for text, count in (
        ('adapter_layers=0-2,5|3-5', 2), ('seed=0-4', 5),
        ('adapter_layers=0-4', 1), ('adapter_size=8,64 seed=0,1', 4),
        ('adapter_size=8,64; tune=full', 3),
        ('adapter_config=par_bn|prefix_tuning,lora[r=8,alpha=16]', 2),
        ('class_weights=spam:5,ham:1|balanced', 2)):
      self.assertLen(grid.parse_grid(text), count, text)

  def test_settings_are_those_of_the_flags(self):
    page = PAGES['docs/methods.md']
    table = between(page, '<!-- settings: begin -->', '<!-- settings: end -->')
    self.assertEqual(
        table, training_tables.settings(), 'run `python -m docs.generate`')
    rows = {name.strip('`'): (default.strip('`'), python)
            for name, default, *_, python in docs_test.table_rows(table)[1:]}
    # What the prose of the page says.
    self.assertEqual(
        {name: rows[name][0] for name in (
            'weight_decay', 'clip_norm', 'warmup', 'epochs', 'batch_size',
            'max_length', 'buckets', 'eval_every')},
        {'weight_decay': '0.01', 'clip_norm': '1.0', 'warmup': '0.1',
         'epochs': '3.0', 'batch_size': '32', 'max_length': '128',
         'buckets': '7', 'eval_every': '0'})
    self.assertEqual([rows[name][1] for name in (
        'tune', 'adapter_size', 'mesh', 'start', 'patience')], [
            '`method`', 'field of `method`', 'no', 'yes', 'yes'])
    self.assertEqual(
        (presets.SQUAD['max_length'], presets.EMBEDDINGS['max_length'],
         presets.LANGUAGE_MODELING['adapter_config'],
         presets.LANGUAGE_MODELING['tune_norms']),
        (384, 256, 'seq_bn_inv', False))
