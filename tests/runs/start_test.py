"""Training on from a saved adapter."""

import dataclasses
import logging
import shutil
from unittest import mock

import jax
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.api import started
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import run
from adapters_jax.runs import session
from adapters_jax.runs import start as start_lib
from adapters_jax.runs import task_checks
from adapters_jax.runs.kinds import classification
from adapters_jax.runs.kinds import tagging
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import vmapped
from tests import tiny
from tests.adapters import bank_test

# A rate at which a step changes nothing that float32 shows.
STILL = {'buckets': 0, 'batch_size': 16, 'max_steps': 1, 'learning_rate': 1e-30}
TEXTS = ['good film', 'bad plot', 'great film', 'dull plot'] * 4


def made(base, method, labels=('no', 'yes'), **changed):
  """Returns an untrained adapter with random leaves, as if for texts."""
  return dataclasses.replace(
      bank_test.make(method, layers=base.config.layers), **{
          'base': base.identity, 'labels': labels, 'max_length': 12, **changed})


def examples(names):
  return aj.Examples(TEXTS, [names[row % 2] for row in range(len(TEXTS))])


def differing(one, other):
  """Returns the paths whose leaves differ or that only one tree has."""
  one, other = trees.flatten(one.tuned), trees.flatten(other.tuned)
  return {path for path in {*one, *other} if path not in one
          or path not in other or one[path].shape != other[path].shape
          or np.abs(one[path] - other[path]).max() > 1e-20}


@pytest.mark.parametrize('method', [
    'houlsby[size=3]', *(
        pytest.param(text, marks=pytest.mark.slow) for text in (
            'lora[r=2]', 'vera[r=2]',
            'prompt_tuning[prompt_length=2, prompt_init=from_string, '
            "prompt_init_text='a film']"))])
def test_all_leaves_are_those_of_the_start(base, method):
  start = made(base, method)
  found = aj.train(base, examples(['no', 'yes']), start=start, **STILL)
  assert not differing(found, start)
  assert (found.method, found.max_length) == (start.method, 12)
  again = aj.train(base, examples(['no', 'yes']), start.method, start=start,
                   **{**STILL, 'learning_rate': 1e-2})
  changed = {trees.role(path) for path in differing(again, start)}
  assert changed == {'adapter', 'head', 'norm'}


def test_the_head_follows_the_names_of_the_classes(base):
  start = made(base, 'lora[r=2]', labels=('yes', 'no'))
  found = aj.train(base, examples(['no', 'yes']), start=start, **STILL)
  assert found.labels == ('no', 'yes')
  assert differing(found, start) == {'head/kernel', 'head/bias'}
  np.testing.assert_array_equal(
      found.tuned['head']['kernel'], start.tuned['head']['kernel'][:, ::-1])
  one, = aj.predict(base, found, TEXTS[:1])
  other, = aj.predict(base, start, TEXTS[:1])
  assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


@pytest.mark.parametrize('labels, reason, level', [
    (('ham', 'spam'), 'has the classes no, yes, and the task the classes ham',
     'WARNING'),
    pytest.param((0.5, 1.0), 'and the task a score', 'WARNING',
                 marks=pytest.mark.slow),
    ((['ham'], []), 'of the kind cls, not multilabel', 'INFO')])
def test_another_task_gets_a_new_head(base, labels, reason, level, caplog):
  start = made(base, 'lora[r=2]')
  with caplog.at_level(logging.INFO, 'adapters_jax'):
    found = aj.train(base, examples(labels), start=start, **STILL)
  line, = (one for one in caplog.records if reason in one.getMessage())
  assert line.levelname == level
  assert differing(found, start) == {'head/kernel', 'head/bias'}
  assert start.outputs == 2


def test_the_way_to_keep_a_head_is_named_and_works(base, caplog):
  start = made(base, 'lora[r=2]', labels=('maybe', 'no', 'yes'))
  head = {name: np.concatenate([leaf, leaf[..., :1]], -1)
          for name, leaf in start.tuned['head'].items()}
  start = dataclasses.replace(start, tuned={**start.tuned, 'head': head})
  some, names = examples(['no', 'yes']), ['maybe', 'no', 'yes']
  aj.train(base, some, start=start, **STILL)
  assert 'give Examples the `names` of all its classes' in caplog.text
  caplog.clear()
  found = aj.train(base, dataclasses.replace(some, names=names), start=start,
                   **STILL)
  assert not differing(found, start) and 'again' not in caplog.text
  bare = dataclasses.replace(made(base, 'lora[r=2]'), labels=())
  aj.train(base, some, start=bare, **STILL)
  assert 'with dataclasses.replace(adapter, labels=...)' in caplog.text
  caplog.clear()
  found = aj.train(
      base, some, start=dataclasses.replace(bare, labels=('no', 'yes')),
      **STILL)
  assert not differing(found, bare) and 'again' not in caplog.text


