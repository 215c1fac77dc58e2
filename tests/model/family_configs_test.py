"""Readers of config.json: refusals, defaults, published sizes."""

import dataclasses

import jax
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.layers import activations
from adapters_jax.methods import bottleneck
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import family_configs
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.model import shapes
from tests import tiny_families

# ModernBERT-base's sizes; other entries have the defaults of the class.
MODERNBERT = {
    'model_type': 'modernbert', 'vocab_size': 50368, 'hidden_size': 768,
    'intermediate_size': 1152, 'num_hidden_layers': 22,
    'num_attention_heads': 12, 'max_position_embeddings': 8192}

# Of microsoft/deberta-v3-base.
DEBERTA = {
    'model_type': 'deberta-v2', 'vocab_size': 128100, 'hidden_size': 768,
    'intermediate_size': 3072, 'num_hidden_layers': 12,
    'num_attention_heads': 12, 'max_position_embeddings': 512,
    'type_vocab_size': 0, 'layer_norm_eps': 1e-7, 'relative_attention': True,
    'position_buckets': 256, 'norm_rel_ebd': 'layer_norm',
    'share_att_key': True, 'pos_att_type': 'p2c|c2p',
    'max_relative_positions': -1, 'position_biased_input': False}


@pytest.mark.parametrize('values, message', (
    ({'model_type': 't5'}, "model_type 't5'.*mpnet"),
    ({'relative_attention_num_buckets': 64}, '64; only 32'),
    ({'hidden_act': 'maxout'}, "hidden_act.*unknown 'maxout'")))
def test_unsupported_configs(values, message):
  with pytest.raises(errors.UserError, match=message):
    families.parse_config(
        {**tiny_families.VALUES['mpnet'], **values}, 'config.json')


@pytest.mark.parametrize('entry, value', [
    ('num_attention_heads', 0), ('num_attention_heads', 5),
    ('hidden_size', '12'), ('hidden_size', 12.0), ('hidden_size', True),
    ('vocab_size', 2**60), ('num_hidden_layers', 10**7),
    ('intermediate_size', -3), ('intermediate_size', None),
    ('max_position_embeddings', {}), ('type_vocab_size', 0),
    ('hidden_act', []), ('model_type', ['bert']),
    ('hidden_dropout_prob', 1.0), ('attention_probs_dropout_prob', 'x'),
    ('layer_norm_eps', float('nan')), ('layer_norm_eps', [1e-12]),
    ('position_embedding_type', {})])
@pytest.mark.parametrize('case', ['bert', 'roberta'])
def test_entries_of_other_types_and_sizes(case, entry, value):
  values = {**tiny_families.VALUES[case], 'hidden_size': 12, entry: value}
  with pytest.raises(errors.UserError, match=f'^`checkpoint`: f/c.*{entry}'):
    families.parse_config(values, 'f/c')


@pytest.mark.parametrize('case', [
    'bert', 'mpnet', 'roberta', 'electra', 'deberta'])
def test_decoders(case):
  values = {**tiny_families.VALUES[case], 'is_decoder': False}
  assert families.parse_config(values, 'c') == tiny_families.config(case)
  with pytest.raises(errors.UserError, match='f/c has is_decoder true'):
    families.parse_config({**values, 'is_decoder': True}, 'f/c')


@pytest.mark.parametrize('value', [-1, 2**60, '1'])
def test_padding_tokens_of_other_types_and_sizes(value):
  values = {**tiny_families.VALUES['roberta'], 'pad_token_id': value}
  with pytest.raises(errors.UserError, match='f/c has pad_token_id'):
    families.parse_config(values, 'f/c')


def test_positions_of_mpnet_do_not_depend_on_the_padding_token():
  for value in (0, 1, 7):
    assert families.parse_config(
        {**tiny_families.VALUES['mpnet'], 'pad_token_id': value},
        'c') == tiny_families.config('mpnet')


@pytest.mark.parametrize('case', tiny_families.VALUES)
def test_activations_there_and_back(case):
  values = tiny_families.VALUES[case]
  row = families.FAMILIES[values['model_type']]
  for name in activations.ACTIVATIONS:
    entry = family_configs.activation_entry(row.activation, name)
    assert {*entry} <= {*values}
    assert families.parse_config(
        {**values, **entry}, 'config.json').activation == name


def test_config_without_a_size():
  values = dict(tiny_families.VALUES['distilbert'])
  del values['n_heads'], values['dim']
  with pytest.raises(errors.UserError, match='has no dim, n_heads'):
    families.parse_config(values, 'config.json')


def test_defaults_of_absent_entries():
  for case in tiny_families.VALUES:
    values = {name: value for name, value in tiny_families.VALUES[case].items()
              if name not in ('pad_token_id', 'hidden_act', 'layer_norm_eps')}
    found = families.parse_config(values, case)
    assert found.norm_epsilon == {
        'modernbert': 1e-5, 'deberta-v2': 1e-7}.get(found.family, 1e-12)
    assert found.activation == 'gelu'
    assert found.first_position == tiny_families.config(case).first_position
  assert tiny_families.config('mpnet').norm_epsilon == 1e-5


