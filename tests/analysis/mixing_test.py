"""Tests of the error for two runs where one belongs."""

import dataclasses

import pytest

from adapters_jax import errors
from adapters_jax.analysis import mixing
from adapters_jax.analysis import points as points_lib
from adapters_jax.runs import identity
from tests.analysis import points_test

record = points_test.record


def file_of(one):
  return f'{identity.digest(one.config)}.json'


def test_one_run_with_two_results():
  a, b = (dataclasses.replace(record(dev), date=date, device='1 x cpu (cpu)')
          for dev, date in ((0.5, '2030'), (0.6, '2031')))
  name = file_of(a)
  assert str(mixing.repeated(a, b)) == (
      f'records: cola with seed 0 is there twice, in {name} (2030, 1 x cpu '
      f'(cpu), bfloat16_products) and {name} (2031, 1 x cpu (cpu), '
      'bfloat16_products), which differ in dev matthews (0.5 and 0.6); keep '
      'one of them')
  tested = dataclasses.replace(
      a, metrics={**a.metrics, 'test': {'matthews': 0.4}})
  for pair, said in (((a, tested), 'None and 0.4'), ((tested, a), '0.4 and N')):
    assert f'differ in test matthews ({said}' in str(mixing.repeated(*pair))
  assert 'which differ in nothing; keep' in str(mixing.repeated(a, a))


def test_two_precisions_of_one_arithmetic():
  asked = record(0.5, precision='float32')
  fell_back = dataclasses.replace(
      record(0.6, precision='bfloat16_products'),
      computation='computes in float32')
  assert file_of(asked) != file_of(fell_back)
  with pytest.raises(errors.UserError) as caught:
    points_lib.points([asked, fell_back])
  assert str(caught.value) == (
      f'records: cola with seed 0 is there twice, in {file_of(asked)} '
      f'(float32) and {file_of(fell_back)} (float32), which differ in '
      "precision ('float32' and 'bfloat16_products'), dev matthews (0.5 and "
      '0.6); keep one of them')
