"""Forecasts of hours, from finished runs and from timed steps."""

import dataclasses
import statistics
from unittest import mock

import pytest

from adapters_jax.runs import compiled
from adapters_jax.runs.kinds import embeddings
from adapters_jax.runs.kinds import language_modeling
from adapters_jax.runs.kinds import question_answering
from adapters_jax.runs.kinds import tagging
from adapters_jax.sweeps import forecast
from adapters_jax.training import sharding
from tests.runs import other_kinds_test
from tests.sweeps import grid_test

CONFIG = grid_test.CONFIG


def test_finished_runs_alike_tell_the_time():
  # 20 steps in 2 epochs took 40 s.
  record = grid_test.make_record(
      dataclasses.replace(CONFIG, seed=5, adapter_size=8))
  assert forecast.cost(CONFIG, [record]) == forecast.Cost(2.0, 10.0)
  longer = dataclasses.replace(CONFIG, epochs=9.0)
  hours = forecast.hours([longer], [record], measure=None)
  assert hours == pytest.approx(9 * 10 * 2 / 3600)


@pytest.mark.parametrize('changed', [
    {'task': 'rte'}, {'tune': 'full'}, {'train_examples': 5},
    {'batch_size': 8}])
def test_others_do_not(changed):
  record = grid_test.make_record(dataclasses.replace(CONFIG, **changed))
  assert forecast.cost(CONFIG, [record]) is None


@pytest.mark.parametrize('changed, seconds', [
    ({'epochs': 2.0}, 20 * 3 + 2 * 50), ({'epochs': 0.5}, 5 * 3 + 50),
    ({'max_steps': 6}, 6 * 3 + 50), ({'max_steps': 40}, 40 * 3 + 4 * 50),
    ({'max_steps': 6, 'eval_every': 4}, 6 * 3 + 2 * 50),
    ({'eval_every': 100}, 20 * 3 + 50),
    ({'tune': 'none', 'epochs': 20.0}, 3 + 50)])
def test_seconds_are_those_of_the_steps_and_evaluations_of_a_run(
    changed, seconds):
  config = dataclasses.replace(CONFIG, **changed)
  cost = forecast.Cost(step=3.0, epoch=10.0, evaluation=50.0)
  assert cost.seconds(config) == seconds
  hours = forecast.hours([config, config], [], lambda _: cost)
  assert hours == pytest.approx(2 * seconds / 3600)


def test_a_base_as_it_is_takes_one_step_whatever_its_epochs():
  config = dataclasses.replace(CONFIG, tune='none')
  record = grid_test.make_record(config, steps=1)
  hours = forecast.hours(
      [dataclasses.replace(config, epochs=20.0)], [record], measure=None)
  assert hours == pytest.approx(40 / 3600)


def tokens_of(batch):
  """Returns the number of tokens in all texts of a batch, with padding."""
  return sum(
      value.size for name, value in batch.items() if name.startswith('mask'))


@pytest.mark.parametrize('name, kind', [
    ('embeddings', embeddings.KIND), *(
        pytest.param(*other, marks=pytest.mark.slow) for other in (
            ('tagging', tagging.KIND),
            ('language_modeling', language_modeling.KIND),
            ('question_answering', question_answering.KIND)))])
def test_times_are_scaled_to_all_tokens(name, kind, checkpoint, tmp_path):
  config = dataclasses.replace(
      other_kinds_test.config_of_any(name, checkpoint, tmp_path), buckets=2)
  # As if each token took a second.
  with mock.patch.object(
      forecast, '_times', lambda step, batch: [tokens_of(batch)] * 3):
    found = forecast.measure(config, kind)
  setup = kind.prepare(config)
  batches = [setup.schedule.batch(step)
             for step in range(setup.schedule.steps_per_epoch)]
  assert found.epoch == len(batches)
  assert found.step == pytest.approx(
      statistics.fmean(map(tokens_of, batches)))
  evaluated, place = [], sharding.place_batch

  def placed(mesh, batch, size):
    evaluated.append(tokens_of(batch))
    return place(mesh, batch, size)

  score = kind.make_score(
      setup, compiled.eval_batch_size(setup, config.batch_size))
  with mock.patch.object(sharding, 'place_batch', placed):
    score(setup.tuned, 'dev')
  assert found.evaluation == pytest.approx(sum(evaluated))
