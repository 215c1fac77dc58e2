"""Tests of the tables in README and docs, made of records, methods, tasks."""

import dataclasses
import os
import re
import tempfile

from absl.testing import parameterized
import pytest

from adapters_jax import methods
from adapters_jax.data import tasks
from adapters_jax.downloads import json_files
from adapters_jax.methods import bottleneck
from adapters_jax.runs import records
from scripts import summarize
from scripts.stress import table as stress_table
from tests import docs_test
from tests import import_graph_test

PAGES, ROOT = docs_test.PAGES, docs_test.ROOT


def between(text: str, begin: str, end: str) -> str:
  """Returns the text between two markers, without its outer newlines."""
  return text.partition(begin)[2].partition(end)[0].strip('\n')


def table_rows(text: str) -> list[list[str]]:
  """Returns the cells of each row of the Markdown tables of a text."""
  return [[cell.strip() for cell in line.strip('|').split('|')]
          for line in text.splitlines()
          if line.startswith('|') and not line.startswith('|-')]


class TablesTest(parameterized.TestCase):

  @parameterized.parameters(
      ('README.md', 'mpnet-base'), ('docs/results.md', ''))
  def test_results_are_those_of_the_records(self, page, checkpoint):
    found = list(records.read_all(str(ROOT / 'experiments' / 'results')))
    table = between(PAGES[page], summarize.BEGIN, summarize.END)
    self.assertEqual(table, summarize.table(found, (8, 64), (2,), checkpoint))

  def test_reliability_is_that_of_the_figures(self):
    table = between(PAGES['docs/reliability.md'], '<!-- stress: begin -->',
                    '<!-- stress: end -->')
    found = json_files.read(
        str(ROOT / 'experiments' / 'results' / 'reliability.json'))
    self.assertEqual(table.splitlines(), stress_table.lines(found))

  def test_conclusions_are_those_of_the_records(self):
    pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
    pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
    from docs import generate
    self.assertEqual(
        between(PAGES['docs/results.md'], *generate.markers('conclusions')),
        generate.conclusion_lines())

  def test_intervals_and_composed_adapters_are_those_of_the_records(self):
    pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
    pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
    from docs import generate
    found = list(records.read_all(generate.RECORDS))
    page = PAGES['docs/results.md']
    self.assertEqual(between(page, *generate.markers('intervals')),
                     summarize.intervals(found, (8, 64), (2,)))
    self.assertEqual(between(page, *generate.markers('composed')),
                     generate.composed_lines(found))
    with tempfile.TemporaryDirectory() as folder:
      self.assertEqual(between(page, *generate.markers('dropped')),
                       generate.dropped_lines(folder))

  def test_figures_of_ablations_are_those_of_the_records(self):
    pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
    pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
    from docs import generate
    with tempfile.TemporaryDirectory() as folder:
      lines = generate.draw_ablations(folder)
      drawn = os.listdir(folder)
    self.assertEqual(
        between(PAGES['docs/results.md'], *generate.markers('ablations')),
        lines)
    for name in drawn:
      self.assertIn(f'](figures/{name})', lines)
      self.assertTrue((ROOT / 'docs' / 'figures' / name).exists(), name)

  def test_every_method_has_its_names_listed(self):
    text = PAGES['docs/methods.md'].partition('\n## Fields\n')[0]
    names = [name for first, *_ in table_rows(text)[1:]
             for name in re.findall('`([^`]+)`', first)]
    self.assertCountEqual(names, methods.CONFIGS)

  def test_fields_and_defaults_of_methods(self):
    text = PAGES['docs/methods.md'].partition('\n## Fields\n')[2]
    text = text.partition('\n## ')[0]
    seen = set()
    for section in text.split('\n### ')[1:]:
      name = re.match('`(.*)`', section)[1]
      config = type(methods.CONFIGS[name][0])
      seen.add(config)
      inherited = (bottleneck.Bottleneck if config is not bottleneck.Bottleneck
                   and issubclass(config, bottleneck.Bottleneck) else None)
      skipped = ({field.name for field in dataclasses.fields(inherited)}
                 if inherited else set())
      self.assertEqual(
          [[cell.strip('`') for cell in row[:2]]
           for row in table_rows(section)[1:]],
          [[field.name, repr(field.default)]
           for field in dataclasses.fields(config)
           if field.name not in skipped], name)
    known = {type(config) for union in methods.CONFIGS.values()
             for config in union}
    self.assertEqual({config.__name__ for config in known - seen},
                     {'IA3Inputs'})  # An IA3 with other sites.

  def test_every_task_is_listed(self):
    rows = table_rows(PAGES['docs/data.md'].partition('\n## GLUE\n')[0])
    names = [name for row in rows[1:]
             for name in re.findall('`([^`]+)`', row[0])]
    self.assertCountEqual(names, [*tasks.TASKS, 'squad'])

  def test_packages_have_their_ranks(self):
    rows = table_rows(PAGES['docs/architecture.md'])
    listed = {name: int(row[0]) for row in rows if row[0].isdecimal()
              for name in re.findall('`([^`]+)`', row[1])}
    self.assertEqual(listed, import_graph_test.RANKS)
