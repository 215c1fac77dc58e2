"""Training on top of frozen adapters, and of their fusion."""

import dataclasses

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import attention
from adapters_jax.adapters import composing
from adapters_jax.api import train_settings
from adapters_jax.model import base as base_lib
from adapters_jax.model import composition
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import frozen
from adapters_jax.runs import identity
from adapters_jax.runs import run
from adapters_jax.runs import session
from adapters_jax.runs import task_checks
from tests import tiny
from tests.adapters import bank_test


make = bank_test.make_two_layers


@pytest.fixture(scope='module')
def checkpoint(two_layers) -> str:
  """Two layers, as a fusion is in each."""
  return two_layers


@pytest.fixture(scope='module')
def domains(checkpoint, own_files, tmp_path_factory) -> dict[str, str]:
  """{name: workdir} of two finished runs."""
  folder = tmp_path_factory.mktemp('domains')
  found = {name: str(folder / name) for name in ('one', 'two')}
  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(session, 'enable_compilation_cache', lambda: None)
    for seed, path in enumerate(found.values()):
      run.run(tiny.run_config(
          checkpoint, own_files, path, seed=seed, tune_norms=False,
          init_scale=0.3, buckets=0), 'glue')
  return found


def config_of(checkpoint, own_files, folder, domains, **changed):
  text = ','.join(f'{name}={path}' for name, path in domains.items())
  return tiny.run_config(
      checkpoint, own_files, folder, **{
          'adapters': text, 'buckets': 0, **changed})


def same(adapter, name, domain):
  """Checks that the leaves of a member are those of its saved adapter."""
  flat = trees.flatten(composing.member(adapter, name).tuned)
  for path, leaf in trees.flatten(domain.tuned).items():
    if trees.role(path) == 'adapter':
      np.testing.assert_array_equal(flat[path], leaf)


def test_a_new_adapter_on_a_frozen_one(
    checkpoint, own_files, tmp_path, domains):
  config = config_of(
      checkpoint, own_files, str(tmp_path), {'one': domains['one']},
      adapter_config='lora[r=2]', adapter_size=config_lib.Config.adapter_size)
  record = run.run(config, 'glue')
  one = adapter_lib.load(domains['one'])
  whole = adapter_lib.load(str(tmp_path))
  assert whole.setup == composition.Stack('one', 'task')
  assert whole.members == (('one', 1), ('task', 1))
  same(whole, 'one', one)
  task = composing.member(whole, 'task')
  assert task.method == 'lora[r=2]'
  # Trained: its own leaves, norms and head; counted: these alone.
  assert record.trained_params == task.trained_params == whole.trained_params
  assert whole.scores and not task.scores
  assert np.abs(trees.flatten(task.tuned)[
      'encoder/layer_1/attention/adapter_query_0/b']).max() > 0
  # The parts in a bank are the whole again.
  again = composing.compose({'one': one, 'task': task}, 'stack(one, task)')
  assert again.methods == whole.methods
  for path, leaf in trees.flatten(whole.tuned).items():
    np.testing.assert_array_equal(trees.flatten(again.tuned)[path], leaf)


@pytest.mark.slow
def test_a_fusion(checkpoint, own_files, tmp_path, domains):
  pair = dataclasses.replace(  # As if of a task of two texts.
      adapter_lib.load(domains['two']), texts=('question', 'sentence'))
  pair.save(str(tmp_path / 'pair'))
  domains = {**domains, 'two': str(tmp_path / 'pair')}
  folder = str(tmp_path / 'work')
  config = config_of(
      checkpoint, own_files, folder, domains, tune='fusion',
      tune_norms=False, learning_rate=1e-3)
  record = run.run(config, 'glue')
  # A site: three matrices of 12 x 12, two biases; 4 sites, and a head of 26.
  assert record.trained_params == 4 * (3 * 144 + 24) + 26
  whole = adapter_lib.load(folder)
  assert whole.trained_params == record.trained_params
  assert str(whole.setup) == 'fuse(one, two, norms=base)'
  for name, path in domains.items():
    same(whole, name, adapter_lib.load(path))
  flat = trees.flatten(whole.tuned)
  value = flat['encoder/layer_1/adapter_fusion_ffn_output_0/value/kernel']
  assert 0 < np.abs(value - np.eye(12)).max() < 0.1
  texts = ['good film', 'very dull a the plot', 'bad']
  base = base_lib.load(checkpoint)
  weights = attention.fusion_attention(base, whole, texts)
  assert sorted(weights) == ['attention_output', 'ffn_output']
  for found in weights.values():
    assert found.shape == (2, 3, 2)  # Layers, texts, members.
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
  again = attention.fusion_attention(base, whole, texts[1:], batch_size=1)
  np.testing.assert_allclose(
      again['ffn_output'], weights['ffn_output'][:, 1:], atol=1e-6)
  asked = dataclasses.replace(
      whole, head_input='tokens', texts=('question', 'context'), max_length=9)
  windows = attention.fusion_attention(  # The first paragraph has several.
      base, asked, [('a plot', texts[1] * 3), ('a plot', 'bad')])
  assert windows['ffn_output'].shape == (2, 2, 2)
  np.testing.assert_allclose(windows['ffn_output'].sum(-1), 1, atol=1e-6)
  with pytest.raises(errors.UserError, match='0 fuses'):
    attention.fusion_attention(base, adapter_lib.load(domains['one']), texts)
  # The portable settings name the adapters by their content.
  named = identity.portable(config)['adapters']
  assert named.startswith('one@') and 'two@' in named
  assert record.config['adapters'] == named


