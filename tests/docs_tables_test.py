"""Tests that the tables and figures of README and docs are of the records."""

import contextlib
import io
import os
import tempfile

from absl.testing import parameterized
import pytest

from adapters_jax.downloads import json_files
from adapters_jax.runs import records
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

  def test_conclusions_are_those_of_the_records(self):
    pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
    pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
    from docs import generate
    self.check_current(
        'docs/results.md',
        between(PAGES['docs/results.md'], *generate.markers('conclusions')),
        generate.conclusion_lines())

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
