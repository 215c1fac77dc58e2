"""Tests of the lines that name runs by their differences."""

import time

from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import differences
from adapters_jax.sweeps import grid


def lines(text, **changed):
  runs = grid.expand([config_lib.Config(**changed)], grid.Options(grid=text))
  return [*map(differences.line_of(runs), runs)]


def test_settings_that_vary_are_named():
  assert lines('learning_rate=0.1,0.2 seed=3', task='cola') == [
      'cola --learning_rate=0.1', 'cola --learning_rate=0.2']
  assert lines('task=cola,rte') == ['cola', 'rte']
  assert lines('') == ['movie_sentiment']


def test_lines_of_many_runs_take_no_time_each():
  runs = grid.expand(
      [config_lib.Config(task='cola')], grid.Options(seeds='0-999'))
  start = time.process_time()
  found = [*map(differences.line_of(runs), runs)]
  # It took 250 s, as every line compared all runs.
  assert time.process_time() - start < 5
  assert found[-1] == 'cola --seed=999'
