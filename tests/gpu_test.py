"""Logits on the first device against those of the CPU; for a GPU.

On a machine without one they compare the CPU with itself, and the tests of
cuDNN are skipped.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax import trees
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.methods import bottleneck
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import precision as precision_lib
from adapters_jax.training import optimizers
from adapters_jax.training import selections
from adapters_jax.training import steps
from tests import tiny

pytestmark = pytest.mark.gpu

# Heads of 16, a multiple of 8, as cuDNN demands.
CONFIG = encoder.BertConfig(
    vocab_size=40, dim=64, layers=2, heads=4, ffn_dim=96, positions=512,
    adapters=(bottleneck.Bottleneck(8, init_scale=0.1),))


def on_gpu() -> bool:
  return jax.devices()[0].platform in ('gpu', 'cuda')


def model_of(precision, device):
  chosen = precision_lib.choose(precision, CONFIG.head_dim, device)
  config = dataclasses.replace(
      CONFIG, dtype=chosen.dtype, attention=chosen.attention,
      products=chosen.products)
  return heads.Classifier(config, 3), chosen


def logits_of(precision, device, params, batch):
  model, chosen = model_of(precision, device)
  with jax.default_device(device), jax.default_matmul_precision(chosen.matmul):
    params = precision_lib.cast(precision, params, device)
    return np.asarray(steps.make_eval_step(model)(
        {}, jax.device_put(params, device), jax.device_put(batch, device)),
                      np.float32)


@pytest.fixture(scope='module')
def params():
  with jax.default_device(jax.devices('cpu')[0]):
    return jax.device_get(tiny.init(model_of(
        'float32', jax.devices('cpu')[0])[0]))


@pytest.mark.parametrize(('precision', 'within'), [
    ('float32', 1e-4), ('bfloat16', 2e-2)])
@pytest.mark.parametrize(('batch', 'length'), [
    (4, 8), (3, 64), (5, 128), (7, 512)])
def test_logits_of_the_device_and_the_cpu(
    params, precision, within, batch, length):
  data = tiny.random_batch(CONFIG, batch, length)
  found = logits_of(precision, jax.devices()[0], params, data)
  wanted = logits_of('float32', jax.devices('cpu')[0], params, data)
  np.testing.assert_allclose(
      found, wanted, atol=within * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize('length', [8, 24, 64, 130, 256, 512])
@pytest.mark.parametrize('batch', [1, 3, 8])
def test_cudnn_attention_and_einsum(batch, length):
  if not on_gpu():
    pytest.skip('needs cuDNN')
  keys = jax.random.split(jax.random.key(length), 3)
  query, key, value = (jax.random.normal(
      k, (batch, length, 4, 16), jnp.bfloat16) for k in keys)
  lengths = jnp.maximum(1, length - 3 * jnp.arange(batch))
  mask = jnp.arange(length) < lengths[:, None]
  bias = jnp.broadcast_to(
      jnp.where(mask, 0.0, -1e9).astype(jnp.bfloat16)[:, None, None, :],
      (batch, 1, length, length))

  def by(implementation):
    return jax.jit(lambda q, k, v: jax.nn.dot_product_attention(
        q, k, v, bias, scale=0.25, implementation=implementation))(
            query, key, value).astype(jnp.float32)

  np.testing.assert_allclose(by('cudnn'), by('xla'), atol=2e-2)


def test_adapters_of_a_batch_and_each_alone(params):
  model, chosen = model_of('bfloat16', jax.devices()[0])
  tuned, base = trees.split(params, selections.select_adapters(2))
  other = jax.tree.map(lambda leaf: 1.5 * leaf, tuned)
  data = tiny.random_batch(CONFIG, 3, 64)
  inputs = [jnp.asarray(data[k]) for k in ('tokens', 'segments', 'mask')]
  with jax.default_matmul_precision(chosen.matmul):
    base = precision_lib.cast('bfloat16', jax.device_put(base))
    mixed = jax.jit(lambda *rest: bank_lib.apply_mixed(model, *rest))(
        base, trees.stack([tuned, other]), jnp.asarray([1, 0, 1]), *inputs)
    step = steps.make_eval_step(model)
    for row, own in enumerate((other, tuned, other)):
      np.testing.assert_allclose(
          np.asarray(mixed[row], np.float32),
          np.asarray(step(base, own, data)[row], np.float32), atol=5e-2)


def test_a_group_of_runs_and_each_alone(params):
  model, chosen = model_of('bfloat16', jax.devices()[0])
  model = model.clone(config=dataclasses.replace(
      model.config, dropout=0.0, attention_dropout=0.0))
  select = selections.make_select('adapters', 2, True, None, 1)
  tuned, base = trees.split(params, select)
  tx = optimizers.make_optimizer(learning_rate=1e-2, select=select, steps=40)
  batches = [tiny.random_batch(CONFIG, 4, 16, seed=seed) for seed in (0, 1)]

  def start():
    return steps.init_state(tuned, tx, jax.random.key(0))

  with jax.default_matmul_precision(chosen.matmul):
    base = precision_lib.cast('bfloat16', jax.device_put(base))
    alone = steps.make_train_step(model, tx, heads.cross_entropy)
    group = steps.make_train_step(
        model, tx, heads.cross_entropy, grouped=True)
    _, metrics = group(
        trees.stack([start(), start()]), base, trees.stack(batches))
    wanted = [float(alone(start(), base, batch)[1]['loss'])
              for batch in batches]
  np.testing.assert_allclose(metrics['loss'], wanted, rtol=2e-2)


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_a_training_step_lowers_the_loss(params, precision):
  model, chosen = model_of(precision, jax.devices()[0])
  select = selections.make_select('adapters', 2, True, None, 1)
  tuned, base = trees.split(params, select)
  tx = optimizers.make_optimizer(learning_rate=1e-2, select=select, steps=40)
  batch = tiny.random_batch(CONFIG, 8, 16)
  with jax.default_matmul_precision(chosen.matmul):
    step = steps.make_train_step(model, tx, heads.cross_entropy)
    state = steps.init_state(tuned, tx, jax.random.key(0))
    base = precision_lib.cast(precision, jax.device_put(base))
    losses = []
    for _ in range(30):
      state, metrics = step(state, base, batch)
      losses.append(float(metrics['loss']))
  assert np.isfinite(losses).all()
  assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1
