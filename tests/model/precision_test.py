import dataclasses
import types
from unittest import mock

from absl.testing import parameterized
import jax
import numpy as np
import pytest

from adapters_jax.model import heads
from adapters_jax.model import precision as precision_lib
from tests import tiny


def fake(platform, capability=None):
  device = types.SimpleNamespace(platform=platform)
  if capability is not None:
    device.compute_capability = capability
  return device


BASE = {
    'encoder': {'layer_0': {'query': {
        'kernel': np.ones((2, 3), np.float32),
        'bias': np.ones(3, np.float32)}}},
    'pooler': {'kernel': np.ones((3, 3), np.float32)}}


class ChooseTest(parameterized.TestCase):

  @parameterized.parameters(
      (fake('cpu'), 'float32', 64, ('highest', 'float32', 'einsum')),
      (fake('cpu'), 'bfloat16', 64, ('default', 'bfloat16', 'einsum')),
      (fake('tpu'), 'float32', 64, ('highest', 'float32', 'einsum')),
      (fake('tpu'), 'bfloat16', 64, ('default', 'bfloat16', 'einsum')),
      (fake('gpu', '9.0'), 'float32', 64, ('highest', 'float32', 'einsum')),
      (fake('gpu', '8.0'), 'tensorfloat32', 64,
       ('default', 'float32', 'einsum')),
      (fake('gpu', '8.0'), 'bfloat16', 64, ('default', 'bfloat16', 'cudnn')),
      (fake('gpu', '10.3'), 'bfloat16', 128, ('default', 'bfloat16', 'cudnn')),
      (fake('gpu', '7.5'), 'bfloat16', 64, ('default', 'bfloat16', 'einsum')),
      (fake('gpu', '8.0'), 'bfloat16', 12, ('default', 'bfloat16', 'einsum')),
      (fake('gpu', '8.0'), 'bfloat16', 256, ('default', 'bfloat16', 'einsum')),
      (fake('gpu', 'gfx90a'), 'bfloat16', 64,
       ('default', 'bfloat16', 'einsum')),
  )
  def test_choices(self, device, precision, head_dim, wanted):
    self.assertEqual(
        precision_lib.choose(precision, head_dim, device),
        precision_lib.Choices(*wanted))

  @parameterized.parameters(
      (fake('cpu'), True, 'bfloat16', 'default'),
      (fake('cpu'), False, 'float32', 'default'),
      # Adapters and heads stay in float32 where the default would round them.
      (fake('tpu'), False, 'bfloat16', 'highest'),
      (fake('gpu', '8.0'), False, 'bfloat16', 'highest'))
  def test_products_of_bfloat16_where_they_are_fast(
      self, device, instructions, wanted, matmul):
    with mock.patch.object(
        precision_lib, '_cpu_gains_by_bfloat16', lambda: instructions):
      chosen = precision_lib.choose('bfloat16_products', 64, device)
      cast = precision_lib.cast('bfloat16_products', BASE, device)
    self.assertEqual(
        chosen, precision_lib.Choices(matmul, 'float32', 'einsum', wanted))
    self.assertEqual(
        jax.tree.map(lambda leaf: str(leaf.dtype), cast),
        {'encoder': {'layer_0': {'query': {
            'kernel': wanted, 'bias': 'float32'}}},
         'pooler': {'kernel': 'float32'}})

  @parameterized.parameters(
      ('AuthenticAMD', 'fpu avx512f avx512_bf16', True),
      ('AuthenticAMD', 'fpu avx512f', False),
      # Measured: 160 GFLOP/s, and 300 of float32.
      ('GenuineIntel', 'fpu avx512f avx512_bf16', False),
      ('GenuineIntel', 'fpu avx512f avx512_bf16 amx_bf16 amx_tile', True))
  def test_processors_that_gain(self, vendor, flags, wanted):
    core = (f'processor\t: 0\nvendor_id\t: {vendor}\ncpu MHz\t\t: 2300.000\n'
            f'flags\t\t: {flags}\nbugs\t\t: spectre_v1\n')
    self.assertIs(
        precision_lib.gains_by_bfloat16(core.splitlines(True)), wanted)

  def test_an_unknown_processor_does_not_gain(self):
    self.assertFalse(precision_lib.gains_by_bfloat16(
        ['processor\t: 0\n', 'Features\t: fp asimd bf16\n']))

  def test_the_line_and_the_device_here(self):
    self.assertEqual(
        str(precision_lib.choose('float32', 64)),
        'computes in float32, matmul precision highest, attention by einsum')


def logits(config, params, batch):
  apply = jax.jit(heads.Classifier(config, 2).apply)
  return apply(params, batch['tokens'], batch['segments'], batch['mask'])


class AttentionTest(parameterized.TestCase):

  def test_fused_attention_equals_einsum_and_is_used_without_dropout(self):
    # 'xla' stands in for 'cudnn', which takes the same arguments.
    fused = dataclasses.replace(tiny.TWO_LAYERS, attention='xla')
    model = heads.Classifier(fused, 2)
    params = {'params': tiny.init(model)}
    batch = tiny.random_batch(length=6)
    called = mock.Mock(side_effect=jax.nn.dot_product_attention)
    with mock.patch.object(jax.nn, 'dot_product_attention', called):
      found = logits(fused, params, batch)
      # The last layer attends from one position only.
      self.assertEqual(called.call_count, tiny.TWO_LAYERS.layers - 1)
      jax.eval_shape(lambda: model.apply(
          params, batch['tokens'], batch['segments'], batch['mask'],
          train=True, rngs={'dropout': jax.random.key(0)}))
      self.assertEqual(called.call_count, tiny.TWO_LAYERS.layers - 1)
    np.testing.assert_allclose(
        found, logits(tiny.TWO_LAYERS, params, batch), atol=1e-6)

  def test_bfloat16_is_close_to_float32(self):
    params = {'params': tiny.init(heads.Classifier(tiny.TWO_LAYERS, 2))}
    batch = tiny.random_batch()
    found, wanted = (
        logits(dataclasses.replace(tiny.TWO_LAYERS, dtype=dtype), params, batch)
        for dtype in ('bfloat16', 'float32'))
    self.assertEqual(found.dtype, 'float32')
    self.assertFalse(np.array_equal(found, wanted))
    np.testing.assert_allclose(found, wanted, atol=0.05)


@pytest.mark.parametrize('device, multiple, lengths, evaluation', [
    (fake('cpu'), 2, 8, 1), (fake('gpu', '9.0'), 8, 4, 4),
    (fake('tpu'), 16, 4, 4)])
def test_shapes_of_batches(device, multiple, lengths, evaluation):
  found = precision_lib.batching(device)
  assert (found.multiple, found.lengths(8), found.evaluation) == (
      multiple, lengths, evaluation)
  assert found.lengths(2) == 2  # A bound, not a target.
