"""Tests of adapter methods from the settings of a run."""

import dataclasses

import pytest

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.adapters import settings
from adapters_jax.methods import bottleneck
from adapters_jax.methods import strings
from adapters_jax.runs import config as config_lib


def test_absent_settings_are_those_of_a_run():
  values = dataclasses.asdict(config_lib.Config())
  assert settings.DEFAULTS == {
      name: values[name] for name in settings.DEFAULTS}


@pytest.mark.parametrize('values, layers, wanted', [
    ({}, 6, (bottleneck.Bottleneck(size=64),)),
    ({'adapter_size': 3, 'init_scale': 0.1, 'activation': 'relu'}, None,
     (bottleneck.Bottleneck(size=3, init_scale=0.1, activation='relu'),)),
    ({'adapter_layers': '0-2,5'}, 6,
     (bottleneck.Bottleneck(layers=(0, 1, 2, 5)),)),
    ({'adapter_layers': '0-2,5'}, None,
     (bottleneck.Bottleneck(layers=(0, 1, 2, 5)),)),
    ({'adapter_layers': '0-5'}, 6, (bottleneck.Bottleneck(),)),
    ({'adapter_layers': 'none'}, None, (bottleneck.Bottleneck(layers=()),)),
    ({'adapter_sites': ' ffn_output'}, 6,
     (bottleneck.Bottleneck(sites=('ffn_output',)),)),
    ({'adapter_config': 'lora[r=3]|seq_bn'}, 6,
     strings.parse('lora[r=3]|seq_bn')),
    # A saved adapter is read as it is; the word for none in training.
    ({'adapter_config': 'lora[sites=[]]'}, None,
     strings.parse('lora[sites=[]]')),
    ({'adapter_config': 'bottleneck[layers=[]]'}, 6,
     (bottleneck.Bottleneck(layers=()),)),
    ({'adapter_layers': 'none'}, 6, (bottleneck.Bottleneck(layers=()),)),
    ({'tune': 'full'}, 6, ()), ({'tune': 'norms', 'adapter_size': 3}, 6, ())])
def test_methods(values, layers, wanted):
  assert settings.methods_of(values, layers) == wanted


@pytest.mark.parametrize('values, message', [
    ({'adapter_layers': '0-6'}, '`adapter_layers`: there is no layer 6'),
    ({'adapter_config': 'lorra'}, '`adapter_config`.*lora'),
    ({'adapter_config': 'lora[leave_out=[6]]'}, '`adapter_config`.*no layer 6'),
    ({'adapter_config': 'lora[sites=[]]'}, '`adapter_config`: sites='),
    ({'adapter_config': 'seq_bn|ia3[sites=[]]'}, '`adapter_config`: sites='),
    ({'adapter_config': 'lora[leave_out=[0,1,2,3,4,5]]'},
     r'leave_out=.*none of the 6 layers.*`tune=head`'),
    ({'adapter_config': 'bottleneck[layers=[1], leave_out=[1]]'},
     r'leave_out=\(1,\)'),
    ({'adapter_config': 'loreft[prefix_positions=0]'},
     'prefix_positions=0: give 1 or more, or suffix_positions'),
    ({'adapter_sites': 'ffn'}, '`adapter_sites`.*ffn_output')])
def test_wrong_settings(values, message):
  with pytest.raises(errors.UserError, match=message):
    settings.methods_of(values, 6)


def test_every_method_adapts_something():
  for name in methods.CONFIGS:
    settings.methods_of({'adapter_config': name}, 6)


@pytest.mark.parametrize('text, wanted', [
    ('all', (0, 1, 2, 3, 4, 5)), ('none', ()), ('0-2,5', (0, 1, 2, 5)),
    ('3', (3,)), ('2, 1', (1, 2))])
def test_layers(text, wanted):
  assert settings.parse_layers(text, 6, 'layers') == wanted


@pytest.mark.parametrize('text, message', [
    ('6', 'no layer 6.*6 layers'), ('4-2', 'backwards'), ('x', 'of the form'),
    ('1-', 'of the form'), ('', 'of the form')])
def test_bad_layers_name_the_field(text, message):
  with pytest.raises(errors.UserError, match=f'`layers`.*{message}'):
    settings.parse_layers(text, 6, 'layers')
