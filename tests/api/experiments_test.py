"""Tests of the table of experiments."""

import importlib.util

import pytest

from adapters_jax.api import experiments


@pytest.mark.parametrize('name', experiments.EXPERIMENTS)
def test_an_experiment_has_a_script_and_the_defaults_of_its_kind(name):
  assert importlib.util.find_spec(f'experiments.{name}')
  one = experiments.EXPERIMENTS[name]
  kind = one.kind()
  assert (kind is None) == (name in ('glue', 'text_classification'))
  assert one.defaults == (kind.defaults if kind else {})
