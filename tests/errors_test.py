"""Tests of the suggestions in messages."""

import pytest

from adapters_jax import errors

_SETTINGS = (
    'learning_rate', 'batch_size', 'buckets', 'dropout', 'data_dir',
    'eval_every', 'label_smoothing', 'adapter_size', 'patience', 'optimizer',
    'clip_norm', 'seed')


@pytest.mark.parametrize('word, known, wanted', [
    ('widht', ('sites', 'width'), 'mean width?'),
    ('accurcy', ('accuracy', 'f1'), 'mean accuracy?'),
    ('lr', ('learning_rate', 'seed'), 'mean learning_rate?'),
    ('learing_rate', _SETTINGS, 'mean learning_rate?'),
    ('Batchsize', _SETTINGS, 'mean batch_size?'),
    ('bath_size', _SETTINGS, 'mean batch_size?'),
    ('drop_out', _SETTINGS, 'mean dropout?'),
    ('patiance', _SETTINGS, 'mean patience?'),
    ('batch', _SETTINGS, 'mean batch_size?'),
    ('clip', _SETTINGS, 'mean clip_norm?'),
    ('positive1', ('positive2', 'positive3', 'negative'),
     'mean positive3 or positive2?')])
def test_typos_and_beginnings_get_the_nearest_name(word, known, wanted):
  error = errors.unknown('field', word, known, {'lr': 'learning_rate'})
  assert str(error).endswith(wanted)
  assert str(error).startswith(f'field: unknown {word!r}; ')


@pytest.mark.parametrize('word', [
    'callbacks', 'report_to', 'output_dir', 'early_stopping', 'eval_dataset',
    'label_names', 'bf16', 'tokenizer', 'data_collator', 'evaluation_strategy',
    'width', 's'])
def test_distant_names_are_not_suggested(word):
  assert str(errors.unknown('field', word, _SETTINGS)).endswith(
      f'; it is one of {", ".join(_SETTINGS)}')


def test_flags_spell_truth_values_as_commands_do():
  message = 'give `head=False`, or train with `tune_norms=True`'
  assert errors.as_flags(message, {'head'}) == (
      'give --head=false, or train with tune_norms=true')
