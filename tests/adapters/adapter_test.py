"""Tests of adapters as values, saved and loaded."""

import dataclasses
import json
import os

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import folders
from adapters_jax.adapters import storage
from adapters_jax.api import face
from adapters_jax.methods import strings
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax import trees
from tests.adapters import bank_test


def saved(folder):
  """Returns the JSON value saved with an adapter."""
  with open(os.path.join(folder, folders.SETTINGS), encoding='utf-8') as file:
    return json.load(file)


@pytest.mark.parametrize('text', [
    'bottleneck[size=3]', 'lora[r=2, sites=("query", "value")]|seq_bn[size=3]',
    'prefix_tuning_flat[prefix_length=3]', 'vera[r=4]', ''])
def test_saved_and_loaded(text, tmp_path):
  adapter = bank_test.make(text) if text else dataclasses.replace(
      bank_test.make(), methods=(), tuned=trees.split(
          bank_test.make().tuned,
          lambda path: trees.role(path) in ('norm', 'head'))[0])
  adapter = dataclasses.replace(
      adapter, head_input='pooler', labels=('no', 'yes'),
      texts=('premise', 'hypothesis'), max_length=20,
      base='tiny@0123456789abcdef',
      task='toy', scores={'dev': {'accuracy': 0.5}},
      hidden_activation='gelu_tanh', family='mpnet', settings={'seed': 3})
  adapter.save(str(tmp_path / 'run' / 'adapter'))
  for folder in ('run', 'run/adapter'):  # The workdir has it inside.
    back = adapter_lib.load(str(tmp_path / folder))
    assert dataclasses.replace(back, tuned=adapter.tuned) == adapter
    jax.tree.map(np.testing.assert_array_equal, back.tuned, adapter.tuned)
  other = bank_test.make('lora[r=1]')
  other.save(str(tmp_path / 'run'))  # Into the workdir itself.
  assert adapter_lib.load(str(tmp_path / 'run')).methods == other.methods
  assert list(saved(tmp_path / 'run' / 'adapter')) == [
      'format', 'task', 'labels', 'texts', 'config', 'adapter', 'sha256']