def test_mpnet_base_has_the_published_size():
  config = pretrained.CHECKPOINTS['mpnet-base']
  tree = shapes.of(heads.Classifier(config, 1, 'pooler'))
  tree.pop('head')
  assert trees.count(tree) == 109_486_464
  assert config.longest == 512
  norms, _ = trees.split(tree, lambda path: trees.role(path) == 'norm')
  assert trees.count(norms) == 38_400
  # all-mpnet-base-v2's config.json.
  assert config == families.parse_config({
      'model_type': 'mpnet', 'vocab_size': 30527, 'hidden_size': 768,
      'num_hidden_layers': 12, 'num_attention_heads': 12,
      'intermediate_size': 3072, 'hidden_act': 'gelu',
      'hidden_dropout_prob': 0.1, 'attention_probs_dropout_prob': 0.1,
      'layer_norm_eps': 1e-05, 'max_position_embeddings': 514,
      'relative_attention_num_buckets': 32, 'pad_token_id': 1}, 'config.json')


def parts_of(config):
  """Returns {role: leaves} of an encoder with adapters of size 64."""
  tree = shapes.of(encoder.Bert(dataclasses.replace(
      config, adapters=(bottleneck.Bottleneck(64),))))
  return {role: trees.split(tree, lambda path: trees.role(path) == role)[0]
          for role in ('encoder', 'norm', 'adapter')}


def test_modernbert_base_has_the_published_sizes():
  config = families.parse_config(MODERNBERT, 'config.json')
  parts = parts_of(config)
  assert trees.count(parts['encoder']) + trees.count(
      parts['norm']) == 149_014_272
  assert trees.count(parts['norm']) == 45 * 768
  assert trees.count(parts['adapter']) == 4_361_984
  assert len(jax.tree.leaves(parts['norm'])) == 45
  assert 21 not in config.local_layers  # [CLS] alone of it is computed.


def test_deberta_v3_base_has_the_published_sizes():
  config = families.parse_config(DEBERTA, 'config.json')
  parts = parts_of(config)
  assert trees.count(parts['encoder']) + trees.count(
      parts['norm']) == 183_831_552
  assert trees.count(parts['norm']) == 26 * 2 * 768
  assert trees.count(parts['adapter']) == 2_379_264
  assert config.longest == 512 and config.norm_epsilon == 1e-7
  listed = {**DEBERTA, 'pos_att_type': ['c2p', 'p2c']}
  assert families.parse_config(listed, 'c') == config


@pytest.mark.parametrize('changed, message', (
    ({'relative_attention': False}, 'relative_attention False'),
    ({'share_att_key': None}, 'share_att_key None'),
    ({'norm_rel_ebd': 'none'}, 'norm_rel_ebd'),
    ({'position_biased_input': True}, 'position_biased_input'),
    ({'pos_att_type': 'c2p'}, 'pos_att_type'), ({'pos_att_type': 7}, '7'),
    ({'conv_kernel_size': 3}, 'conv_kernel_size 3'),
    ({'embedding_size': 128}, 'embedding_size'),
    ({'attention_head_size': 32}, 'attention_head_size'),
    ({'max_relative_positions': 256}, 'max_relative_positions'),
    ({'position_buckets': 1}, 'position_buckets 1 for 512'),
    ({'position_buckets': 1022}, 'position_buckets'),
    ({'position_buckets': -1}, 'position_buckets')))
def test_unsupported_entries_of_deberta(changed, message):
  with pytest.raises(errors.UserError, match=f'`checkpoint`: c .*{message}'):
    families.parse_config({**DEBERTA, **changed}, 'c')
  absent = {name: value for name, value in DEBERTA.items()
            if name != 'share_att_key'}
  with pytest.raises(errors.UserError, match='no share_att_key'):
    families.parse_config(absent, 'c')


def test_both_spellings_of_modernbert():
  old = families.parse_config({
      **MODERNBERT, 'global_rope_theta': 9000.0, 'local_rope_theta': None}, 'c')
  kinds = ['full_attention' if index % 3 == 0 else 'sliding_attention'
           for index in range(22)]
  new = families.parse_config({
      **MODERNBERT, 'layer_types': kinds, 'rope_parameters': {
          'full_attention': {'rope_type': 'default', 'rope_theta': 9000.0},
          'sliding_attention': {'rope_theta': 9000.0}}}, 'c')
  assert old == new
  assert old.rotary == (9000.0, 9000.0)
  assert families.parse_config(MODERNBERT, 'c').rotary == (160000.0, 10000.0)
  half = {'full_attention': {'rope_theta': 5.0}, 'sliding_attention': None}
  assert families.parse_config(
      {**MODERNBERT, 'rope_parameters': half}, 'c').rotary == (5.0, 10000.0)


@pytest.mark.parametrize('changed, message', (
    ({'layer_types': ['full_attention']}, 'layer_types.*22 layers'),
    ({'layer_types': ['x'] * 22}, 'layer_types'),
    ({'rope_parameters': {'rope_theta': 5.0}}, 'rope_parameters.*rope_theta'),
    ({'rope_parameters': {'full_attention': {'rope_type': 'yarn'}}}, 'yarn'),
    ({'rope_scaling': {'type': 'linear'}}, 'rope_scaling'),
    ({'global_rope_theta': 0}, 'global_rope_theta'),
    ({'local_attention': 1}, 'local_attention'),
    ({'norm_bias': 'no'}, 'norm_bias.*true or false'),
    ({'num_attention_heads': 256}, 'odd width')))
def test_unsupported_entries_of_modernbert(changed, message):
  with pytest.raises(errors.UserError, match=f'`checkpoint`: c .*{message}'):
    families.parse_config({**MODERNBERT, **changed}, 'c')
