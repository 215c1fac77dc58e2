"""Ways to compute an encoder, for every family."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.methods import bottleneck
from adapters_jax.model import heads
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import setup as setup_lib
from adapters_jax.training import selections
from adapters_jax import trees
from scripts import compile_tpu
from tests import tiny
from tests import tiny_families
from tests.training import frozen_cache_test

# The first computes most of what BERT does not.
CASES = [case if case == 'mpnet' else pytest.param(
    case, marks=pytest.mark.slow) for case in tiny_families.sampled()]


def model_of(case, **changed):
  """Returns the classifier of a case with three layers and no dropout."""
  return heads.Classifier(dataclasses.replace(
      tiny_families.config(case), layers=3, dropout=0.0, attention_dropout=0.0,
      adapters=(bottleneck.Bottleneck(5),), **changed), 2)


@functools.cache
def parameters(case):
  return tiny.drawn(model_of(case))


def value_and_grad(model, params, *, train=True):
  inputs = tiny_families.batch('bert')

  def loss(params):
    return jnp.square(model.apply(
        {'params': params}, inputs['tokens'], inputs['segments'],
        inputs['mask'], train=train)).sum()

  value, gradient = jax.jit(jax.value_and_grad(loss))(params)
  return value, trees.flatten(gradient)


@functools.cache
def wanted(case):
  return value_and_grad(model_of(case), parameters(case))


def stacked(flat):
  """Returns the leaves of layers 0 and 1 at 'encoder/layers'."""
  found = {}
  for path, leaf in flat.items():
    if '/layer_0/' in path:
      found[path.replace('/layer_0/', '/layers/')] = np.stack(
          [leaf, flat[path.replace('/layer_0/', '/layer_1/')]])
    elif '/layer_1/' not in path:
      found[path] = leaf
  return found


def assert_close(found, expected):
  assert found.keys() == expected.keys()
  for path, leaf in found.items():
    scale = np.abs(expected[path]).max()
    np.testing.assert_allclose(
        leaf, expected[path], atol=1e-5 * max(1, scale), err_msg=path)


@pytest.mark.slow  # memory_test.py scans the layers of BERT, as most have.
@pytest.mark.parametrize('case', ('mpnet', 'deberta'))
def test_scanned_and_recomputed_layers_have_the_same_gradient(case):
  value, gradient = wanted(case)
  scanned = model_of(case, scan=True, remat=True)
  found, found_gradient = value_and_grad(
      scanned, trees.unflatten(stacked(trees.flatten(parameters(case)))))
  np.testing.assert_allclose(found, value, rtol=1e-5)
  assert_close(found_gradient, stacked(gradient))
  if case == 'mpnet':  # All layers, and both halves, contribute.
    moved = np.abs(gradient['encoder/relative_bias']).max(1)
    assert (moved[:8] > 1e-3).all() and (moved[17:24] > 1e-3).all()


@pytest.mark.slow
def test_fused_attention_adds_the_bias_and_leaves_its_gradient_to_einsum():
  fused = model_of('mpnet', attention='xla')
  inputs = tiny_families.batch('bert')
  arguments = inputs['tokens'], inputs['segments'], inputs['mask']
  params = {'params': parameters('mpnet')}
  np.testing.assert_allclose(
      fused.apply(params, *arguments),
      model_of('mpnet').apply(params, *arguments), atol=2e-5)
  programs = [
      str(jax.make_jaxpr(functools.partial(model.apply, train=train))(
          params, *arguments))
      for model, train in (
          (fused, True), (model_of('mpnet'), True), (fused, False))]
  assert programs[0] == programs[1] != programs[2]


@pytest.mark.parametrize('tune, selected', (
    ('full', True), ('adapters', False), ('top_k', False), ('bias', False),
    ('norms', False), ('head', False)))
def test_distances_are_leaves_of_the_encoder(tune, selected):
  for path in ('encoder/relative_bias', 'encoder/relative_embeddings'):
    assert trees.role(path) == 'encoder'
    assert selections.TUNE[tune](3, top_k=2)(path) == selected
  assert selections.TUNE[tune](3, top_k=2)('encoder/relative_norm/scale') == (
      tune in ('full', 'adapters', 'norms'))


@pytest.mark.parametrize('case', CASES)
def test_kept_hidden_states_are_those_of_the_whole_model(
    case, tmp_path, own_files):
  folder = tiny_families.write_checkpoint(case, str(tmp_path / case))
  config = config_lib.Config(
      checkpoint=folder, **own_files, batch_size=16, buckets=0, max_length=12,
      max_steps=8, dropout=0.0, cache_frozen=True,
      **frozen_cache_test.TOP_ADAPTERS)
  kept, batches = frozen_cache_test.logits_of(setup_lib.prepare(config))
  whole, _ = frozen_cache_test.logits_of(
      setup_lib.prepare(dataclasses.replace(config, cache_frozen=False)))
  assert np.ptp(whole, axis=0).min() > 1e-3
  np.testing.assert_allclose(kept, whole, atol=1e-6)
  assert 'hidden' in batches[0][1]


@pytest.mark.parametrize('case', CASES)
def test_step_for_a_slice_lowers(case, monkeypatch):
  monkeypatch.setitem(
      compile_tpu.SHAPES, 'tiny',
      dataclasses.replace(tiny_families.config(case), layers=4))
  config = compile_tpu.Config(
      checkpoint_config='tiny', adapter_size=3, batch_size=4, max_length=8,
      precision='float32')
  _, trained, parameters = compile_tpu.lower(
      config, jax.devices()[:1], None, True)
  width = 10 if case == 'electra-small' else 12
  outside = 2 * width + (2 * 12 if case == 'deberta' else 0)  # Norms.
  assert trained == (
      4 * 2 * (2 * 12 * 3 + 3 + 12) + outside + 4 * 4 * 12 + 2 * 12 + 2)
  assert parameters > trained


def test_layers_of_modernbert_are_no_scan(monkeypatch):
  monkeypatch.setitem(
      compile_tpu.SHAPES, 'tiny', tiny_families.config('modernbert'))
  with pytest.raises(errors.UserError, match='layers differ.*--noscan'):
    compile_tpu.main(compile_tpu.Config(checkpoint_config='tiny'))


@pytest.mark.parametrize('tune, selected', (
    ('full', True), ('adapters', True), ('top_k', True), ('bias', False),
    ('norms', True), ('head', False)))
def test_the_final_norm_of_modernbert_is_of_no_layer(tune, selected):
  path = 'encoder/final_norm/scale'
  assert trees.role(path) == 'norm'
  assert selections.TUNE[tune](4, top_k=1)(path) == selected
  assert not selections.select_adapters(4, norm_layers=(3,))(path)
