"""Records of different devices, and of different weights, in no common mean."""

import pytest

from adapters_jax import errors
from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import reported
from adapters_jax.runs import config as config_lib
from tests.sweeps import grid_test

FLOAT32 = 'computes in float32, matmul precision default, attention by einsum'
PRODUCTS = 'computes in float32, products of bfloat16, matmul precision highest'
CPU, GPU, TPU = '2 x cpu (cpu)', '1 x gpu (NVIDIA H200)', '4 x tpu (TPU v5e)'


def record(precision='float32', device=CPU, computation=FLOAT32, seed=0,
           **changed):
  return grid_test.make_record(
      config_lib.Config(task='cola', precision=precision, seed=seed),
      device=device, computation=computation, **changed)


@pytest.mark.parametrize('precision, device, computation, wanted', [
    ('float32', CPU, FLOAT32, 'float32'),
    ('float32', GPU, FLOAT32, 'float32, gpu'),
    ('tensorfloat32', CPU, FLOAT32, 'float32'),
    ('tensorfloat32', GPU, FLOAT32, 'tensorfloat32, gpu'),
    ('bfloat16_products', CPU, FLOAT32, 'float32'),
    ('bfloat16_products', CPU, PRODUCTS, 'bfloat16_products'),
    ('bfloat16_products', TPU, PRODUCTS, 'bfloat16_products, tpu'),
    ('bfloat16', CPU, '', 'bfloat16'),
    ('bfloat16', '', '', 'bfloat16')])
def test_arithmetic_of_a_record(precision, device, computation, wanted):
  assert record(precision, device, computation).arithmetic == wanted


def test_devices_are_kept_apart():
  found = points_lib.points([
      record(seed=0), record('tensorfloat32', seed=1),
      record(seed=2, device=GPU), record('tensorfloat32', seed=3, device=GPU),
      record('bfloat16_products', GPU, PRODUCTS, seed=4)])
  assert [(point.base, len(point.records)) for point in found] == [
      ('minilm-l6 (float32)', 2), ('minilm-l6 (float32, gpu)', 1),
      ('minilm-l6 (tensorfloat32, gpu)', 1),
      ('minilm-l6 (bfloat16_products, gpu)', 1)]
  # One table of results has one of them.
  kept = reported.headline(found, sizes=[64], top_k=[2])
  assert [point.base for point in kept] == ['minilm-l6 (float32)']


def test_weights_of_one_name_do_not_mix():
  one, other = (
      record(seed=seed, base='owner/base#' + str(seed) * 16) for seed in (1, 2))
  unknown = record(seed=3)
  assert len(points_lib.points([one, unknown])[0].records) == 2
  with pytest.raises(
      errors.UserError, match='minilm-l6 has other weights in some of them '
      r'\(owner/base#1{16} and owner/base#2{16}\)'):
    points_lib.points([unknown, one, other])
