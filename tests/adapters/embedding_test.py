"""Tests of adapters.embedding, model.pooling and model.sentence_files."""

import dataclasses
import json
import os

import jax
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import compiled
from adapters_jax.adapters import embedding_settings
from adapters_jax.data import tokenization
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import pooling as pooling_lib
from adapters_jax.model import sentence_files
from adapters_jax import trees
from tests import tiny
from tests.adapters import bank_test

TEXTS = ['a very good film', 'dull', 'the plot very very dull the film good',
         'dull']


@pytest.fixture(scope='module')
def hidden(base):
  """Hidden states of each text, computed one by one without padding."""
  tokens, segments = tokenization.encode(
      compiled.tokenizer_of(base), [(text,) for text in TEXTS], 40)
  return [np.asarray(tiny.apply(
      encoder.Bert(base.config), base.params, one[None], kinds[None],
      np.ones((1, len(one)), bool))[-1][0])
          for one, kinds in zip(tokens, segments)]


def test_poolings_by_hand(hidden):
  pool = jax.jit(pooling_lib.pool, static_argnums=2)
  states = np.zeros((2, 9, 12), np.float32)
  mask = np.zeros((2, 9), bool)
  for row in range(2):
    length = len(hidden[row])
    states[row, :length], mask[row, :length] = hidden[row], True
    states[row, length:] = 7.0  # Padding counts in no mode.
  def places(length):
    return np.arange(1, length + 1)[:, None]
  for mode, by_hand in {
      'mean': lambda h: h.mean(0), 'cls': lambda h: h[0],
      'max': lambda h: h.max(0), 'lasttoken': lambda h: h[-1],
      'mean_sqrt_len_tokens': lambda h: h.sum(0) / len(h)**0.5,
      'weightedmean': lambda h: (
          h * places(len(h))).sum(0) / places(len(h)).sum()}.items():
    found = pool(states, mask, mode)
    np.testing.assert_allclose(
        found, [by_hand(hidden[0]), by_hand(hidden[1])], atol=1e-6)
  assert set(pooling_lib.MODES) == {
      'mean', 'cls', 'max', 'lasttoken', 'mean_sqrt_len_tokens',
      'weightedmean'}
  # Filler, whose mask is empty, has neither NaN nor an infinite gradient.
  empty = jax.jit(pooling_lib.normalized)(
      pool(states, np.zeros_like(mask), 'mean'))
  np.testing.assert_array_equal(empty, 0)


def test_encode_is_the_mean_of_each_text(base, hidden):
  found = aj.encode(base, TEXTS, batch_size=3)
  assert found.shape == (4, 12) and found.dtype == np.float32
  wanted = np.stack([states.mean(0) for states in hidden])
  plain = aj.encode(base, TEXTS, normalize=False, batch_size=3)
  np.testing.assert_allclose(plain, wanted, atol=1e-5)
  np.testing.assert_allclose(
      found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)
  np.testing.assert_array_equal(found[1], found[3])
  short = aj.encode(base, TEXTS, dims=5, batch_size=3)
  np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, atol=1e-6)
  np.testing.assert_allclose(
      short * np.linalg.norm(found[:, :5], axis=1, keepdims=True),
      found[:, :5], atol=1e-6)
  assert aj.encode(base, []).shape == (0, 12)


def test_an_adapter_changes_embeddings_and_its_head_does_not(base):
  drawn = bank_test.make('lora[r=2]|prompt_tuning[prompt_length=3]')
  tuned, _ = trees.split(
      drawn.tuned, lambda path: trees.role(path) in ('adapter', 'head'))
  adapter = aj.Adapter(drawn.methods, tuned)
  found = aj.encode(base, TEXTS, adapter)
  assert np.abs(found - aj.encode(base, TEXTS)).max() > 1e-3
  without = dataclasses.replace(
      adapter, tuned={k: v for k, v in tuned.items() if k != 'head'})
  np.testing.assert_array_equal(aj.encode(base, TEXTS, without), found)
  # The vectors of a prompt are not pooled.
  cls = aj.encode(base, TEXTS, adapter, pooling='cls')
  assert np.abs(cls - found).max() > 1e-3
  with pytest.raises(errors.UserError, match='is not the base'):
    aj.encode(base, TEXTS, dataclasses.replace(adapter, base='other@1'))


def test_settings_of_sentence_transformers_are_honoured(
    base, checkpoint, tmp_path):
  folder = tiny.write_checkpoint(str(tmp_path / 'sentences'))
  settings = pooling_lib.Pooling('cls', False, 5, 'the ', True)
  sentence_files.write(folder, settings, 12, 40)
  assert sentence_files.of_checkpoint(folder) == settings
  other = aj.load_base(folder)
  np.testing.assert_allclose(
      aj.encode(other, TEXTS), aj.encode(
          base, ['the ' + text for text in TEXTS], pooling='cls',
          normalize=False, max_length=5), atol=1e-6)
  assert sentence_files.of_checkpoint(checkpoint) == pooling_lib.Pooling()
  assert sentence_files.of_checkpoint('minilm-l6').max_length == 256
  path = os.path.join(folder, '1_Pooling', 'config.json')
  for values, message in (
      ({'pooling_mode': ['cls', 'mean']}, 'has the pooling cls, mean'),
      ({'pooling_mode': 'median'}, 'has the pooling median'),
      ({'pooling_mode_cls_token': True, 'include_prompt': False}, 'prompts')):
    with open(path, 'w') as file:
      json.dump(values, file)
    with pytest.raises(errors.UserError, match=message):
      sentence_files.of_folder(folder)
  with open(os.path.join(folder, 'modules.json'), 'w') as file:
    json.dump([{'path': '', 'type': 'x.Transformer'},
               {'path': '2_Dense', 'type': 'x.Dense'}], file)
  with pytest.raises(errors.UserError, match='a module Dense'):
    sentence_files.of_folder(folder)


def test_settings_are_those_of_each_adapter(checkpoint):
  made = []

  def make(adapter):
    made.append(adapter)
    return embedding_settings.pooling_of(checkpoint, adapter)

  settings_of = embedding_settings.once(make)
  methods = strings.parse('lora[r=2]')
  for turn in range(3):
    for mode in ('cls', 'max', 'mean'):
      # Gone at once, so that the next adapter may lie at its place.
      found = settings_of(aj.Adapter(
          methods, {}, head_input=f'embedding_{mode}', max_length=9 + turn))
      assert (found.mode, found.max_length) == (mode, 9 + turn)
  assert settings_of(None) == settings_of(None) == pooling_lib.Pooling()
  assert settings_of(aj.Adapter(
      methods, {}, head_input='embedding_max', max_length=10)).mode == 'max'
  assert len(made) == 10


@pytest.mark.parametrize('texts, settings, message', [
    ('a text', {}, 'give a list of texts'),
    ([('a', 'b')], {}, r'`texts\[0\]`: give a string'),
    (['a'], {'pooling': 'median'}, "unknown 'median'"),
    (['a'], {'dims': 13}, 'give an integer from 1 to 12'),
    (['a'], {'batch_size': 0}, 'batch_size=0')])
def test_wrong_arguments(base, texts, settings, message):
  with pytest.raises(errors.UserError, match=message):
    aj.encode(base, texts, **settings)
