"""Tests of README and docs: commands and links."""

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
