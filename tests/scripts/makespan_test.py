"""Tests of scripts.benchmark.makespan, with sweeps that are not run."""

import json
from unittest import mock

import pytest

from adapters_jax import errors
from scripts.benchmark import makespan


def test_ways_take_turns_and_are_written(tmp_path, capsys):
  asked = []

  def seconds_of(config, crossed, flag_list):
    asked.append((crossed, flag_list))
    return float(len(asked))

  out = tmp_path / 'out.json'
  with mock.patch.object(makespan, 'seconds_of', seconds_of):
    makespan.main(makespan.Config(
        lengths='8', seeds=2, rates='1e-4,1e-3', out=str(out)))
  every = 'learning_rate=1e-4,1e-3 seed=0-1'
  assert asked == [  # Each way first compiles, with as many runs at a time.
      ('learning_rate=1e-4 seed=0-0', ['--group=1', '--max_length=8']),
      (every, ['--group=1', '--max_length=8']),
      (every, ['--group=4', '--max_length=8']),
      (every, ['--group=4', '--max_length=8']),
      ('learning_rate=1e-4 seed=0-1', [
          '--launcher=ray', '--workers=2', '--group=1', '--max_length=8']),
      (every, [
          '--launcher=ray', '--workers=2', '--group=1', '--max_length=8'])]
  found = json.loads(out.read_text())
  assert found['makespan_seconds'] == {
      '8': {'sequential': 2.0, 'vmapped': 4.0, 'two Ray workers': 6.0}}
  assert 'out' not in found and found['cores'] >= 1
  assert '4 runs, length 8, vmapped: 4.0 s' in capsys.readouterr().out


@pytest.mark.parametrize(('changed', 'message'), (
    ({'seeds': 0}, '--seeds: give 1 or more'),
    ({'rates': 'fast'}, 'learning_rate=fast')))
def test_wrong_flags(changed, message):
  with mock.patch.object(makespan, 'seconds_of', side_effect=AssertionError):
    with pytest.raises(errors.UserError, match=message):
      makespan.main(makespan.Config(**changed))


def test_a_sweep_that_fails_says_why():
  with pytest.raises(errors.UserError, match="unknown 'nope'"):
    makespan.seconds_of(
        makespan.Config(task='nope'), 'seed=0-1', ['--group=1'])
