"""Tests of compiled steps: what runs of one process share."""

import dataclasses
import itertools
import os

import jax
import numpy as np
import pytest

from adapters_jax.data import metrics as metrics_lib
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import precision
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import compiled
from adapters_jax.runs import models
from adapters_jax.runs import run
from adapters_jax.runs.kinds import classification
from adapters_jax.training import optimizers
from adapters_jax.training import program_keys
from adapters_jax.training import programs
from adapters_jax.training import steps


@pytest.fixture(autouse=True)
def nothing_kept():
  """Lets each test begin without the steps of others."""
  compiled._train_step.cache_clear()
  compiled._eval_step.cache_clear()


@pytest.fixture
def config(checkpoint, own_files) -> config_lib.Config:
  return config_lib.Config(
      checkpoint=checkpoint, **own_files, adapter_size=3, batch_size=16,
      buckets=0, max_length=12, max_steps=6)


def make(config):
  setup = setup_lib.prepare(config)
  tx, step = compiled.make_step(config, setup, heads.cross_entropy)
  return setup, compiled.initial_state(config, tx, setup.tuned), step


@pytest.mark.slow
def test_runs_of_other_seeds_and_rates_share_one_compiled_step(config):
  losses, seen = {}, set()
  for changed in ({}, {'seed': 1}, {'learning_rate': 1e-1}, {'warmup': 0.5},
                  {'weight_decay': 50.0}):
    setup, state, step = make(dataclasses.replace(config, **changed))
    for number in range(3):
      state, metrics = step(state, setup.base, setup.schedule.batch(number))
    losses[str(changed)] = float(metrics['loss'])
    seen.add((id(step), step._cache_size()))
  assert len(seen) == 1  # What the first run compiled, and no more.
  assert len(set(losses.values())) == 5  # No setting is that of the first.


@pytest.mark.parametrize('changed', [
    dict(clip_norm=0.1), dict(max_steps=7), dict(optimizer='adapter_bert'),
    dict(tune='norms'), dict(tune_norms=False), dict(adapter_size=4),
    dict(dropout=0.0),
    dict(adapter_layers='1', norm_layers='same'), dict(accumulate=2)], ids=str)
def test_what_changes_the_program_has_a_step_of_its_own(
    config, two_layers, changed):
  config = dataclasses.replace(config, checkpoint=two_layers)
  assert make(config)[2] is make(config)[2]
  assert make(dataclasses.replace(config, **changed))[2] is not make(config)[2]


def test_the_rate_is_that_of_the_state(config):
  _, state, _ = make(dataclasses.replace(config, learning_rate=0.5))
  setup, _, step = make(dataclasses.replace(config, learning_rate=0.25))
  state, _ = step(state, setup.base, setup.schedule.batch(0))
  assert state.opt_state.hyperparams['learning_rate'] == jax.numpy.float32(0.5)


@pytest.mark.parametrize('optimizer', optimizers.OPTIMIZERS)
@pytest.mark.parametrize('warmup', [0.0, 0.1, 0.5, 1.0])
def test_the_rate_of_a_log_line_needs_no_device(optimizer, warmup):
  config = config_lib.Config(
      optimizer=optimizer, warmup=warmup, learning_rate=3e-4)
  _, schedule = optimizers.OPTIMIZERS[optimizer]
  for total in (1, 7, 30):
    shape = schedule(
        total, optimizers.rising_steps(optimizer, total, warmup))
    expected = [3e-4 * float(shape(step)) for step in range(total)]
    # Any array that JAX made of a number would be a transfer.
    with jax.transfer_guard('disallow'):
      rate_at = compiled.make_rate(config, total)
      found = [rate_at(step) for step in range(total)]
    assert found == expected  # In every bit.
    assert {type(rate) for rate in found} == {float}


def test_models_that_are_equal_share_an_evaluation_step(config):
  first, second = (setup_lib.prepare(
      dataclasses.replace(config, seed=seed)) for seed in (0, 1))
  batch = first.schedule.batch(0)
  for setup in (first, second):
    compiled.make_eval(setup, 16)(setup.base, setup.tuned, batch)
  step = compiled._eval_step(first.model, first.mesh)
  assert step is compiled._eval_step(second.model, second.mesh)
  assert step._cache_size() == 1


