"""Tests of the versions that CI installs, and of their audit."""

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
