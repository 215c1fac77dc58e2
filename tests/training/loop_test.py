"""The training loop around a step that computes nothing."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.training import loop
from adapters_jax.training import steps as steps_lib

STEPS = 9


def progress_at(step=0):
  return loop.init_progress(steps_lib.TrainState(
      np.int32(step), {'x': np.float32(step)}, (), jax.random.key(0)))


class Watch:
  """Hooks that keep what the loop does, in order."""

  def __init__(self, diverges=-1, **hooks):
    self.seen, self._diverges = [], diverges
    self.hooks = loop.Hooks(
        self.evaluate, save=lambda progress: self.seen.append(
            ('save', loop.steps_taken(progress))),
        report=lambda step, values: self.seen.append(('report', step)),
        **hooks)

  def evaluate(self, tuned, step):
    assert tuned['x'] == step  # The weights after that step.
    self.seen.append(('evaluate', step))
    return 0.5

  def fit(self, start=0, **options):
    def train_step(state, base, batch):
      del base
      loss = math.nan if batch == self._diverges else 1.0
      after = state.replace(
          step=state.step + 1, tuned={'x': state.tuned['x'] + 1})
      return after, {'loss': np.float32(loss), 'grad_norm': np.float32(1)}

    return loop.fit(
        train_step, progress_at(start), {}, lambda step: step, self.hooks,
        **{'steps': STEPS, 'eval_every': 4, **options})


def test_evaluations_and_reports():
  watch = Watch()
  watch.fit(start=3)
  assert watch.seen == [
      ('report', 3), ('evaluate', 4), ('save', 4),
      *[('report', step) for step in range(4, 8)], ('evaluate', 8), ('save', 8),
      ('report', 8), ('evaluate', 9), ('save', 9)]


@pytest.mark.parametrize('start, evaluated, wanted', [
    (4, 0, [4, 8]), (4, 4, [8]), (5, 0, [8]), (5, 4, [8])])
def test_a_step_saved_before_its_evaluation_is_evaluated_first(
    start, evaluated, wanted):
  watch = Watch()
  watch.fit(start=start, evaluated=evaluated, pause=8)
  assert [step for kind, step in watch.seen if kind == 'evaluate'] == wanted


def test_an_end_before_the_last_step_is_saved():
  ends = iter([False, False, True])
  watch = Watch(ended=lambda: next(ends))
  assert loop.steps_taken(watch.fit()) == 2
  assert watch.seen == [('report', 0), ('report', 1), ('save', 2)]


def test_a_pause_is_saved():
  watch = Watch()
  assert loop.steps_taken(watch.fit(pause=2)) == 2
  assert watch.seen == [('report', 0), ('report', 1), ('save', 2)]


def test_a_stop_is_saved():
  stops = iter([False, False, True])
  watch = Watch(stop=lambda: next(stops))
  with pytest.raises(errors.Interrupted, match='^stopped after 2 of 9 steps'):
    watch.fit()
  assert watch.seen == [('report', 0), ('report', 1), ('save', 2)]


def test_saves_that_are_due():
  watch = Watch(due=lambda batch: batch in (2, None))
  watch.fit(steps=4)
  assert watch.seen == [
      ('report', 0), ('report', 1), ('save', 2), ('report', 2), ('report', 3),
      ('save', 4), ('evaluate', 4), ('save', 4)]


@pytest.mark.parametrize('hooks, options', [
    ({}, {}), ({}, {'pause': 2}), ({'due': lambda batch: batch == 2}, {}),
    ({'stop': iter([False, False, True]).__next__}, {}),
    ({'ended': iter([False, False, True]).__next__}, {}),
    ({}, {'eval_every': 2})],
    ids=['plain', 'pause', 'due', 'stop', 'ended', 'evaluation'])
def test_nothing_is_saved_after_a_loss_that_is_not_finite(hooks, options):
  watch = Watch(diverges=1, check=lambda step, values: loop.demand_finite(
      step, values, lambda step: step / 10), **hooks)
  with pytest.raises(
      errors.UserError,
      match=r'nan .*at step 1, with learning rate 0\.1: try a lower `learn'):
    watch.fit(**options)
  assert watch.seen == [('report', 0)]


@pytest.mark.parametrize('name', ['loss', 'grad_norm'])
def test_loss_and_gradient_norm_are_finite(name):
  loop.demand_finite(3, {'loss': 1.0, 'grad_norm': 2.0})
  with pytest.raises(errors.UserError, match='at step 3'):
    loop.demand_finite(3, {'loss': 1.0, 'grad_norm': 2.0, name: math.inf})


def test_each_run_of_a_group_keeps_its_best():
  def progress(tuned, best, scores, step):
    return loop.Progress(
        steps_lib.TrainState(np.int32(9), {'x': jnp.array(tuned)}, (), None),
        {'x': jnp.array(best)}, jnp.float32(scores), jnp.int32(step))

  first = progress(
      [[1.0, 2], [3, 4], [5, 6]], [[-1.0, -2], [-3, -4], [-5, -6]],
      [0.5, 0.9, -math.inf], [2, 2, 0])
  found = loop.keep_best(first, np.array([0.7, 0.8, math.nan]), 9)
  np.testing.assert_array_equal(found.best['x'], [[1, 2], [-3, -4], [-5, -6]])
  np.testing.assert_allclose(found.best_score, [0.7, 0.9, -math.inf])
  np.testing.assert_array_equal(found.best_step, [9, 2, 0])
