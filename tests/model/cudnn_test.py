"""cuDNN's attention, traced without a GPU: shapes that its rules refuse."""

import dataclasses
from unittest import mock

import jax
from jax._src.cudnn import fused_attention_stablehlo as cudnn
import numpy as np
import pytest

from adapters_jax import trees
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import every
from adapters_jax.adapters import layouts as layouts_lib
from adapters_jax.methods import bottleneck
from adapters_jax.model import heads
from adapters_jax.model import precision
from adapters_jax.model import shapes as shapes_lib
from adapters_jax.training import optimizers
from adapters_jax.training import selections
from adapters_jax.training import steps
from tests import tiny

# Heads of 8, the narrowest that cuDNN takes; as `precision.choose` sets it.
CONFIG = dataclasses.replace(
    tiny.TWO_LAYERS, dim=16, dtype='bfloat16', attention='cudnn', dropout=0.0,
    attention_dropout=0.0, adapters=(bottleneck.Bottleneck(3),))
MODERN = dataclasses.replace(
    CONFIG, family='modernbert', segments=0, pre_norm=True, rotary=(1e4, 1e3),
    local_layers=(1,), window=2, attention_bias=False, ffn_bias=False,
    norm_bias=False)
SELECT = selections.select_adapters(2)


@pytest.fixture(autouse=True)
def called(monkeypatch):
  """Stands in for an installed cuDNN; counts the calls of its attention."""
  monkeypatch.setattr(cudnn, 'check_cudnn_version', lambda: 91000)
  counted = mock.Mock(side_effect=jax.nn.dot_product_attention)
  monkeypatch.setattr(jax.nn, 'dot_product_attention', counted)
  return counted


def trees_of(model):
  """Returns the shapes of (tuned tree, frozen tree), without a call."""
  return trees.split(shapes_lib.of(precision.under_vmap(model)), SELECT)


def stacked(tree, count):
  return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(
      (count, *leaf.shape), leaf.dtype), tree)


def train(config, length, runs=0):
  """Traces a training step, that of a group if `runs`."""
  model = heads.Classifier(config, 2)
  tuned, base = trees_of(model)
  tx = optimizers.make_optimizer(SELECT, learning_rate=1e-2, steps=9)
  step = steps.make_train_step(
      model, tx, heads.cross_entropy, grouped=bool(runs))
  state = jax.eval_shape(
      lambda tuned: steps.init_state(tuned, tx, jax.random.key(0)), tuned)
  batch = tiny.random_batch(config, 4, length)
  if runs:
    state, batch = stacked(state, runs), stacked(batch, runs)
  return jax.eval_shape(step, state, base, batch)


def test_a_group_of_runs_trains(called):
  _, metrics = train(CONFIG, 6, runs=3)
  assert metrics['loss'].shape == (3,)
  assert not called.called


def test_mixed_adapters_and_all_adapters_answer(called):
  model = heads.Classifier(CONFIG, 2)
  tuned, base = trees_of(model)
  batch = tiny.random_batch(CONFIG, 4, 6)
  inputs = {name: batch[name] for name in ('tokens', 'segments', 'mask')}
  stack = stacked(tuned, 3)
  logits = jax.eval_shape(
      lambda *arguments: bank_lib.apply_mixed(model, *arguments),
      base, stack, np.array([0, 2, 1, 0]), *inputs.values())
  assert logits.shape == (4, 2)
  layout = layouts_lib.StackLayout(model, model, (), ())
  logits, = jax.eval_shape(every.make_step((layout,)), base, (stack,), inputs)
  assert logits.shape == (3, 4, 2)
  assert not called.called


@pytest.mark.parametrize('config', [CONFIG, MODERN])
def test_odd_lengths_train_by_einsum(called, config):
  train(config, 8)
  assert called.called
  called.reset_mock()
  train(config, 5)
  assert not called.called