def test_shapes_of_batches_of_another_device(config, monkeypatch):
  setup = setup_lib.prepare(config)
  assert compiled.eval_batch_size(setup, 16) == 16
  scores = [classification.KIND.make_score(setup, 16)(setup.tuned, 'dev')]
  other = precision.Batching(multiple=8, most_lengths=2, evaluation=4)
  monkeypatch.setattr(precision, 'batching', lambda device: other)
  setup = setup_lib.prepare(dataclasses.replace(config, buckets=5))
  assert len(setup.schedule.buckets) <= 2
  assert all(length % 8 == 0 for length in setup.schedule.buckets)
  size = compiled.eval_batch_size(setup, 16)
  assert size == 64
  scores.append(classification.KIND.make_score(setup, size)(setup.tuned, 'dev'))
  assert scores[0][0] == scores[1][0]
  np.testing.assert_array_equal(scores[0][1], scores[1][1])


def test_new_leaves_of_a_kept_program(config, tmp_path, monkeypatch):
  expected = setup_lib.prepare(config).tuned
  init = encoder.init

  def of_shapes_alone(model, key, base=None):
    assert not base
    return init(model, key)

  monkeypatch.setattr(programs, '_folder', str(tmp_path))
  monkeypatch.setattr(program_keys, 'sources', lambda: 'sources')
  for _ in range(2):  # Compiled, and loaded without a trace.
    models._fresh.cache_clear()
    tuned = setup_lib.prepare(config).tuned
    jax.tree.map(np.testing.assert_array_equal, tuned, expected)
    if jax.device_count() == 1:
      assert any(name.endswith('.program') for name in os.listdir(tmp_path))
    monkeypatch.setattr(encoder, 'init', of_shapes_alone)
  models._fresh.cache_clear()


def test_outputs_for_the_same_arrays_are_computed_once(config):
  setup = setup_lib.prepare(config)
  calls = []

  def read(step, base, tuned, batches, examples):
    calls.append(examples)
    return steps.example_logits(step, base, tuned, batches, examples)

  outputs = compiled.outputs_of(setup, 16, read)
  one = jax.tree.map(jax.numpy.array, setup.tuned)
  dev = outputs(one, 'dev')
  assert outputs(one, 'dev') is dev
  test = outputs(one, 'test')
  assert len(calls) == 2 and len(test) == len(setup.splits['test'])
  # Other arrays, even with equal values, or in the place of freed ones.
  for _ in range(3):
    np.testing.assert_array_equal(
        outputs(jax.tree.map(jax.numpy.array, one), 'dev'), dev)
  assert len(calls) == 5
  outputs({**one, 'head': jax.tree.map(lambda leaf: leaf + 1, one['head'])},
          'dev')  # One of them.
  assert len(calls) == 6


@pytest.mark.parametrize('best_is_last', [True, False])
def test_the_last_evaluation_serves_the_scores_of_a_run(
    config, monkeypatch, tmp_path, best_is_last):
  config = dataclasses.replace(config, workdir=str(tmp_path), eval_every=3)
  scored = []
  example_logits = steps.example_logits
  monkeypatch.setattr(
      steps, 'example_logits', lambda *args, **kwargs: (
          scored.append(args[-1]), example_logits(*args, **kwargs))[1])
  values = itertools.chain([0.1], itertools.repeat(
      0.2 if best_is_last else 0.1))  # The first of equal ones is kept.
  monkeypatch.setattr(
      metrics_lib, 'compute', lambda names, *_: dict.fromkeys(
          names, next(values)))
  record = run.run(config, 'glue')
  assert record.best_step == (6 if best_is_last else 3)
  examples = {name: record.data[name]['examples'] for name in ('dev', 'test')}
  dev, test = examples['dev'], examples['test']
  assert scored == [dev, dev] + (
      [test] if best_is_last else [dev, test, test])
