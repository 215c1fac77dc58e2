"""Tests that damaged JSON is refused in one line."""

import pytest

from adapters_jax import errors
from adapters_jax.downloads import json_files


@pytest.mark.parametrize('content, message', [
    (b'{', 'cannot be read'), (b'', 'cannot be read'),
    (b'\xff{}', 'cannot be read'), (b'[1]', 'JSON object, not a list'),
    (b'null', 'JSON object'), (b'[' * 100000, 'nested too deeply'),
    (b'{"a":' * 100000, 'nested too deeply')])
def test_damaged_files(content, message, tmp_path):
  path = tmp_path / 'x.json'
  path.write_bytes(content)
  with pytest.raises(
      errors.UserError, match=f'^`a`: {path} .*{message}') as found:
    json_files.read(str(path), what='`a`: ')
  assert '\n' not in str(found.value)


def test_no_file(tmp_path):
  for path in (tmp_path, tmp_path / 'absent.json'):
    with pytest.raises(errors.UserError, match=f'^{path} cannot be read'):
      json_files.read(str(path))


def test_any_value(tmp_path):
  path = tmp_path / 'x.json'
  path.write_text('[1, {"a": 2}]')
  assert json_files.read_any(str(path)) == [1, {'a': 2}]


def test_entries():
  values = {'n': 3, 'x': 0.5, 't': 'a', 'null': None}
  assert json_files.integer(values, 'n', 'f', 1, 3) == 3
  assert json_files.number(values, 'x', 'f', 0, 1) == 0.5
  assert json_files.number(values, 'n', 'f', 3, 4) == 3
  assert json_files.string(values, 't', 'f') == 'a'
  for name in ('null', 'absent'):
    assert json_files.integer(values, name, 'f', 1, 3, 2) == 2
    assert json_files.string(values, name, 'f', '') == ''
    with pytest.raises(errors.UserError, match=f'^f has no {name}$'):
      json_files.number(values, name, 'f', 1, 3)


@pytest.mark.parametrize('value', [
    True, 4, 0, '3', 2.0, [3], {}, 10**400, float('nan'), 'x' * 10**6])
def test_entries_of_other_types(value):
  with pytest.raises(errors.UserError, match='^f has n .*whole number from 1 '
                     'to 3') as found:
    json_files.integer({'n': value}, 'n', 'f', 1, 3)
  assert len(str(found.value)) < 120


@pytest.mark.parametrize('value', [
    True, 'x', [1], float('nan'), float('inf'), -0.1, 10**400])
def test_numbers_of_other_types(value):
  with pytest.raises(errors.UserError, match='^f has n .*number from 0 to 1'):
    json_files.number({'n': value}, 'n', 'f', 0, 1)
  with pytest.raises(errors.UserError, match='^f has n .*a text'):
    json_files.string({'n': [value]}, 'n', 'f')
