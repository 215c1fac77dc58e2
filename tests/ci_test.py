"""Tests of the versions that CI installs, and of their audit."""

import ast
import json
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted((ROOT / '.ci').glob('constraints*.txt'))


def pins(path):
  """Returns {name: version} of a file of constraints."""
  lines = [line for line in path.read_text().splitlines() if line[0] != '#']
  assert all(re.fullmatch(r'[a-z0-9.-]+==[^ +]+', line) for line in lines)
  return dict(line.split('==') for line in lines)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_all_requirements_are_pinned(path):
  found = pins(path)
  setup = (ROOT / 'setup.py').read_text()
  wanted = re.search(r'install_requires=\[(.*?)\],', setup, re.S)[1]
  names = re.findall(r"'([A-Za-z_-]+)", wanted)
  assert len(names) > 15
  assert {name.lower().replace('_', '-') for name in names} <= set(found)


def test_all_extras_that_ci_installs_are_pinned():
  run, pin = ([set(extras.split(',')) for extras in re.findall(
      r"-e '\.\[(.+?)\]'", (ROOT / '.ci' / name).read_text())]
              for name in ('run', 'pin'))
  assert len(pin) == 2  # One for each of the two environments, in order.
  assert pin[0] == set().union(*run[:-1]) and pin[1] == run[-1]


@pytest.mark.parametrize('items, status, message', [
    ([{'name': 'a', 'version': '1', 'vulns': []}], 0, '1 of 1 looked up, 0'),
    ([{'name': 'a', 'version': '1', 'vulns': [{'id': 'CVE-1'}]},
      {'name': 'b', 'skip_reason': 'not found'}], 1, 'a 1 CVE-1'),
    ([{'name': 'b', 'skip_reason': 'not found'}], 0, 'out of reach'),
    (None, 0, 'out of reach')])
def test_an_audit(items, status, message, tmp_path):
  auditor = tmp_path / 'pip-audit'
  text = '' if items is None else json.dumps({'dependencies': items})
  # pip-audit ends with 1 for a vulnerability, and without a network.
  auditor.write_text(f"#!/bin/sh\necho '{text}'\nexit 1\n")
  auditor.chmod(0o755)
  done = subprocess.run(
      [ROOT / '.ci' / 'audit', auditor], capture_output=True, text=True,
      check=False)
  assert (done.returncode, done.stderr) == (status, '')
  assert done.stdout.count(message) == len(FILES)


# The stage of `.ci/run` that has a library which the first one has not.
_INTEROP = ('adapters', 'peft', 'sentence_transformers', 'seqeval', 'torch',
            'transformers')
_MARKERS = {
    **dict.fromkeys(('matplotlib', 'pandas'), ('figures', 'slow')),
    **dict.fromkeys(('nbclient', 'nbformat'), ('slow',)),
    **dict.fromkeys(_INTEROP, ('interop',)), 'ray': ('sweep',)}


def test_no_stage_skips_a_test_that_needs_a_library():
  found = 0
  for path in (ROOT / 'tests').rglob('*_test.py'):
    if 'importorskip' not in (text := path.read_text()):
      continue
    module = ast.parse(text)
    of_file = ''.join(
        ast.unparse(node) for node in module.body
        if isinstance(node, ast.Assign) and 'pytestmark' in ast.unparse(node))
    nodes = [inner for node in module.body for inner in (
        node.body if isinstance(node, ast.ClassDef) else [node])]
    for node in nodes:
      marks = of_file + ''.join(
          map(ast.unparse, getattr(node, 'decorator_list', ())))
      for library in re.findall(
          r"importorskip\('(\w+)", ast.get_source_segment(text, node) or ''):
        if wanted := _MARKERS.get(library):
          found += 1
          assert any(f'mark.{name}' in marks for name in wanted), (
              f'{path}:{node.lineno}: needs {library} and is in no stage that '
              f'has it; mark it {" or ".join(wanted)}')
  assert found > 60
