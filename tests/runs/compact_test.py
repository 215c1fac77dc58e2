"""Tests of arrays as short strings."""

import numpy as np
import pytest

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
    ([0.125, -3.3, 5.0], 'f2'), ([1e6, 2.5], 'f4'), ([], 'f2')))
def test_scores_come_back_rounded(values, kind):
  text = compact.to_text(np.array(values, np.float32))
  assert text.startswith(f'{kind}:')
  np.testing.assert_allclose(compact.to_array(text), values, rtol=5e-4)


def test_short():
  classes = np.random.default_rng(0).integers(0, 2, 1000)
  assert len(compact.to_text(classes)) < 300


@pytest.mark.parametrize(('values', 'wanted'), (
    (np.arange(3), True), (np.zeros(2, np.float32), True),
    (np.zeros((2, 3)), False), (np.array(['a'], object), False)))
def test_what_fits(values, wanted):
  assert compact.fits(values) is wanted
