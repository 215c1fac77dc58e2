"""Tests of adapters of all formats on a hub on this machine's loopback."""

import dataclasses
import json
import shutil

from huggingface_hub import constants
import jax
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax.adapters import composing
from adapters_jax.adapters import exchange
from adapters_jax.adapters import prediction
from adapters_jax.api.commands import convert
from adapters_jax.api.commands import predict
from adapters_jax.downloads import hub
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import run
from tests import tiny
from tests.adapters import bank_test
from tests.adapters import locations_test
from tests.downloads import hub_test

local_hub = hub_test.local_hub


@pytest.mark.parametrize('form', ['own', 'adapterhub', 'setup', 'peft'])
def test_an_adapter_by_its_name(
    form, local_hub, checkpoint, tmp_path, monkeypatch):
  folder = str(tmp_path / 'saved')
  locations_test.write(folder, form, 0, checkpoint)
  monkeypatch.setitem(hub_test._Hub.folders, 'me/film', folder)
  base = aj.load_base(checkpoint)
  wanted = aj.load_adapter(folder, base)
  found = aj.load_adapter('me/film', base)
  assert found.method == wanted.method
  jax.tree.map(np.testing.assert_array_equal, found.tuned, wanted.tuned)
  if form == 'own':  # Its files state the shape of the base.
    assert aj.load_adapter('me/film').method == wanted.method
  # Without a network it is in the cache.
  hub.forget()
  local_hub.shutdown()
  local_hub.server_close()
  assert aj.load_adapter('me/film', base).method == wanted.method


def test_a_fusion_by_its_name(local_hub, checkpoint, tmp_path, monkeypatch):
  fused = composing.compose(
      {name: bank_test.make() for name in 'ab'}, 'fuse(a, b, norms=base)')
  rng = np.random.default_rng(0)
  for layer in fused.tuned['encoder'].values():
    for site in ('attention_output', 'ffn_output'):
      layer[f'adapter_fusion_{site}_0'] = {
          name: {'kernel': rng.standard_normal((12, 12), np.float32),
                 **({} if name == 'value' else {'bias': np.ones(12)})}
          for name in ('query', 'key', 'value')}
  folder = str(tmp_path / 'fused')
  exchange.write(folder, fused, 'adapterhub', checkpoint=checkpoint, head=False)
  monkeypatch.setitem(hub_test._Hub.folders, 'me/fused', folder)
  base = aj.load_base(checkpoint)
  jax.tree.map(
      np.testing.assert_array_equal, aj.load_adapter('me/fused', base).tuned,
      aj.load_adapter(folder, base).tuned)


def test_a_conversion_takes_the_base_that_the_files_name(
    local_hub, checkpoint, tmp_path):
  folder, target = tmp_path / 'peft', tmp_path / 'own'
  locations_test.write(folder, 'peft', 0, checkpoint)
  path = folder / 'adapter_config.json'
  values = json.loads(path.read_text())
  path.write_text(json.dumps(
      {**values, 'base_model_name_or_path': 'tiny-bert'}))
  convert.convert(folder, target, 'own')
  assert aj.load_adapter(target).base == aj.load_base('tiny-bert').identity
  path.write_text(json.dumps(
      {**values, 'base_model_name_or_path': '/home/me/bert'}))
  with pytest.raises(aj.UserError, match='`checkpoint`: .* /home/me/bert, '):
    convert.convert(folder, target, 'own')
  convert.convert(folder, target, 'own', checkpoint=checkpoint)
  assert aj.load_adapter(target).base == aj.load_base(checkpoint).identity


def test_a_repository_without_an_adapter(local_hub):
  with pytest.raises(aj.UserError, match='`path=tiny-bert`.*tuned.safetensors'):
    aj.load_adapter('tiny-bert')
  # The config of a model alone is not asked for.
  assert 'config.json' not in hub_test._Hub.asked


def test_the_head_of_a_whole_model_by_its_name(
    local_hub, checkpoint, tmp_path, monkeypatch):
  adapter = locations_test.write(
      str(tmp_path / 'x'), 'transformers', 0, checkpoint)
  monkeypatch.setitem(hub_test._Hub.folders, 'me/sst', str(tmp_path / 'x'))
  base = aj.load_base('me/sst')
  found = aj.load_adapter('me/sst', base)
  assert (found.methods, found.base) == ((), base.identity)
  jax.tree.map(np.testing.assert_array_equal, found.tuned['head'],
               adapter.tuned['head'])
  with pytest.raises(aj.UserError, match='`path=me/sst`: it is neither'):
    aj.load_adapter('me/sst', aj.load_base(checkpoint))