def test_any_changed_byte_is_an_error_or_means_the_same(tmp_path):
  adapter = dataclasses.replace(
      bank_test.make(), labels=('no', 'yes'), settings={'seed': 3})
  adapter.save(str(tmp_path))
  rng = np.random.default_rng(0)
  for name in (folders.SETTINGS, folders.WEIGHTS):
    whole = (tmp_path / name).read_bytes()
    changes = [b'', whole[:-1], whole[:len(whole) // 2], whole + b'x']
    for place in rng.integers(0, len(whole), 40):
      changed = bytearray(whole)
      changed[place] ^= 1 << rng.integers(8)
      changes.append(bytes(changed))
    for change in changes:
      (tmp_path / name).write_bytes(change)
      try:
        back = adapter_lib.load(str(tmp_path))
      except errors.UserError as error:
        assert '\n' not in str(error)
      else:  # Such as a blank of JSON.
        assert dataclasses.replace(back, tuned=adapter.tuned) == adapter
        jax.tree.map(np.testing.assert_array_equal, back.tuned, adapter.tuned)
    (tmp_path / name).write_bytes(whole)


@pytest.mark.parametrize('change, message', [
    (lambda flat: flat['head/kernel'].fill(np.nan), 'NaN.*: head/kernel'),
    (lambda flat: flat.pop('head/bias'), 'has no head/bias'),
    (lambda flat: flat.update({'head': np.ones(2)}), 'is a leaf too')])
def test_damaged_weights_of_an_earlier_version(change, message, tmp_path):
  bank_test.make().save(str(tmp_path))
  path = tmp_path / folders.WEIGHTS
  flat = safetensors_numpy.load_file(path)
  change(flat)
  safetensors_numpy.save_file(flat, path)
  with pytest.raises(errors.UserError, match='has changed'):
    adapter_lib.load(str(tmp_path))
  value = saved(tmp_path)
  del value['sha256']
  (tmp_path / folders.SETTINGS).write_text(json.dumps(value))
  with pytest.raises(errors.UserError, match=f'{path}.*{message}'):
    adapter_lib.load(str(tmp_path))


def test_deep_settings(tmp_path):
  bank_test.make().save(str(tmp_path))
  (tmp_path / folders.SETTINGS).write_text('[' * 100000)
  with pytest.raises(errors.UserError, match='config.json.*too deeply'):
    adapter_lib.load(str(tmp_path))


def test_a_change_by_hand_needs_the_hash_removed(tmp_path):
  bank_test.make().save(str(tmp_path))
  values = {**saved(tmp_path), 'labels': ['minus', 'plus']}
  path = tmp_path / folders.SETTINGS
  path.write_text(json.dumps(values))
  with pytest.raises(errors.UserError, match='remove "sha256"'):
    adapter_lib.load(str(tmp_path))
  del values['sha256']
  path.write_text(json.dumps(values))
  assert adapter_lib.load(str(tmp_path)).labels == ('minus', 'plus')


@pytest.mark.parametrize('left', [(), ('adapter/tuned.safetensors',)])
def test_an_unfinished_run_is_named(tmp_path, left):
  for name in ('run.json', *left):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('{}')
  with pytest.raises(errors.UserError, match='not finished.*`resume`'):
    adapter_lib.load(str(tmp_path))
  with pytest.raises(errors.UserError, match='not finished.*`resume`'):
    face.load_adapter(str(tmp_path))


@pytest.mark.parametrize('name, content, message', [
    ('adapter_config.json', {'peft_type': 'LORA'},
     'of another library; convert it: `adapters-jax convert --from='),
    ('adapter_setup.json', {}, 'of another library; convert it'),
    ('config.json', {'model_type': 'bert'}, 'a model.*as `checkpoint`'),
    ('config.json', {'format': 2}, 'not of format 1')])
def test_folders_of_other_kinds_are_named(name, content, message, tmp_path):
  (tmp_path / name).write_text(json.dumps(content))
  for read in (adapter_lib.load,
               lambda folder: folders.check_saved(folder, '`adapter`')):
    with pytest.raises(errors.UserError, match=f'{tmp_path}.*{message}'):
      read(str(tmp_path))
  # Beside files of this package, others are no fault.
  bank_test.make().save(tmp_path / 'own')
  (tmp_path / 'own' / 'adapter_config.json').write_text('{}')
  adapter_lib.load(str(tmp_path / 'own'))


@pytest.mark.parametrize('changed, method', [
    ({'adapter_size': 3}, 'bottleneck[size=3]'),
    ({'adapter_config': 'lora[r=2]'}, 'lora[r=2]'),
    ({'adapter_config': 'par_bn[size=3, stochastic_depth=0.1]'},
     'par_bn[size=3]'),
    ({'adapter_config': 'lora[r=2]', 'head_input': 'pooler', 'max_length': 7,
      'hidden_activation': 'gelu_tanh', 'checkpoint': 'tiny@0123456789abcdef'},
     'lora[r=2]')])
def test_folders_saved_before_load(changed, method, tmp_path):
  """Settings alone described an adapter before it described itself."""
  values = identity.portable(
      dataclasses.replace(config_lib.Config(), **changed))
  tuned = bank_test.make(method).tuned
  storage.save_tuned(str(tmp_path), tuned, {
      'task': 'toy', 'labels': ['no', 'yes'], 'texts': ['sentence'],
      'config': values})
  adapter = adapter_lib.load(str(tmp_path))
  assert adapter.methods == strings.parse(method)
  assert adapter.settings == values
  assert dataclasses.replace(adapter, tuned={}, settings={}) == (
      adapter_lib.Adapter(
          strings.parse(method), {}, labels=('no', 'yes'),
          texts=('sentence',), task='toy', base=values['checkpoint'],
          **{name: values[name]
             for name in ('head_input', 'max_length', 'hidden_activation')}))


@pytest.mark.parametrize('before, method', [
    ('par_bn[size=3, stochastic_depth=0.1]', 'par_bn[size=3]'),
    ('loreft[prefix_positions=0, suffix_positions=2]',
     'loreft[prefix_positions=0, suffix_positions=2]')])
def test_what_had_no_effect_before_is_dropped(before, method, tmp_path):
  adapter = bank_test.make(method)
  old = trees.flatten(adapter.tuned)
  if 'loreft' in before:  # The edit of no first token.
    old |= {path.replace('/suffix/', '/prefix/'): leaf + 1
            for path, leaf in old.items() if '/suffix/' in path}
    assert len(old) > len(trees.flatten(adapter.tuned))
  adapter.save(str(tmp_path))
  values = saved(tmp_path)
  values['adapter']['method'] = before
  del values['sha256']
  storage.save_tuned(str(tmp_path), trees.unflatten(old), values)
  found = adapter_lib.load(str(tmp_path))
  assert found.methods == adapter.methods
  assert trees.equal(found.tuned, adapter.tuned)


def test_an_adapter_of_questions_saved_before_reads_all_tokens(tmp_path):
  storage.save_tuned(str(tmp_path), bank_test.make().tuned, {
      'task': 'squad', 'labels': [], 'texts': ['question', 'context'],
      'config': {'adapter_size': 3}})
  adapter = adapter_lib.load(str(tmp_path))
  assert (adapter.head_input, adapter.classes) == ('tokens', ())
  assert adapter.base == 'minilm-l6'  # The default of an absent setting.


def test_versions_before_read_an_imported_adapter(tmp_path):
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), base='tiny@0123456789abcdef', max_length=20)
  adapter.save(str(tmp_path))
  values = saved(tmp_path)['config']
  assert adapter_lib.settings_lib.methods_of(values, 3) == adapter.methods
  assert set(values) <= {
      field.name for field in dataclasses.fields(config_lib.Config)}
  assert (values['checkpoint'], values['max_length']) == (
      'tiny@0123456789abcdef', 20)


