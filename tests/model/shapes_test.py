"""Shapes that a short trace finds are those of the initialised model."""

import dataclasses
import threading

import flax.linen as nn
import jax
import pytest

from adapters_jax.layers import parameters
from adapters_jax.layers import shape_trace
from adapters_jax.methods import strings
from adapters_jax.model import composition
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import shapes
from tests import tiny_families

# Layers that differ: by their methods, by the width of an adapter, by a pool
# that they share, and by leaves of the encoder itself.
METHODS = (
    'bottleneck[size=2, layers=(1,)]|lora[r=2, leave_out=(2,)]',
    "bottleneck[size=None, reduction_factor={0: 2, 'default': 4}]",
    'prefix_tuning_flat[prefix_length=4]|vera[r=2]',
    'compacter++[reduction_factor=2, phm_dim=2]',
    'dora[r=2]|invertible|prompt_tuning[prompt_length=4]',
    'loreft[r=2]|vera[r=2, dense=True]|bottleneck[size=2, inner_norm=batch]',
)
SHAPE = encoder.BertConfig(
    vocab_size=13, dim=8, layers=3, heads=2, ffn_dim=20, positions=30)


def check(model):
  whole = jax.eval_shape(lambda: encoder.init(model, jax.random.key(0)))
  found = shapes.of(model)
  assert jax.tree.structure(found) == jax.tree.structure(whole)
  for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(whole)):
    assert (one.shape, one.dtype) == (other.shape, other.dtype)


def adapted(text, **fields):
  return dataclasses.replace(SHAPE, adapters=strings.parse(text), **fields)


@pytest.mark.parametrize('text', METHODS)
def test_methods(text):
  check(heads.Classifier(adapted(text), 3, 'pooler'))


@pytest.mark.parametrize('case', sorted(
    set(tiny_families.VALUES) - tiny_families.REPEATED))
def test_families(case):
  config = dataclasses.replace(
      tiny_families.config(case), layers=3, adapters=strings.parse('lora[r=2]'))
  check(heads.Classifier(config, 2))


@pytest.mark.parametrize('fields', [
    {'scan': True}, {'remat': True}, {'adapted_from': 2}, {'first_layer': 1}])
def test_other_encoders(fields):
  config = adapted('bottleneck[size=2]', **fields)
  if config.first_layer:
    with pytest.raises(Exception, match='first_layer'):
      shapes.of(heads.Classifier(config, 2))
  else:
    check(heads.Classifier(config, 2))


def test_a_tree_of_methods():
  methods = strings.parse('bottleneck[size=2]|bottleneck[size=3]')
  check(heads.Classifier(dataclasses.replace(
      SHAPE, adapters=methods, composition=composition.Fuse(
          composition.Part(0, 1), composition.Part(1, 2))), 2))


@pytest.mark.parametrize('head', heads.HEADS)
def test_heads(head):
  check(heads.make(dataclasses.replace(SHAPE, layers=1),
                   strings.parse('lora[r=2]'), 3, head))


def test_equal_layers_are_traced_once(monkeypatch):
  traced = []
  inner = encoder.layer_lib.Layer.__call__

  def counted(layer, *args, **keywords):
    traced.append(layer.index)
    return inner(layer, *args, **keywords)

  monkeypatch.setattr(encoder.layer_lib.Layer, '__call__', counted)
  config = adapted('bottleneck[size=5, layers=(2,)]')
  for outputs in (2, 3):
    shapes.of(heads.Classifier(config, outputs))
  assert sorted(traced) == [0, 2]


class Own(parameters.Module):
  @nn.compact
  def __call__(self):
    return self.param('a', nn.initializers.ones, (2, 3))


def test_only_the_marked_trace_leaves_values_out():
  def value():
    return float(Own().init_with_output(jax.random.key(0))[0].sum())

  seen = []
  with shape_trace.marked(encoder=True):
    assert value() == 0.0
    thread = threading.Thread(target=lambda: seen.append(value()))
    thread.start()
    thread.join()
  assert (*seen, value()) == (6.0, 6.0)


def test_heads_of_a_large_bank_are_traced_once():
  sizes = range(100, 230)
  for _ in range(2):
    before = shapes._of.cache_info().misses
    for size in sizes:
      shapes.of(heads.Classifier(SHAPE, size))
  assert shapes._of.cache_info().misses == before