@pytest.mark.parametrize('changed, message', [
    ({'tune': 'full'}, 'stay frozen below what'),
    ({'tune': 'fusion', 'adapters': ''}, 'name the adapters to fuse'),
    ({'adapters': '', 'setup': 'stack(a)'}, 'give `adapters`'),
    ({'adapters': 'x=/nowhere'}, 'no saved adapter'),
    ({'adapters': 'one=a,one=b'}, "two folders have the name 'one'"),
    ({'setup': 'stack(one, tow)'}, "unknown 'tow'"),
    ({'tune': 'fusion', 'setup': 'stack(one, two)'}, 'trains a fuse'),
    ({'setup': 'fuse(one, two)'}, 'has not been trained')])
def test_settings_that_cannot_be(
    checkpoint, own_files, tmp_path, domains, changed, message):
  with pytest.raises(errors.UserError, match=message):
    frozen.of(config_of(
        checkpoint, own_files, str(tmp_path), domains, **changed))


def test_the_activation_is_that_of_the_frozen_adapters(
    checkpoint, own_files, tmp_path):
  under = dataclasses.replace(
      make('lora[r=2]'), hidden_activation='relu')
  under.save(str(tmp_path))
  config = config_of(checkpoint, own_files, '', {'one': str(tmp_path)})
  with pytest.raises(errors.UserError, match=(
      "hidden_activation=gelu`: adapter 'one' was trained with relu; give")):
    task_checks.check_run(config, 'glue')
  for activation in ('', 'gelu'):  # That of the base, by either name.
    dataclasses.replace(under, hidden_activation=activation).save(str(tmp_path))
    assert frozen.of(config).methods == under.methods
  assert train_settings.defaults(
      base_lib.load(checkpoint), 'rte', 'lora', {'one': under})[
          'hidden_activation'] == 'relu'


def test_norms_of_frozen_adapters_are_not_dropped(
    checkpoint, own_files, tmp_path):
  under = make('lora[r=2]')
  config = config_of(
      checkpoint, own_files, '', {'one': str(tmp_path)}, adapter_drop='0-1')
  under.save(str(tmp_path))
  with pytest.raises(errors.UserError, match='trained layer norms; leave it'):
    task_checks.check_run(config, 'glue')
  kept, _ = trees.split(under.tuned, lambda path: trees.role(path) != 'norm')
  dataclasses.replace(under, tuned=kept).save(str(tmp_path))
  task_checks.check_run(config, 'glue')


def test_setups_of_flags_hold_all_adapters(checkpoint, own_files, tmp_path):
  make().save(str(tmp_path / 'a'))
  domains = {name: str(tmp_path / 'a') for name in ('a', 'b')}
  for setup, message in (
      ('fuse(a, a)', '`setup=fuse.a, a.`: it leaves out b'),
      ('stack(b, fuse(a, a))', 'a fuse is of two or more')):
    config = config_of(
        checkpoint, own_files, str(tmp_path / 'work'), domains, tune='fusion',
        setup=setup)
    with pytest.raises(errors.UserError, match=message):
      task_checks.check_run(config, 'glue')


def test_a_fuse_of_a_setup_starts_from_the_norms_of_its_members(
    checkpoint, own_files, tmp_path):
  bank = {name: make('seq_bn[size=3]', seed)
          for seed, name in enumerate('abc')}
  bare, _ = trees.split(
      bank['c'].tuned, lambda path: trees.role(path) != 'norm')
  bank['c'] = dataclasses.replace(bank['c'], tuned=bare)
  domains = {name: str(tmp_path / name) for name in bank}
  for name, adapter in bank.items():
    adapter.save(domains[name])

  def found(setup):
    return frozen.of(config_of(
        checkpoint, own_files, '', domains, tune='fusion', setup=setup))

  fused = found('fuse(a, b, dropout=0)')  # As in docs/composition.md.
  assert fused.setup == composition.Fuse(
      'a', 'b', norms='average', dropout=0.0)
  scale = 'encoder/layer_1/ffn_norm/scale'
  one, two = (trees.flatten(bank[name].tuned)[scale] for name in 'ab')
  np.testing.assert_allclose(
      trees.flatten(fused.tuned)[scale], (one + two) / 2, rtol=1e-6)
  assert found('fuse(a, c, dropout=0)').setup.norms == 'base'
  assert found('fuse(a, b, norms=last)').setup.norms == 'last'
  for setup in ('fuse(a)', 'fuse(a, a)'):  # Of a bank in memory, too.
    with pytest.raises(errors.UserError, match='a fuse is of two or more'):
      found(setup)


def test_the_new_one_has_a_name_of_its_own():
  """Above members called as it would be."""
  for members, wanted in ((('a',), 'task'), (('task',), 'task_new'),
                          (('task_new', 'task'), 'task_new_new')):
    below = frozen.Frozen('a', tuple((name, 1) for name in members))
    setup, found = below.whole(2)
    assert found[-1] == (wanted, 2) and setup.members[-1] == wanted
