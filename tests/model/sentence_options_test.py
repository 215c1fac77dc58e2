"""Options in the folders of sentence-transformers, with a tiny encoder."""

import dataclasses
import json
import os

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax.adapters import embedding_settings
from adapters_jax.downloads import weight_files
from adapters_jax.model import pooling as pooling_lib
from adapters_jax.model import sentence_files
from tests import tiny
from tests.adapters import bank_test
from tests.downloads import hub_test

local_hub = hub_test.local_hub
TEXTS = ['good film a very dull plot the great fine', 'bad films']


def write(folder, lengths=None, prompts=None, settings=None):
  """Writes a sentence-transformer without lengths of its own."""
  folder = tiny.write_checkpoint(str(folder))
  sentence_files.write(folder, pooling_lib.Pooling('mean'), 12, 40)
  os.remove(os.path.join(folder, weight_files.LENGTHS))
  for name, values in {
      **(lengths or {}), weight_files.PROMPTS: prompts or {},
      'tokenizer_config.json': settings or {}}.items():
    with open(os.path.join(folder, name), 'w') as file:
      json.dump(values, file)
  return folder


OLD = 'sentence_roberta_config.json'
# {name: (files of lengths, longest text, lower case)}
LENGTHS = {
    'none': ({}, 30, False),
    'old': ({OLD: {'max_seq_length': 5, 'do_lower_case': True}}, 5, True),
    'first_of_the_old': ({
        'sentence_xlnet_config.json': {'max_seq_length': 4},
        'sentence_albert_config.json': {'max_seq_length': 6}}, 6, False),
    'new_before_old': ({
        OLD: {'max_seq_length': 5},
        weight_files.LENGTHS: {'do_lower_case': True}}, 30, True),
    'empty': ({
        OLD: {'max_seq_length': 5}, weight_files.LENGTHS: {}}, 5, False),
    'tokenizer_args': ({weight_files.LENGTHS: {
        'max_seq_length': 7, 'tokenizer_args': {'model_max_length': 6}}},
                       6, False),
    'processor_kwargs': ({weight_files.LENGTHS: {
        'processor_kwargs': {'model_max_length': 6}}}, 6, False),
    'other_args': ({weight_files.LENGTHS: {
        'max_seq_length': 7, 'tokenizer_args': {'use_fast': True}}}, 7, False)}


@pytest.mark.parametrize('name', LENGTHS)
def test_the_longest_text(name, tmp_path):
  files, longest, lower = LENGTHS[name]
  folder = write(tmp_path / 'a', files, settings={'model_max_length': 30})
  found = sentence_files.of_folder(folder)
  assert (found.max_length, found.lowercase) == (longest, lower)


def test_the_longest_text_is_a_number(tmp_path):
  for inner in ({'model_max_length': 'x'}, []):
    folder = write(tmp_path / 'a', {
        weight_files.LENGTHS: {'tokenizer_args': inner}})
    with pytest.raises(aj.UserError, match='sentence_bert_config.json has'):
      sentence_files.of_folder(folder)


def test_leading_dimensions_of_a_folder(tmp_path):
  base = aj.load_base(write(tmp_path / 'a', prompts={'truncate_dim': 4}))
  whole = aj.encode(base, TEXTS, dims=0)
  assert whole.shape == (2, 12)
  # Cut after the scaling, as in sentence-transformers.
  np.testing.assert_array_equal(aj.encode(base, TEXTS), whole[:, :4])
  for given in ({'dims': 4}, {'normalize': True}):
    scaled = aj.encode(base, TEXTS, **given)
    assert scaled.shape == (2, 4)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, atol=1e-6)
  assert aj.encode(base, [], dims=None).shape == (0, 4)
  pooling = embedding_settings.pooling_of(base.checkpoint, None)
  sentence_files.write(str(tmp_path / 'b'), pooling, 12, 40)
  assert sentence_files.of_folder(str(tmp_path / 'b')).dims == 4
  large = write(tmp_path / 'c', prompts={'truncate_dim': 99})
  assert aj.encode(aj.load_base(large), TEXTS).shape == (2, 12)
  with open(os.path.join(large, weight_files.PROMPTS), 'w') as file:
    json.dump({'truncate_dim': 0}, file)
  with pytest.raises(aj.UserError, match='truncate_dim 0'):
    sentence_files.of_folder(large)


def test_leading_dimensions_of_a_bank(tmp_path):
  base = aj.load_base(write(tmp_path / 'a', prompts={'truncate_dim': 4}))
  film = bank_test.make()
  bank = {'film': film}
  assert aj.encode(base, TEXTS, bank)['film'].shape == (2, 4)
  assert aj.encode(
      base, TEXTS, bank, adapters=['film', None]).shape == (2, 4)
  # One that was trained for embeddings keeps those of its training.
  own = dataclasses.replace(film, head_input='embedding_mean')
  assert aj.encode(base, TEXTS, own).shape == (2, 12)
  mixed = {'film': film, 'own': own}
  with pytest.raises(aj.UserError, match='^`dims`: .*truncate_dim'):
    aj.encode(base, TEXTS, mixed, adapters=['film', 'own'])
  assert aj.encode(
      base, TEXTS, mixed, adapters=['film', 'own'], dims=0).shape == (2, 12)


@pytest.mark.parametrize('default, wanted', [
    (None, {}), ('query', {'default': 'find: '})])
def test_an_export_keeps_the_named_prompts(default, wanted, tmp_path):
  named = {'query': 'find: ', 'document': ''}
  base = aj.load_base(write(tmp_path / 'a', prompts={
      'prompts': named, 'default_prompt_name': default}))
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), head_input='embedding_max', max_length=9)
  out = str(tmp_path / 'b')
  aj.export(adapter, out, 'sentence_transformers', base=base)
  with open(os.path.join(out, weight_files.PROMPTS)) as file:
    found = json.load(file)
  assert found['prompts'] == {**named, **wanted}
  assert found['default_prompt_name'] == ('default' if default else None)
  assert sentence_files.of_folder(out).prompt == ('find: ' if default else '')
  assert sentence_files.prompts_of('minilm-l6') == {}


def test_older_names_on_the_hub(local_hub, tmp_path, monkeypatch):
  folder = write(tmp_path / 'a', {OLD: {'max_seq_length': 5}}, {
      'prompts': {'query': 'find: '}})
  monkeypatch.setitem(hub_test._Hub.folders, 'me/old', folder)
  base = aj.load_base('me/old')
  local_hub.shutdown()
  local_hub.server_close()
  assert sentence_files.of_checkpoint('me/old').max_length == 5
  assert sentence_files.prompts_of('me/old') == {'query': 'find: '}
  assert aj.encode(base, TEXTS).shape == (2, 12)