@pytest.mark.parametrize('roles, wanted', [
    (('head',), 'head'), (('norm', 'head'), 'layer norms'),
    (('norm', 'head', 'encoder'), 'fine-tuned weights')])
def test_words_for_adapters_without_methods(roles, wanted):
  tree = {**bank_test.base(), 'head': bank_test.make().tuned['head']}
  tuned, _ = trees.split(tree, lambda path: trees.role(path) in roles)
  assert adapter_lib.Adapter((), tuned).method == wanted


def test_classes():
  adapter = bank_test.make()
  assert adapter.classes == ('0', '1')
  assert dataclasses.replace(adapter, labels=('a', 'b')).classes == ('a', 'b')
  assert dataclasses.replace(adapter, head_input='tokens').classes == ()
  with pytest.raises(errors.UserError, match='2 outputs, not 3'):
    dataclasses.replace(adapter, labels=('a', 'b', 'c')).classes


@pytest.mark.parametrize('head_input, outputs, fits', [
    ('cls', 2, True), ('cls', 3, False), ('cls', 1, False), ('cls', None, True),
    ('multilabel', 1, True), ('multilabel', 3, True), ('tags', 2, False),
    ('tokens', 2, False), ('multiple_choice', 1, False)])
def test_a_threshold_needs_two_classes_or_several_labels(
    head_input, outputs, fits):
  head = {} if outputs is None else {'head': {
      'kernel': np.zeros((12, outputs)), 'bias': np.zeros(outputs)}}
  adapter = dataclasses.replace(
      bank_test.make(), tuned=head, head_input=head_input, threshold=0.2)
  dataclasses.replace(adapter, threshold=None).check_labels()
  if fits:
    adapter.check_labels()
    return
  with pytest.raises(errors.UserError, match='^`threshold=0.2`: is for two cl'):
    adapter.check_labels()


@pytest.mark.parametrize('change, message', [
    (lambda value: value.pop('labels'), 'has no labels'),
    (lambda value: value.pop('task'), 'has no task'),
    (lambda value: value.update(labels='ab'), 'labels .*list of texts'),
    (lambda value: value.update(texts=[1]), 'texts .*list of texts'),
    (lambda value: value.update(config=1), 'config 1; it should be'),
    (lambda value: value['config'].update(adapter_config=1), 'adapter_config'),
    (lambda value: value['config'].update(max_length=[]), 'max_length'),
    (lambda value: value['config'].update(precision=1), 'precision'),
    (lambda value: value['adapter'].pop('method'), 'has no method'),
    (lambda value: value['adapter'].update(method='lorra'), 'mean lora'),
    (lambda value: value['adapter'].update(method=3), 'method 3; it'),
    (lambda value: value['adapter'].update(max_length=2**60), 'max_length'),
    (lambda value: value['adapter'].update(head_input='c'), 'unknown .c.'),
    (lambda value: value['adapter'].update(hidden_activation='g'), 'unknown'),
    (lambda value: value['adapter'].update(family='mpnt'), 'mean mpnet'),
    (lambda value: value['adapter'].update(scores=[1]), 'scores'),
    (lambda value: value.update(adapter=[]), 'adapter ..; it should be'),
    (lambda value: value.update(format=2), 'not of format 1')])
def test_damaged_folders(change, message, tmp_path):
  bank_test.make().save(str(tmp_path))
  value = saved(tmp_path)
  del value['sha256']  # As of an earlier version.
  change(value)
  (tmp_path / folders.SETTINGS).write_text(json.dumps(value))
  with pytest.raises(errors.UserError, match=f'config.json.*{message}'):
    adapter_lib.load(str(tmp_path))
  with pytest.raises(errors.UserError, match='there is no folder .*absent'):
    adapter_lib.load(str(tmp_path / 'absent'))


def test_repr_is_a_line():
  adapter = dataclasses.replace(
      bank_test.make('lora[r=2]'), task='film', labels=('a', 'b'), base='x')
  assert repr(adapter) == (
      "Adapter('lora[r=2]', task='film', labels=('a', 'b'), base='x')")
