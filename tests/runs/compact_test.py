"""Tests of arrays as short strings."""

import base64
import zlib

import numpy as np
import pytest

from adapters_jax.data import metrics
from adapters_jax.runs import compact


@pytest.mark.parametrize(('values', 'kind'), (
    ([0, 1, 1, 0], 'u1'), ([0, 300], 'u2'), ([1, -1], 'i2'), ([], 'u1'),
    ([1 << 27, 5], 'u4'), ([(1 << 63) - 1, 5], 'u8')))
def test_classes_come_back(values, kind):
  text = compact.to_text(np.array(values, np.int64))
  assert text.startswith(f'{kind}:')
  np.testing.assert_array_equal(compact.to_array(text), values)
  assert compact.to_array(text).dtype == np.int64


@pytest.mark.parametrize(('values', 'kind'), (
    ([0.125, -3.5, 5.0], 'f2'), ([0.125, -3.3], 'f4'), ([1e6, 2.5], 'f4'),
    ([65504.0, 65505.0], 'f4'), ([], 'f2')))
def test_scores_come_back(values, kind):
  values = np.array(values, np.float32)
  text = compact.to_text(values)
  assert text.startswith(f'{kind}:')
  np.testing.assert_array_equal(compact.to_array(text), values)


def test_correlations_of_packed_scores_are_those_of_the_scores():
  rng = np.random.default_rng(0)
  # Labels like years, cosines of a narrow range.
  labels = rng.integers(50000, 50016, 400).astype(np.float32)
  cosines = np.float32(0.997 + 1e-4 * (labels - 50008 + rng.normal(size=400)))
  for name in ('pearson', 'spearman'):
    assert metrics.METRICS[name](*(
        compact.to_array(compact.to_text(one)) for one in (labels, cosines)
    )) == metrics.METRICS[name](
        labels.astype(np.float64), cosines.astype(np.float64))


def test_scores_of_earlier_records_are_read():
  text = 'f2:' + base64.b64encode(zlib.compress(
      np.array([0.3, 2.5], '<f2').tobytes())).decode()
  np.testing.assert_array_equal(
      compact.to_array(text), np.array([0.3, 2.5], np.float16))


def test_short():
  rng = np.random.default_rng(0)
  assert len(compact.to_text(rng.integers(0, 2, 1000))) < 300
  gains = 1 / np.log2(rng.integers(2, 12, 1000))  # As of NDCG, one document.
  assert len(compact.to_text(gains)) < 1200
  assert len(compact.to_text(rng.normal(size=1000))) < 5600  # 4 bytes each.


@pytest.mark.parametrize(('values', 'wanted'), (
    (np.arange(3), True), (np.zeros(2, np.float32), True),
    (np.zeros((2, 3)), False), (np.array(['a'], object), False)))
def test_what_fits(values, wanted):
  assert compact.fits(values) is wanted
