"""Tests of folders that get exports of several formats, one after another."""

import dataclasses
import itertools
import json
import os

import jax
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import composing
from adapters_jax.adapters import exchange
from adapters_jax.adapters import folders
from adapters_jax.adapters import formats
from adapters_jax.adapters import locations
from adapters_jax.model import base as base_lib
from tests import tiny
from tests.adapters import bank_test

FORMS = ('own', 'adapterhub', 'setup', 'peft', *formats.WHOLE)
NEXT = {*zip(FORMS, FORMS[1:] + FORMS), *zip(FORMS[::-1], FORMS[-2::-1])}
# Not for a second export: the first one would be lost, or change the second.
FOREIGN = ('adapterhub', 'setup', 'peft')
REFUSED = {
    **{('own', form): '`path=.*holds an adapter in our format; name another'
       for form in FORMS if form != 'own'},
    **{(form, whole): 'adapter of another library'
       for form in FOREIGN for whole in formats.WHOLE},
    **{(whole, form): '`path=.*holds a whole model; name another'
       for form in FOREIGN for whole in formats.WHOLE},
    **{(whole, 'own'): 'that of a model' for whole in formats.WHOLE}}


def adapter_of(form, seed):
  """Returns an adapter that a format holds."""
  if form != 'setup':
    return dataclasses.replace(
        bank_test.make('lora[r=2]', seed), head_input='pooler')
  return composing.compose(
      {name: bank_test.make(seed=seed) for name in 'ab'},
      'stack(a, b, norms=last)')


def write(folder, form, seed, checkpoint):
  adapter = adapter_of(form, seed)
  exchange.write(folder, adapter, 'adapterhub' if form == 'setup' else form,
                 checkpoint=checkpoint)
  return adapter


@pytest.mark.parametrize('first, second', [
    pytest.param(*two, marks=() if two in NEXT else pytest.mark.slow)
    for two in itertools.product(FORMS, FORMS)])
def test_the_last_export_is_read(first, second, checkpoint, tmp_path):
  folder = str(tmp_path / 'x')
  write(folder, first, 0, checkpoint)
  if message := REFUSED.get((first, second)):
    before = {path: path.read_bytes() for path in (tmp_path / 'x').iterdir()
              if path.is_file()}
    with pytest.raises(errors.UserError, match=message):
      write(folder, second, 1, checkpoint)
    assert all(path.read_bytes() == then for path, then in before.items())
    return
  wanted = write(folder, second, 1, checkpoint)
  if second in formats.WHOLE:
    assert os.path.isfile(os.path.join(folder, 'modules.json')) == (
        second == 'sentence_transformers')
    assert base_lib.load(folder).config.dim == tiny.CONFIG.dim
    assert locations.find_format(folder) == 'transformers'
    return
  back = exchange.read(folder, tiny.CONFIG)
  jax.tree.map(
      np.testing.assert_array_equal, back.tuned['encoder'],
      wanted.tuned['encoder'])


def test_files_of_others_are_left(checkpoint, tmp_path):
  folder = tmp_path / 'x'
  folder.mkdir()
  (folder / 'notes.txt').write_text('mine')
  (folder / 'config.json').write_text('{"model_type": "bert"}')
  write(str(folder), 'peft', 1, checkpoint)
  assert {'notes.txt', 'config.json'} <= {*os.listdir(folder)}
  with pytest.raises(errors.UserError, match='of a model'):
    adapter_of('own', 0).save(folder)
  assert json.loads((folder / 'config.json').read_text()) == {
      'model_type': 'bert'}


@pytest.mark.parametrize('name, message', [
    ('own/tuned.safetensors', '`path=.*: it is a file; give its folder, .*own'),
    ('own/config.json', '`path=.*: it is a file; give its folder, .*own$'),
    ('model', '`base`: .*model is a whole model; load_base reads it, and'),
    ('empty', '`path=.*there is no tuned.safetensors')])
