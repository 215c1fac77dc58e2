"""Tests of methods as AdapterHub describes them."""

import pytest

from adapters_jax.adapters.formats import adapterhub_configs
from adapters_jax import errors
from adapters_jax.methods import strings
from tests.methods import method_cases

SHAPE = method_cases.SHAPE


def test_files_of_old_versions():
  read = adapterhub_configs.from_config
  old = {'architecture': 'lora', 'r': 4, 'alpha': 16}
  # `adapters` before 1.1 alone ignored alpha; adapter-transformers did not.
  for version, alpha in (
      ('adapters.0.1.0', 4), ('adapters.1.0.1', 4), ('adapters.1.1.0', 16),
      ('3.2.1', 16), ('', 16)):
    assert read(old, version)[0].alpha == alpha, version
  bottleneck = {'mh_adapter': True, 'output_adapter': True,
                'reduction_factor': 16, 'non_linearity': 'gelu'}
  assert read(bottleneck, '')[0].activation == 'gelu_tanh'
  assert read(bottleneck)[0].activation == 'gelu'


def test_prompts_come_after_invertible_adapters():
  ours = strings.parse('seq_bn_inv|prompt_tuning')
  written = adapterhub_configs.to_config(ours, SHAPE)
  assert adapterhub_configs.from_config(written) == ours
  written['configs'].reverse()
  found = adapterhub_configs.from_config(written)
  assert [type(config).__name__ for config in found] == [
      'Bottleneck', 'Invertible', 'PromptTuning']
  with pytest.raises(errors.UserError, match='the other order'):
    adapterhub_configs.to_config(
        strings.parse('prompt_tuning|seq_bn_inv'), SHAPE)
  with pytest.raises(errors.UserError, match='shift_positions=False'):
    adapterhub_configs.to_config(
        strings.parse('prefix_tuning_flat[shift_positions=True]'), SHAPE)


def test_a_width_that_divides_nothing_survives():
  for size in range(1, 41):
    configs = strings.parse(f'bottleneck[size={size}]')
    written = adapterhub_configs.to_config(configs, SHAPE)
    assert max(1, int(32 // written['reduction_factor'])) == size
