"""Tests of scripts.benchmark.crossover."""

import pytest

from adapters_jax import errors
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import forecast
from scripts.benchmark import crossover
from tests.sweeps import vmapped_test


@pytest.mark.slow
def test_the_crossover_is_measured_in_turns(checkpoint, own_files, tmp_path):
  configs = vmapped_test.configs_in(tmp_path, checkpoint, own_files)
  with forecast.assembled(configs, classification.KIND) as group:
    schedule = group.members[0].schedule
    chosen = crossover.some_steps(schedule)
    found = crossover.in_turns({
        size: forecast.make_group_step(
            group.first(size), classification.KIND, chosen[-1])
        for size in (1, 3)}, 2)
  lengths = [schedule.at(step).length for step in range(4)]
  assert [schedule.at(step).length for step in chosen] == sorted(set(lengths))
  assert list(found) == ['1', '3']
  assert all(0 < times['min'] <= times['median'] for times in found.values())


def test_the_crossover_in_a_line():
  assert crossover.describe({
      'batch_size': 4, 'length': 16, 'seconds_a_run': {
          '1': {'min': 0.02, 'median': 0.03},
          '2': {'min': 0.01, 'median': 0.0125}}}) == (
              '4 x 16: a step takes each run, by the size of its group: '
              '1: 20.0 ms (30.0); 2: 10.0 ms (12.5, 2.00x)')


@pytest.mark.parametrize(('changed', 'message'), (
    ({'groups': '2,4'}, '--groups=2,4: begin with 1'),
    ({'groups': '1,4,2'}, '--groups=1,4,2: give ascending'),
    ({'batch_sizes': '8,x'}, '--batch_sizes=8,x: give ascending'),
    ({'turns': 0}, '--turns=0: give 1 or more')))
def test_wrong_flags_of_the_crossover(changed, message):
  with pytest.raises(errors.UserError, match=message):
    crossover.check(crossover.Config(**changed))