def test_a_base_of_the_hub_whose_weights_change(
    local_hub, tmp_path, monkeypatch):
  base = aj.load_base('tiny-bert')
  film = aj.train(
      base, aj.Examples(['good', 'bad'] * 8, ['yes', 'no'] * 8), 'lora[r=2]',
      max_steps=1, buckets=1, max_length=8, head_input='pooler')
  assert film.base == base.identity and film.base.startswith('tiny-bert#')
  film.save(str(tmp_path / 'film'))
  path = str(tmp_path / 'run' / 'adapter')
  film.save(path)
  assert prediction.load(path)[0].identity == film.base
  # As before hashes were kept: the name alone.
  old = dataclasses.replace(film, base='tiny-bert')
  assert aj.predict(base, old, ['good']) == aj.predict(base, film, ['good'])
  merged = aj.merge({'a': film, 'b': old})
  assert merged.base == film.base
  aj.export(film, str(tmp_path / 'peft'), 'peft', base=base)
  settings = json.loads((tmp_path / 'peft/adapter_config.json').read_text())
  assert settings['base_model_name_or_path'] == 'tiny-bert'

  then = shutil.copytree(hub_test._Hub.folders['tiny-bert'], tmp_path / 'then')
  tiny.write_checkpoint(hub_test._Hub.folders['tiny-bert'], seed=1)
  monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'new'))
  hub.forget()
  now = aj.load_base('tiny-bert')
  for call in (lambda: aj.predict(now, film, ['good']),
               lambda: aj.load_adapter(str(tmp_path / 'film'), now),
               lambda: prediction.load(path)):
    with pytest.raises(aj.UserError, match='weights of tiny-bert on the hub'):
      call()
  again = aj.load_base(str(then))
  assert aj.predict(again, film, ['good']) == aj.predict(base, film, ['good'])
  monkeypatch.setitem(hub_test._Hub.folders, 'tiny-bert@then', str(then))
  again = aj.load_base('tiny-bert@then')
  assert again.identity == film.base.replace('#', '@then#')
  for adapter in (film, old):
    assert aj.predict(again, adapter, ['good']) == aj.predict(
        base, film, ['good'])


@pytest.mark.slow
def test_flags_take_names(local_hub, tmp_path, monkeypatch, capsys):
  """Those of prediction and training, where a folder may stand."""
  base = aj.load_base('tiny-bert')
  words = aj.Examples(['good', 'bad'] * 8, ['yes', 'no'] * 8)
  film = aj.train(base, words, 'lora[r=2]', max_steps=1, buckets=0,
                  max_length=8)
  film.save(str(tmp_path / 'film'))
  monkeypatch.setitem(
      hub_test._Hub.folders, 'me/film', str(tmp_path / 'film'))
  texts = tmp_path / 'texts'
  texts.write_text('good\n')
  for flags in ({'adapter': 'me/film'},
                {'adapters': 'me/film', 'format': 'jsonl'}):
    predict.main(predict.PredictConfig(input=str(texts), **flags))
    assert aj.predict(base, film, ['good'])[0].label in capsys.readouterr().out
  texts.with_suffix('.tsv').write_text(
      'sentence\tlabel\n' + 'good\tyes\nbad\tno\n' * 8)
  own = dict(
      checkpoint='tiny-bert', train_file=str(texts.with_suffix('.tsv')),
      dev_fraction=0.2, buckets=0, max_length=8, max_steps=1)
  started, stacked = (
      run.run(config_lib.Config(
          **own, **flags, workdir=str(tmp_path / name)), 'glue')
      for name, flags in (
          ('started', {'start': 'me/film', 'adapter_config': 'lora[r=2]'}),
          ('stacked', {'adapters': 'me/film'})))
  assert started.config['start'].startswith('film@')
  assert stacked.config['adapters'].startswith('film@')
  with pytest.raises(aj.UserError, match='`adapter`: there is no folder me/x'):
    predict.main(predict.PredictConfig(adapter='me/x', input=str(texts)))
  # A folder of that name wins, and a folder above shows a misspelt one.
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'me').mkdir()
  hub_test._Hub.asked.clear()
  with pytest.raises(aj.UserError, match='`adapter`: there is no folder me/'):
    predict.main(predict.PredictConfig(adapter='me/film', input=str(texts)))
  assert not hub_test._Hub.asked


def test_an_adapter_for_a_revision(local_hub, tmp_path, monkeypatch):
  folder = tiny.write_checkpoint(str(tmp_path / 'v1'), seed=1)
  monkeypatch.setitem(hub_test._Hub.folders, 'tiny-bert@v1', folder)
  base = aj.load_base('tiny-bert@v1')
  film = aj.train(
      base, aj.Examples(['good', 'bad'] * 8, ['yes', 'no'] * 8), 'lora[r=2]',
      max_steps=1, buckets=1, max_length=8, head_input='pooler')
  path = str(tmp_path / 'run' / 'adapter')
  film.save(path)
  # By itself it finds the weights of its training.
  found, loaded = prediction.load(path)
  assert found.identity == film.base == base.identity
  assert found.checkpoint == 'tiny-bert@v1'
  assert aj.predict(found, loaded, ['good']) == aj.predict(
      base, film, ['good'])
  with pytest.raises(aj.UserError, match='give tiny-bert@REVISION'):
    aj.predict(aj.load_base('tiny-bert'), film, ['good'])
  aj.export(film, str(tmp_path / 'peft'), 'peft', base=base)
  settings = json.loads((tmp_path / 'peft/adapter_config.json').read_text())
  assert settings['base_model_name_or_path'] == 'tiny-bert'
  # An adapter's own repository has revisions too.
  monkeypatch.setitem(hub_test._Hub.folders, 'me/film', str(tmp_path / 'peft'))
  monkeypatch.setitem(hub_test._Hub.folders, 'me/film@v2', path)
  assert aj.load_adapter('me/film@v2').base == film.base
