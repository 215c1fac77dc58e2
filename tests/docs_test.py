"""Tests of README and docs: commands, links, tables."""

import collections
import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

from absl.testing import parameterized

import adapters_jax
from adapters_jax import methods
from adapters_jax.data import tasks
from adapters_jax.methods import bottleneck
from tests import import_graph_test

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / 'docs'
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding='utf-8')
         for path in (ROOT / 'README.md', ROOT / 'CONTRIBUTING.md',
                      *sorted(DOCS.glob('*.md')))}
# Defines the flags of modules as their scripts do, and parses commands with
# them, all in one process: to start one for each command takes seconds.
CHECKER = r"""
import argparse, dataclasses, json, runpy, sys
from absl import app, flags, logging

class Defined(Exception):
  pass

def stop(*_, **__):
  raise Defined

parse_args, app.run = argparse.ArgumentParser.parse_args, stop

def stop_parser(parser, *_, **__):
  global found
  found = parser
  raise Defined

argparse.ArgumentParser.parse_args = stop_parser
common, problems = set(flags.FLAGS), []
for module, args in json.load(sys.stdin):
  for name in set(flags.FLAGS) - common:
    delattr(flags.FLAGS, name)
  flags.FLAGS.unparse_flags()
  found, sys.argv = None, [module]
  try:
    runpy.run_module(module, run_name='__main__', alter_sys=True)
    problems.append(f'{module}: parses no flags')
  except Defined:
    pass
  try:
    if found:
      parse_args(found, args)
      continue
    rest = flags.FLAGS([module, *args])
    assert len(rest) == 1, f'{rest[1:]} are not flags'
    values = {name: flags.FLAGS[name].value for name in flags.FLAGS}
    from adapters_jax.methods import strings
    from adapters_jax.runs import config
    from adapters_jax.sweeps import grid
    if values.get('adapter_config'):
      strings.parse(values['adapter_config'])
    if values.get('grid'):
      grid.parse_grid(values['grid'])
    names = [field.name for field in dataclasses.fields(config.Config)]
    if set(names) <= set(values):
      config.Config(**{name: values[name] for name in names})
  except (Exception, SystemExit) as error:
    problems.append(f'{module} {" ".join(args)}: {error!r}')
print(json.dumps(problems))
"""


def blocks(text: str, language: str) -> list[str]:
  """Returns the fenced blocks of a language."""
  return re.findall(rf'^```{language}\n(.*?)^```$', text, re.M | re.S)


def logical_lines(text: str) -> list[str]:
  """Returns lines of shell, joined where a quote or a backslash continues."""
  lines, open_line = [], ''
  for line in text.replace('\\\n', ' ').splitlines():
    open_line += line
    try:
      shlex.split(open_line, comments=True)
    except ValueError:
      open_line += '\n'
      continue
    lines.append(open_line)
    open_line = ''
  assert not open_line, open_line
  return lines


def commands(line: str) -> list[tuple[str, list[str]]]:
  """Returns (module, arguments) of every `python -m` of a shell line."""
  lexer = shlex.shlex(line.replace('\n', ' '), posix=True,
                      punctuation_chars='&|;')
  lexer.whitespace_split = True
  found, words = [], []
  for token in [*lexer, ';']:
    if set(token) <= set('&|;'):
      names = [os.path.basename(word) for word in words]
      for start in range(len(words) - 2):
        if names[start] in ('python', 'python3') and words[start + 1] == '-m':
          found.append((words[start + 2], words[start + 3:]))
          break
      words = []
    else:
      if ' -m ' in token:  # A command inside an argument of another one.
        found += commands(token.partition('=')[2])
      words.append(token)
  return found


def documented() -> list[tuple[str, str, list[str]]]:
  """Returns (page, module, arguments) of all our commands, also inline ones."""
  found = []
  for page, text in PAGES.items():
    lines = [line for block in blocks(text, 'sh')
             for line in logical_lines(block)]
    lines += re.findall(r'`(python -m [^`\n]+)`', text)
    found += [(page, *command) for line in lines for command in commands(line)
              if command[0].split('.')[0] in ('experiments', 'scripts', 'docs')]
  return found


def slug(heading: str) -> str:
  """Returns the anchor that mkdocs gives a heading."""
  text = re.sub(r'[^\w\s-]', '', heading).strip().lower()
  return re.sub(r'[-\s]+', '-', text)


def between(text: str, begin: str, end: str) -> str:
  """Returns the text between two markers, without its outer newlines."""
  return text.partition(begin)[2].partition(end)[0].strip('\n')


def table_rows(text: str) -> list[list[str]]:
  """Returns the cells of each row of the Markdown tables of a text."""
  return [[cell.strip() for cell in line.strip('|').split('|')]
          for line in text.splitlines()
          if line.startswith('|') and not line.startswith('|-')]


