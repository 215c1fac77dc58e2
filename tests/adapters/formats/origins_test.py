"""Tests of bases that the files of other libraries name."""

import dataclasses
import json
import logging

import pytest

from adapters_jax import errors
from adapters_jax.adapters import composing
from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import origins
from tests import tiny
from tests.adapters import bank_test


def change(path, **entries):
  """Changes entries of a JSON file."""
  path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize('entry, found, own', [
    ('model_type', 'roberta', 'bert'), ('hidden_size', 768, 12)])
def test_another_shape_is_refused(entry, found, own, tmp_path):
  exchange.write(tmp_path, bank_test.make('lora[r=2]'), 'adapterhub')
  path = tmp_path / 'adapter_config.json'
  for absent in (None, ''):
    change(path, **{entry: absent})
    exchange.read(tmp_path, tiny.CONFIG)
  change(path, **{entry: found})
  with pytest.raises(
      errors.UserError, match=f'`path`.*{entry}={found}.*{entry}={own}'):
    exchange.read(tmp_path, tiny.CONFIG)


@pytest.mark.parametrize('family', ['roberta', 'xlm-roberta', 'camembert'])
def test_families_keep_their_names(family):
  shape = dataclasses.replace(tiny.CONFIG, family=family)
  origins.check({'model_type': family, 'hidden_size': 12}, shape, 'x')
  with pytest.raises(errors.UserError, match=f'=bert,.*={family};'):
    origins.check({'model_type': 'bert'}, shape, 'x')


@pytest.mark.parametrize('form, entry', [
    ('adapterhub', 'model_name'), ('peft', 'base_model_name_or_path')])
def test_another_name_is_logged_once(form, entry, checkpoint, tmp_path, caplog):
  exchange.write(
      tmp_path / 'x', dataclasses.replace(
          bank_test.make('lora[r=2]'), head_input='pooler'), form,
      checkpoint=checkpoint)
  path = tmp_path / 'x' / 'adapter_config.json'
  for name, base, logged in (
      (None, checkpoint, 0), ('', checkpoint, 0),
      ('/home/me/model', checkpoint, 0), ('out/last/model', checkpoint, 0),
      ('roberta-large', checkpoint, 1), ('roberta-large', '', 0),
      ('BERT-base', 'google/bert-base', 0), ('bert-base', 'bert-large', 1),
      ('sentence-transformers/all-MiniLM-L6-v2', 'minilm-l6', 0),
      ('all-mpnet-base-v2', 'minilm-l6', 1)):
    change(path, **{entry: name})
    caplog.clear()
    with caplog.at_level(logging.WARNING):
      exchange.read(tmp_path / 'x', tiny.CONFIG, checkpoint=base)
    assert [name in record.getMessage() and base in record.getMessage()
            for record in caplog.records] == [True] * logged


def test_folders_known_by_their_origin(tmp_path, caplog):
  cached = tmp_path / 'models--google--bert-base' / 'snapshots' / 'abc'
  copied = tmp_path / 'mine'
  for folder, values in ((cached, {}), (copied, {
      '_name_or_path': 'google/bert-base'})):
    folder.mkdir(parents=True)
    (folder / 'config.json').write_text(json.dumps(values))
    origins.warn({'x': 'bert-base'}, str(folder))
    assert not caplog.records
    origins.warn({'x': 'bert-large', 'y': 'bert-large'}, str(folder))
    assert len(caplog.records) == 1
    caplog.clear()


@pytest.mark.parametrize('stated, name', [
    ({}, ''), ({'x': None, 'y': ''}, ''),
    ({'x': 'roberta-base'}, 'roberta-base'),
    ({'x': None, 'y': '/home/me/model', 'z': 'google/bert'}, 'google/bert'),
    ({'x': 'sentence-transformers/all-MiniLM-L6-v2'}, 'minilm-l6'),
    ({'x': 'sentence-transformers/all-mpnet-base-v2'}, 'mpnet-base')])
def test_the_base_that_files_name(stated, name):
  assert origins.named(stated) == name


def test_a_folder_in_place_of_a_name_is_asked_for(tmp_path):
  for name in ('/home/me/model', 'out/last/model', str(tmp_path), 3):
    with pytest.raises(
        errors.UserError, match=f'^`checkpoint`: y names the base {name}, '):
      origins.named({'x': None, 'y': name})


def test_members_of_a_setup(checkpoint, tmp_path, caplog):
  bank = {name: bank_test.make() for name in 'ab'}
  exchange.write(tmp_path, composing.compose(bank, 'stack(a, b)'), 'adapterhub',
                 checkpoint=checkpoint)
  for name in bank:
    change(tmp_path / name / 'adapter_config.json', model_name='bert-large')
  exchange.read(tmp_path, tiny.CONFIG, checkpoint=checkpoint)
  assert len(caplog.records) == 1
  change(tmp_path / 'a' / 'adapter_config.json', model_type='mpnet')
  with pytest.raises(errors.UserError, match='model_type=mpnet'):
    exchange.read(tmp_path, tiny.CONFIG)