def test_what_is_no_folder_of_an_adapter(checkpoint, tmp_path, name, message):
  write(str(tmp_path / 'own'), 'own', 0, checkpoint)
  tiny.write_checkpoint(str(tmp_path / 'model'))
  (tmp_path / 'empty').mkdir()
  with pytest.raises(errors.UserError, match=message):
    aj.load_adapter(tmp_path / name)


@pytest.mark.parametrize('form', ['own', 'adapterhub', 'setup', 'run', 'file'])
def test_what_is_no_folder_of_a_base(checkpoint, tmp_path, form):
  path = tmp_path / 'adapter'
  write(str(path), form if form in FORMS else 'own', 0, checkpoint)
  path = {'run': tmp_path, 'file': path / folders.WEIGHTS}.get(form, path)
  wanted = ('it is a file; give its folder, .*adapter$' if form == 'file' else
            'it is an adapter, which load_adapter reads; give its base$')
  with pytest.raises(errors.UserError, match=f'^`checkpoint={path}`: {wanted}'):
    aj.load_base(path)


def test_exports_around_a_run(checkpoint, tmp_path):
  work = tmp_path / 'work'
  own = write(str(work / 'adapter'), 'own', 0, checkpoint)
  (work / 'run.json').write_text('{}')
  with pytest.raises(errors.UserError, match='`path=.*holds an adapter in our'):
    write(str(work / 'adapter'), 'peft', 1, checkpoint)
  assert locations.find_format(str(work)) == 'own'
  for seed, place in enumerate((work / 'peft', work), 1):
    wanted = write(str(place), 'peft', seed, checkpoint)
    back = exchange.read(str(place), tiny.CONFIG)
    jax.tree.map(np.testing.assert_array_equal, back.tuned['encoder'],
                 wanted.tuned['encoder'])
  back = exchange.read(str(work / 'adapter'), tiny.CONFIG)
  jax.tree.map(np.testing.assert_array_equal, back.tuned, own.tuned)


def test_a_model_is_not_written_over_its_base(tmp_path):
  base = tiny.write_checkpoint(str(tmp_path / 'base'))
  before = (tmp_path / 'base' / 'model.safetensors').read_bytes()
  for form, message in (*((whole, 'of the base') for whole in formats.WHOLE),
                        ('own', 'of a model')):
    with pytest.raises(errors.UserError, match=message):
      write(base, form, 0, base)
  assert (tmp_path / 'base' / 'model.safetensors').read_bytes() == before


def test_variables_are_a_file(tmp_path):
  adapter = dataclasses.replace(
      bank_test.make('bottleneck[size=3, activation=gelu_tanh]'),
      head_input='pooler')
  path = tmp_path / 'x'
  exchange.write(path, adapter, 'adapter_bert')
  assert locations.find(path) == f'{path}.npz'
  back = exchange.read(f'{path}.npz', tiny.CONFIG)
  jax.tree.map(np.testing.assert_array_equal, back.tuned, adapter.tuned)
  adapter.save(path)
  with pytest.raises(errors.UserError, match='`path=.*folder of an adapter'):
    exchange.write(path, adapter, 'adapter_bert')


def test_paths_in_the_home_folder(tmp_path, monkeypatch):
  home = tmp_path / 'home'
  tiny.write_checkpoint(str(home / 'base'))
  (tmp_path / 'here').mkdir()
  monkeypatch.chdir(tmp_path / 'here')
  monkeypatch.setenv('HOME', str(home))
  base = aj.load_base('~/base')
  assert base.checkpoint == str(home / 'base')
  adapter = dataclasses.replace(bank_test.make('lora[r=2]'), base=base.identity)
  adapter.save('~/x')
  assert aj.load_adapter('~/x').methods == adapter.methods
  aj.export(adapter, '~/y', 'adapterhub', head=False)
  assert aj.load_adapter('~/y', base).methods == adapter.methods
  assert {one.name for one in home.iterdir()} == {'base', 'x', 'y'}
  assert not list((tmp_path / 'here').iterdir())
  with pytest.raises(errors.UserError, match=(
      f"^`checkpoint`: '{home}/nope' is neither .*; check the name$")):
    aj.load_base('~/nope')
