"""Tests of the parameters that the training of an adapter changed."""

import dataclasses

import pytest

from adapters_jax import trees
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import composing
from tests.adapters import bank_test

LORA = 2 * 2 * (12 + 12)  # Rank, sites, matrices.
NORMS, HEAD = 3 * 24, 26


@pytest.mark.parametrize('settings, wanted', [
    ({}, 2 * LORA + NORMS + HEAD),  # Composed: all members are trained.
    ({'adapters': ''}, 2 * LORA + NORMS + HEAD),
    ({'adapters': 'a@01'}, LORA + NORMS + HEAD),
    ({'adapters': 'a@01', 'tune_norms': False}, LORA + HEAD),
    ({'adapters': 'a@01', 'norm_layers': 'same'}, LORA + NORMS - 24 + HEAD)])
def test_frozen_members_stay_out(settings, wanted):
  both = composing.compose(
      {'a': bank_test.make('lora[r=2]'), 'task': bank_test.make('lora[r=2]')},
      'stack(a, task)')
  both = dataclasses.replace(both, settings=settings)
  assert both.trained_params == wanted
  assert f'{wanted:,}' in bank_lib.summary(
      {'x': both}, bank_test.base()).replace('│', ' ').split()
  for name in ('a', 'task'):  # Alone, each is the result of its training.
    assert composing.member(both, name).trained_params == LORA + NORMS + HEAD


def test_a_fusion_trains_its_attention():
  bank = {name: bank_test.make('bottleneck[size=3]') for name in 'ab'}
  fused = composing.compose(bank, 'fuse(a, b, norms=base)', head='b')
  kernel = bank['a'].tuned['head']['kernel'][:1]
  tuned = trees.overlay(fused.tuned, {'encoder': {'layer_0': {
      'adapter_fusion_ffn_output_0': {'query': {'kernel': kernel}}}}})
  fused = dataclasses.replace(fused, tuned=tuned, settings={
      'adapters': 'a@01,b@02', 'tune': 'fusion', 'tune_norms': False})
  assert fused.trained_params == kernel.size + HEAD