def test_an_adapter_without_head_or_norms(base, caplog):
  start = made(base, 'lora[r=2]')
  tuned, _ = trees.split(
      start.tuned, lambda path: trees.role(path) == 'adapter')
  start = dataclasses.replace(start, tuned=tuned, labels=(), base='')
  with caplog.at_level(logging.INFO, 'adapters_jax'):
    found = aj.train(base, examples(['no', 'yes']), start=start, **STILL)
  assert 'initialised again, as it has none' in caplog.text
  assert differing(found, start) == {'head/kernel', 'head/bias'}
  # Norms in addition, from those of the base.
  more = aj.train(base, examples(['no', 'yes']), start=start, tune_norms=True,
                  **STILL)
  assert {trees.role(path) for path in differing(more, found)} == {'norm'}


@pytest.mark.parametrize('form', ['adapterhub', 'peft', 'merged'])
def test_adapters_of_any_origin(base, form, tmp_path):
  start = made(base, 'lora[r=2]', head_input='pooler')
  if form == 'merged':
    start = aj.merge({'a': start, 'b': start})
  else:
    aj.export(start, str(tmp_path), form, base=base)
    start = aj.load_adapter(str(tmp_path), base)
  assert start.labels == ('no', 'yes')
  found = aj.train(base, examples(['no', 'yes']), start=start, **STILL)
  assert not differing(found, start)
  assert found.head_input == 'pooler'


def test_norms_that_stay_are_a_part_of_the_result(base):
  start = made(base, 'lora[r=2]')
  found = aj.train(base, examples(['no', 'yes']), start=start, tune_norms=False,
                   **{**STILL, 'learning_rate': 1e-2})
  assert {trees.role(path) for path in differing(found, start)} == {
      'adapter', 'head'}


def test_the_layers_of_the_norms_follow_from_the_leaves(two_layers_base):
  base = two_layers_base
  start = made(base, 'lora[r=2, leave_out=[0]]')
  dropped = aj.drop_layers(base, made(base, 'lora[r=2]'), 1)
  same = dataclasses.replace(start, tuned=trees.split(
      start.tuned, lambda path: trees.role(path) != 'norm'
      or trees.layer_of(path) == 1)[0])
  bare = dataclasses.replace(
      start, settings={'norm_layers': 'same'}, tuned=trees.split(
          start.tuned, lambda path: trees.role(path) != 'norm')[0])
  for adapter, norms, layers in (
      (start, True, 'all'), (same, True, 'same'), (dropped, True, 'same'),
      (aj.merge({'a': same, 'b': same}), True, 'same'), (bare, False, 'same')):
    found = start_lib.settings_of(adapter, 2)
    assert (found['tune_norms'], found['norm_layers']) == (norms, layers)
  # No norm of the base is trained that the start leaves alone.
  found = aj.train(base, examples(['no', 'yes']), start=same, **STILL)
  assert not differing(found, same)


@pytest.mark.slow
def test_words_and_pairs_from_a_classifier(base):
  start = made(base, 'lora[r=2]', head_input='pooler')
  words = aj.TaggedExamples([['good', 'film']] * 6, [['A', 'B']] * 6)
  found = aj.train(base, words, start=start, **STILL)
  assert found.head_input == 'tags'
  assert differing(found, start) == {'head/kernel', 'head/bias'}
  again = aj.train(base, words, start=found, **STILL)
  assert not differing(again, found)
  pairs = aj.Pairs([(a, b) for a in TEXTS[:2] for b in TEXTS[:3]])
  found = aj.train(base, pairs, start=start, pooling='cls', **STILL)
  assert found.head_input == 'embedding_cls' and 'head' not in found.tuned
  again = aj.train(base, pairs, start=found, **STILL)
  assert again.head_input == 'embedding_cls'
  assert not differing(again, found)


@pytest.mark.slow
@pytest.mark.parametrize('method, changed', [
    ('norms', {}), ('head', {}), ('bias', {}), ('full', {}),
    ('top_k', {'top_k': 1})])
def test_weights_of_the_base(two_layers_base, method, changed, tmp_path):
  base = two_layers_base
  texts = examples(['no', 'yes'])
  start = aj.train(base, texts, method, max_length=12,
                   **{**STILL, 'learning_rate': 1e-2, **changed})
  assert 'adapter' not in {trees.role(path) for path in trees.flatten(
      start.tuned)}
  start.save(str(tmp_path))
  loaded = aj.load_adapter(str(tmp_path), base)
  assert aj.predict(base, loaded, TEXTS) == aj.predict(base, start, TEXTS)
  start = loaded
  assert start_lib.settings_of(start, 2)['tune'] == method
  found = aj.train(base, texts, start=dataclasses.replace(start, settings={}),
                   **STILL)
  assert not differing(found, start)