class TextTest(parameterized.TestCase):

  def test_the_readme_is_short(self):
    text = PAGES['README.md']
    self.assertLessEqual(len(text.splitlines()), 200)
    self.assertLessEqual(len(text.split()), 1200)

  def test_the_readme_has_the_test_command_on_a_line(self):
    found = re.findall(r'^python3 -m venv .*python -m pytest$',
                       PAGES['README.md'], re.M)
    self.assertLen(found, 1)

  @parameterized.parameters(*PAGES)
  def test_links_resolve(self, page):
    folder = (ROOT / page).parent
    text = re.sub(r'^```.*?^```$', '', PAGES[page], flags=re.M | re.S)
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
      if target.startswith('https://'):
        continue
      path, _, anchor = target.partition('#')
      place = (folder / path).resolve() if path else ROOT / page
      self.assertTrue(place.exists(), target)
      if anchor and not anchor.startswith('adapters_jax.'):  # mkdocs' own.
        headings = re.findall(r'^#+ (.*)$', place.read_text(), re.M)
        self.assertIn(anchor, [slug(heading) for heading in headings], target)

  def test_a_grid_has_a_folder_of_its_own(self):
    kinds = collections.defaultdict(set)
    for _, module, args in documented():
      grid = any(arg.startswith(('--grid=', '--seeds=')) for arg in args)
      for arg in args:
        if arg.startswith('--workdir='):
          kinds[arg.strip("'")].add((module, grid))
    self.assertNotEmpty(kinds)
    self.assertEqual({len(found) for found in kinds.values()}, {1}, kinds)

  def test_the_site_has_every_page(self):
    settings = (ROOT / 'mkdocs.yml').read_text()
    listed = re.findall(r'^ +- [\w ]+: (\w+\.md)$', settings, re.M)
    self.assertCountEqual(listed, [path.name for path in DOCS.glob('*.md')])

  def test_the_reference_names_modules(self):
    names = re.findall(r'^::: (\S+)$', PAGES['docs/api.md'], re.M)
    self.assertNotEmpty(names)
    for name in names:
      self.assertIsNotNone(importlib.util.find_spec(name), name)

  def test_the_citation_has_the_version(self):
    text = (ROOT / 'CITATION.cff').read_text()
    self.assertIn(f'\nversion: {adapters_jax.__version__}\n', text)

  def test_the_setup_reads_texts_in_any_locale(self):
    done = subprocess.run(
        [sys.executable, 'setup.py', '--version'], cwd=ROOT, check=True,
        capture_output=True, text=True,
        env={**os.environ, 'LC_ALL': 'C', 'PYTHONUTF8': '0',
             'PYTHONCOERCECLOCALE': '0'})
    self.assertEqual(done.stdout.strip(), adapters_jax.__version__)

  def test_the_changelog_begins_with_the_version(self):
    first = re.search(
        r'^## (\S+)( \(unreleased\))?$', (ROOT / 'CHANGELOG.md').read_text(),
        re.M)
    self.assertEqual(
        adapters_jax.__version__, first[1] + ('.dev0' if first[2] else ''))


class CommandsTest(parameterized.TestCase):

  def test_a_line_of_shell_is_taken_apart(self):
    line = ("cd a && echo 'x | y' | .venv/bin/python -m experiments.predict "
            "--adapter=A; ssh --command='cd b && python -m scripts.c --d=1'")
    self.assertEqual(commands(line), [
        ('experiments.predict', ['--adapter=A']), ('scripts.c', ['--d=1'])])

  def test_all_flags_parse(self):
    found = documented()
    self.assertGreater(len(found), 30)
    with_flags = []
    for page, module, args in found:
      try:
        there = importlib.util.find_spec(module)
      except ModuleNotFoundError:
        there = None
      self.assertIsNotNone(there, f'{page}: {module}')
      if module.startswith('docs.'):
        self.assertEmpty(args, page)  # Has no flags.
      elif (module, args) not in with_flags:
        with_flags.append((module, args))
    environment = {**os.environ, 'GLIBC_TUNABLES': '', 'JAX_PLATFORMS': 'cpu'}
    done = subprocess.run(
        [sys.executable, '-c', CHECKER], input=json.dumps(with_flags),
        capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    self.assertEqual(done.returncode, 0, done.stderr[-2000:])
    self.assertEqual(json.loads(done.stdout.splitlines()[-1]), [])


class TablesTest(parameterized.TestCase):

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
    self.assertCountEqual(names, [*tasks.TASKS, 'squad'],
                          'list the task in docs/data.md')

  def test_packages_have_their_ranks(self):
    rows = table_rows(PAGES['docs/architecture.md'])
    listed = {name: int(row[0]) for row in rows if row[0].isdecimal()
              for name in re.findall('`([^`]+)`', row[1])}
    self.assertEqual(listed, import_graph_test.RANKS)
