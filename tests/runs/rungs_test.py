"""Tests of the file of a run's scores at rungs."""

import json
import math
import random

import pytest

from adapters_jax import errors
from adapters_jax.downloads import atomic
from adapters_jax.runs import rungs
from scripts.stress import damage

RUNGS = rungs.Rungs(
    {'1': 0.8125, '3': 0.875}, waits=3.0, base='tiny#0123',
    data={'dev': {'examples': 30, 'sha256': '4567'}})


def test_a_changed_score_decides_nothing(tmp_path):
  folder = str(tmp_path)
  rungs.write(folder, RUNGS)
  assert rungs.read(folder) == RUNGS
  path = tmp_path / 'rungs.json'
  path.write_text(path.read_text().replace('0.8125', '0.2125'))
  with pytest.raises(
      errors.UserError, match=f'^`workdir`: {path} is damaged; delete {folder} '
      'to run again'):
    rungs.read(folder)


@pytest.mark.parametrize('name, value', [
    ('scores', {'1': math.nan}), ('scores', {'1': -math.inf}),
    ('scores', {'1': 10**400}), ('scores', [0.5]), ('waits', math.inf),
    ('stopped', None)])
def test_files_without_a_hash_are_read_if_they_are_finite(
    tmp_path, name, value):
  # As earlier versions wrote them.
  values = {'scores': {'1': 0.5}, 'waits': 1.0, 'stopped': 0.0}
  atomic.write_json(rungs.path_of(str(tmp_path)), values)
  assert rungs.read(str(tmp_path)) == rungs.Rungs({'1': 0.5}, waits=1.0)
  atomic.write_json(rungs.path_of(str(tmp_path)), {**values, name: value})
  with pytest.raises(errors.UserError, match='rungs.json is damaged'):
    rungs.read(str(tmp_path))


def test_damaged_files_are_refused_or_equal(tmp_path):
  rungs.write(str(tmp_path), RUNGS)
  path, refused = tmp_path / 'rungs.json', 0
  whole = path.read_bytes()
  for seed in range(200):
    change = damage.changed_json if seed % 2 else damage.changed
    path.write_bytes(change(whole, random.Random(seed)))
    try:
      assert rungs.read(str(tmp_path)) == RUNGS
    except errors.UserError:
      refused += 1
  assert refused > 100
  assert json.loads(whole)['scores'] == RUNGS.scores