@pytest.mark.slow
def test_above_a_frozen_adapter(base):
  under = made(base, 'houlsby[size=3]')
  both = aj.train(base, examples(['no', 'yes']), 'lora[r=2]', under=under,
                  max_length=12, **{**STILL, 'learning_rate': 1e-2})
  with pytest.raises(aj.UserError, match=r"aj.member\(adapter, 'task'\)"):
    aj.train(base, examples(['no', 'yes']), start=both, **STILL)
  found = aj.train(base, examples(['no', 'yes']), under=under,
                   start=aj.member(both, 'task'), **STILL)
  assert not differing(found, both)
  assert str(found.setup) == str(both.setup)


@pytest.mark.parametrize('change, call, message', [
    ({}, {'method': 'lora[r=3]'}, r'`method=lora.r=3.`: .*lora.r=2.; leave'),
    ({}, {'method': 'full'}, '`method=full`: .*leave it out'),
    ({'base': 'other@0'}, {}, 'is not the base that the adapter of `start`'),
    ({'hidden_activation': 'relu'}, {'hidden_activation': 'gelu'},
     'adapter of `start` was trained with relu'),
    ({'tuned': {}}, {}, 'no trained parameters'),
    ({'tuned': {'encoder': {'layer_9': {'ffn_norm': {'scale': np.ones(12)}}}}},
     {}, 'adapter of `start` does not fit.*layer_9')])
def test_what_cannot_start(base, change, call, message):
  start = dataclasses.replace(made(base, 'lora[r=2]'), **change)
  with pytest.raises(aj.UserError, match=message):
    aj.train(base, examples(['no', 'yes']), start=start, **STILL, **call)


def test_another_type(base):
  with pytest.raises(aj.UserError, match='`start`: give an Adapter.*not str'):
    aj.train(base, examples(['no', 'yes']), start='runs/film')


@pytest.fixture(scope='module')
def saved(base, tmp_path_factory):
  """Folder of an adapter with a head on the pooler."""
  folder = str(tmp_path_factory.mktemp('start') / 'film')
  made(base, 'lora[r=2]', head_input='pooler').save(folder)
  return folder


def config_of(checkpoint, own_files, workdir, saved, **changed):
  values = started.settings(saved, checkpoint)
  return tiny.run_config(checkpoint, own_files, workdir, **{
      'adapter_size': config_lib.Config.adapter_size, 'start': saved,
      'buckets': 0,
      **values, **changed})


@pytest.fixture(scope='module')
def finished(checkpoint, own_files, saved, tmp_path_factory):
  """(settings, record) of a run from the saved adapter."""
  config = config_of(
      checkpoint, own_files, str(tmp_path_factory.mktemp('run') / 'one'), saved)
  with mock.patch.object(session, 'enable_compilation_cache'):
    return config, run.run(config, 'glue')


@pytest.mark.slow
def test_the_flag(tmp_path, saved, finished):
  config, record = finished
  assert (config.head_input, config.adapter_config) == ('pooler', 'lora[r=2]')
  assert started.for_kind(config, classification.KIND) == config
  assert started.for_kind(config, tagging.KIND).head_input == 'cls'
  name, _, digest = record.config['start'].partition('@')
  assert name == 'film' and len(digest) == 16
  assert engine.with_absolute_paths(config, 'glue').start == saved
  # A copy in another folder makes the same run, no start makes another one.
  copy = str(tmp_path / 'film')
  shutil.copytree(saved, copy)
  assert run.run(dataclasses.replace(config, start=copy), 'glue') == record
  digest = identity.digest(record.config)
  assert digest == identity.digest(identity.portable(config))
  plain = identity.portable(dataclasses.replace(config, start=''))
  assert identity.digest(plain) != digest
  del plain['start']  # As in records of earlier versions.
  assert identity.digest(plain) == identity.digest({**plain, 'start': ''})


@pytest.mark.slow
def test_runs_of_a_group(checkpoint, own_files, tmp_path, saved, finished):
  configs = [config_of(checkpoint, own_files, str(tmp_path / f'group{seed}'),
                       saved, seed=seed) for seed in (0, 1)]
  found = vmapped.run_unit(configs, 'glue', classification.KIND)
  config, alone = finished
  assert found[0].metrics == alone.metrics
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
      *(adapter_lib.load(one.workdir).tuned for one in (configs[0], config)))


@pytest.mark.parametrize('changed, message', [
    ({'adapter_config': 'lora[r=3]'}, '`adapter_config=.*method lora.r=2'),
    ({'tune': 'full', 'adapter_config': ''}, '`tune=full`: .*tune=adapters'),
    ({'start': '/nowhere'}, 'no folder /nowhere')])
def test_settings_that_cannot_be(
    checkpoint, own_files, tmp_path, saved, changed, message):
  config = config_of(checkpoint, own_files, str(tmp_path), saved, **changed)
  with pytest.raises(errors.UserError, match=message):
    task_checks.check_run(config, 'glue')
