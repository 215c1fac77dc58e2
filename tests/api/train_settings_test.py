"""Settings of `train` that follow from its arguments."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.api import train_settings
from adapters_jax.methods import lora
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import presets


@pytest.mark.parametrize('data, wanted', [
    (aj.Pairs([('a', 'b')] * 4), presets.EMBEDDINGS['max_length']),
    (aj.Questions(['a'], ['b'], ['b']), presets.SQUAD['max_length']),
    ('stsb_pairs', presets.EMBEDDINGS['max_length']),
    ('squad', presets.SQUAD['max_length']),
    ('rte', config_lib.Config.max_length)])
def test_the_longest_input_is_that_of_the_commands(data, wanted, checkpoint):
  base = aj.load_base(checkpoint)

  def longest(positions):
    config = dataclasses.replace(base.config, positions=positions)
    return train_settings.defaults(
        dataclasses.replace(base, config=config), data, 'lora', {})[
            'max_length']

  assert longest(512) == wanted
  assert longest(40) == 40


@pytest.mark.parametrize('method', ('', 'lora'))
@pytest.mark.parametrize(
    'data', ('rte', 'movie_sentiment_texts', aj.Texts(['a'])))
def test_raw_text_has_the_method_and_norms_of_the_command(
    data, method, checkpoint):
  found = train_settings.defaults(aj.load_base(checkpoint), data, method, {})
  wanted = presets.LANGUAGE_MODELING
  raw = data != 'rte'
  named = wanted['adapter_config'] if raw else 'houlsby'
  assert found['adapter_config'] == (method or named)
  assert config_lib.Config(**found).tune_norms != raw


@pytest.mark.parametrize('value, wanted', [
    (np.bool_(False), False), (np.float32(0.5), 0.5), (jnp.array(3), 3),
    (pathlib.Path('a'), 'a'), ('a', 'a'), (True, True)])
def test_scalars_of_arrays_are_settings(value, wanted):
  found = train_settings.plain({'seed': value})['seed']
  assert found == wanted and type(found) is type(wanted)


def test_weights_of_classes_are_text():
  assert train_settings.plain({'class_weights': {'no': 2, 'yes': 0.5}}) == {
      'class_weights': 'no:2,yes:0.5'}


def test_a_random_key_is_no_seed(checkpoint):
  examples = aj.Examples(['a', 'b'] * 4, ['x', 'y'] * 4)
  for key in (jax.random.key(0), jax.random.PRNGKey(0)):
    with pytest.raises(
        errors.UserError, match=r'^`seed=Array\(.*`: give an integer$'):
      aj.train(aj.load_base(checkpoint), examples, seed=key)


@pytest.mark.parametrize('labels, metric, message', [
    (['x', 'y'] * 4, 'acuracy', 'did you mean accuracy'),
    (['x', 'y'] * 4, 'peason', 'it is one of accuracy, balanced_accuracy'),
    ([0.5, 1.0] * 4, 'peason', 'did you mean pearson?'),
    ([['x'], ['y']] * 4, 'bleu', 'it is one of ')])
def test_an_unknown_metric_names_those_of_the_task(
    labels, metric, message, checkpoint):
  data = aj.Examples(['a', 'b'] * 4, labels)
  with pytest.raises(errors.UserError, match='`metric`: unknown') as found:
    aj.train(aj.load_base(checkpoint), data, metric=metric)
  assert message in str(found.value)
  assert 'entity_f1' not in str(found.value)


@pytest.mark.parametrize('method, wanted', [
    ('lora[r=4]', 'lora[r=4]'), ('', ''), ((), ()), (3, 3),
    (lora.LoRA(r=4), 'lora[r=4]'), (lora.LoRA(), 'lora'),
    (methods.CONFIGS['mam'], 'prefix_tuning[bottleneck_size=800]|par_bn')])
def test_configs_of_methods_are_method_strings(method, wanted):
  assert train_settings.method_text(method) == wanted


def test_a_config_without_a_name_is_refused():
  class Mine(lora.LoRA):
    """A method that `methods.CONFIGS` lacks."""

  with pytest.raises(errors.UserError, match='Mine has no name'):
    train_settings.method_text([Mine()])
