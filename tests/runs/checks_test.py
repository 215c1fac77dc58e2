"""Tests of wrong settings: one line that names the setting and the way out."""

import dataclasses
import math

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import grid

FILES = {'train_file': 'a.tsv', 'dev_file': 'b.tsv'}


@pytest.mark.parametrize('changed, message', [
    ({'adapter_size': 0}, '`adapter_size=0`: give 1 to 65,536'),
    ({'adapter_size': 10**30}, f'`adapter_size={10**30}`: give 1 to'),
    ({'batch_size': 10**12}, '`batch_size=.*give 1 to 1,048,576'),
    ({'seed': 2**32}, '`seed=4294967296`: give 0 to 4,294,967,295'),
    ({'seed': -1}, '`seed=-1`: give 0 to'),
    ({'dropout': 1.0}, '`dropout=1.0`: give a finite rate below 1'),
    ({'dropout': -math.inf}, '`dropout=-inf`'),
    ({'clip_norm': 0.0}, '`clip_norm=0.0`'),
    ({'max_steps': 2**31}, '`max_steps=2147483648`: give 0 to'),
    ({'epochs': math.inf}, '`epochs=inf`: give 0 to 1,000,000'),
    ({'epochs': -1.0, 'max_steps': 3}, '`epochs=-1.0`: give 0 to 1,000,000'),
    ({'epochs': 0.0}, '`epochs=0.0`: give more than 0, or `max_steps`'),
    ({'label_column': ''}, '`label_column=`: name the column'),
    ({'text_columns': ''}, '`text_columns=`: name one column, or two'),
    ({'text_columns': 'a,a'}, '`text_columns=a,a`: name one column, or two d'),
    ({'text_columns': 'a,b,c'}, '`text_columns=a,b,c`: name one'),
    ({**FILES, 'text_columns': 'a,label'}, '`label_column=label`: it is one'),
    ({'adapter_sites': ' , '}, '`adapter_sites=`: name a sublayer'),
    ({'tune': 'lora'}, '`tune=lora`: lora is a method; give '
     '`adapter_config=lora`'),
    ({'tune': 'lora[r=8]'}, 'give `adapter_config=lora.r=8.`'),
    ({'tune': 'BitFit'}, "`tune`: 'BitFit' adds no module; give `tune=bias`"),
    ({'tune': 'oft'}, "`tune`: 'oft' is not implemented"),
    ({'tune': 'adapter'}, "unknown 'adapter'; did you mean adapters"),
    ({'tune': 'ful'}, "`tune`: unknown 'ful'; did you mean full"),
    ({'pair_loss': 'triplet'}, "`pair_loss`: unknown 'triplet'; it is one of "
     'multiple_negatives, cosent, cosine$'),
    ({'adapter_config': 'houlsby', 'adapter_size': 8},
     r'`adapter_size=8` is for .* as in houlsby\[size=8\]$'),
    ({'adapter_config': 'lora[alpha=4]', 'adapter_size': 8}, r'lora\[r=8\]$'),
    ({'adapter_config': 'ia3|prefix_tuning', 'adapter_size': 8},
     r'prefix_tuning\[prefix_length=8\]$'),
    ({'adapter_config': 'par_bn', 'activation': 'relu'},
     r'par_bn\[activation=relu\]$'),
    ({'adapter_config': 'par_bn', 'adapter_layers': '0-2'},
     r'par_bn\[layers=\[...\]\]$'),
    ({'adapter_config': 'ia3', 'init_scale': 0.1}, 'ia3 has no such field'),
    ({'adapter_config': 'loha', 'adapter_size': 8}, "'loha' is not implem"),
])
def test_wrong_settings_raise_when_made(changed, message):
  with pytest.raises(errors.UserError, match=message) as found:
    config_lib.Config(**changed)
  assert '\n' not in str(found.value)


@pytest.mark.parametrize('name', [
    field.name for field in dataclasses.fields(config_lib.Config)
    if field.type is float])
def test_no_float_may_be_nan(name):
  with pytest.raises(errors.UserError, match=f'`{name}=nan`'):
    config_lib.Config(**{name: math.nan})


@pytest.mark.parametrize('name', [
    field.name for field in dataclasses.fields(config_lib.Config)
    # Others are compared with the model or the hosts.
    if field.type is int and field.name not in (
        'top_k', 'processes', 'process')])
def test_no_int_may_exceed_what_jax_computes_with(name):
  with pytest.raises(errors.UserError, match=f'`{name}=1{"0" * 30}`'):
    config_lib.Config(**{name: 10**30})


@pytest.mark.parametrize('changed, message', [
    ({'epochs': '3'}, "`epochs='3'`: give a number"),
    ({'adapter_size': 8.0}, '`adapter_size=8.0`: give an integer'),
    ({'adapter_size': True}, '`adapter_size=True`: give an integer'),
    ({'task': None}, '`task=None`: give a string$'),
    ({'optimizer': range}, "`optimizer=<class 'range'>`: give a string, one of "
     'adam, adapter_bert$'),
    ({'pooling': 3}, '`pooling=3`: give a string, one of mean, cls, '),
    ({'metric': [1]}, r"`metric=\[1\]`: give a string, .* such as 'accuracy'"),
    ({'seed': np.zeros((2, 2))},
     r'`seed=array\(\[\[0., 0.\], \[0., 0.\]\]\)`: give an integer'),
    ({'remat': 1}, '`remat=1`: give True or False'),
    ({'mesh': ['data']}, r"`mesh=\['data'\]`: give a string")])
def test_values_of_other_types_are_refused(changed, message):
  with pytest.raises(errors.UserError, match=message):
    config_lib.Config(**changed)


def test_equal_values_of_other_types_make_equal_runs():
  config = config_lib.Config(
      epochs=20, seed=np.int64(3), learning_rate=np.float64(0.5))
  values = {'epochs': 20.0, 'seed': 3, 'learning_rate': 0.5}
  assert config == config_lib.Config(**values)
  for name, value in values.items():
    assert type(getattr(config, name)) is type(value)
  assert grid.run_name(config) == grid.run_name(config_lib.Config(**values))


def test_largest_and_special_values_are_valid():
  config_lib.Config(
      seed=2**32 - 1, adapter_size=2**16, clip_norm=math.inf, warmup=1.0,
      text_columns=' a , b')
  assert config_lib.Config(text_columns=' a , b').columns == ('a', 'b')
