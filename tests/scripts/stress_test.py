"""The stress of tiny runs finds the faults that it looks for."""

import json
import os
import random

import pytest

from adapters_jax import errors
from adapters_jax.downloads import atomic
from scripts.stress import __main__ as program
from scripts.stress import damage
from scripts.stress import kills
from scripts.stress import place as place_lib
from scripts.stress import wrong_flags


def test_changes_are_those_of_the_seed_and_change_something():
  content = json.dumps({'a': [1, {'b': 2.5}], 'c': 'text'}).encode()
  for change in (damage.changed, damage.changed_json):
    found, again = ([change(content, random.Random(seed))
                     for seed in range(200)] for _ in range(2))
    assert found == again
    assert sum(one != content for one in found) > 190
    assert len(set(found)) > 25


@pytest.mark.parametrize('read, outcome', [
    (lambda path: open(path, 'rb').read(), 'silent'),
    (lambda path: len(path), 'equal'),
    (lambda path: json.load(open(path)), 'traceback'),
    (None, 'refused'),
])
def test_outcomes(tmp_path, monkeypatch, read, outcome):
  path = tmp_path / 'file'
  path.write_bytes(b'{"a": 1, "b": 2}')
  state = tmp_path / 'state'
  state.write_bytes(b'x')
  calls = iter([1])

  def once(path):
    if next(calls, None) is None:
      raise errors.UserError('damaged')
  read = read or once
  monkeypatch.setattr(damage, 'kinds', lambda place: {
      'file': damage.Kind(str(path), lambda: read(str(path))),
      'state': damage.Kind(str(state), lambda: 0)})
  found = damage.run(place_lib.Place(str(tmp_path)), random.Random(0), 40)
  assert sum(found['outcomes'].values()) == 40
  assert found['outcomes'][outcome] >= 12
  assert bool(found['faults']) == (outcome in ('silent', 'traceback'))
  assert path.read_bytes() == b'{"a": 1, "b": 2}'
  assert program.faults({'damage': found}) == len(found['faults'])


def test_every_file_event_of_a_write_is_seen(tmp_path):
  seen = []
  with kills.events(str(tmp_path), lambda number, name: seen.append(
      (number, name, sorted(os.listdir(tmp_path))))):
    atomic.write_json(str(tmp_path / 'a.json'), 1)
    with open(tmp_path / 'a.json'):
      pass  # Reading changes nothing.
    os.remove(tmp_path / 'a.json')
  names = [name for _, name, _ in seen]
  assert names == ['mkdir', 'open', 'fsync', 'replace', 'fsync', 'remove'] or (
      names == ['open', 'fsync', 'replace', 'fsync', 'remove'])
  assert [number for number, _, _ in seen] == list(range(len(seen)))
  at_rename = next(files for _, name, files in seen if name == 'replace')
  assert len(at_rename) == 1 and atomic.is_scratch(at_rename[0])


def test_wrong_flags_are_drawn_of_all_settings():
  rng = random.Random(0)
  drawn = {flag.split('=')[0] for _ in range(2000)
           for flag in wrong_flags.draw(rng)}
  assert {f'--{name}' for name in wrong_flags._WRONG} <= drawn


def test_what_threads_print_is_seen(capfd):
  with place_lib.stderr() as text:
    os.write(2, b'Traceback of a thread\n')
    assert text() == 'Traceback of a thread\n'
  os.write(2, b'after\n')
  assert capfd.readouterr().err == 'after\n'


def test_attempts_judge_as_a_command_would():
  def fail(error):
    raise error
  assert place_lib.attempt(len, 'abc') == ('result', 3)
  assert place_lib.attempt(fail, errors.UserError('x')) == ('refused', 'x')
  assert place_lib.attempt(fail, errors.UserError('x\ny'))[0] == 'traceback'
  assert place_lib.attempt(fail, ValueError('x')) == (
      'traceback', 'ValueError: x')
