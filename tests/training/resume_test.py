import glob
import logging
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adapters_jax import errors
from adapters_jax.training import hosts
from adapters_jax.training import loop
from adapters_jax.training import resume as resume_lib
from adapters_jax.training import saves
from adapters_jax.training import steps


def make_progress(step=3, value=0.5) -> loop.Progress:
  tuned = {'head': {'kernel': jnp.full((8, 3), value), 'bias': jnp.zeros(3)}}
  state = steps.init_state(tuned, optax.adamw(1e-3), jax.random.key(7))
  return loop.init_progress(state.replace(step=jnp.int32(step)))


def assert_equal(a, b):
  def raw(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)
  jax.tree.map(
      lambda x, y: np.testing.assert_array_equal(raw(x), raw(y)), a, b)


@pytest.fixture
def folder(tmp_path) -> str:
  """Three saves: of step 3, and of step 5 before and after its evaluation."""
  folder = str(tmp_path / 'resume')
  assert not saves.exists(folder)
  resume = resume_lib.Resume(folder)
  for step, value in ((3, 0.25), (5, 0.5), (5, 0.75)):
    resume.save(make_progress(step, value), {'value': value})
  resume.close()
  assert saves.exists(folder)
  return folder


def restore(folder, like=None):
  resume = resume_lib.Resume(folder)
  try:
    return resume.restore(like or make_progress(0, 0.0))
  finally:
    resume.close()


def newest(folder):
  return os.path.join(folder, max(
      (name for name in os.listdir(folder) if name.isdecimal()), key=int))


def test_the_last_two_saves_are_kept(folder):
  assert sorted(os.listdir(folder)) == [
      '5', '5.sha256.json', '6', '6.sha256.json']
  progress, extra = restore(folder)
  assert extra == {'value': 0.75}
  assert_equal(progress, make_progress(5, 0.75))


@pytest.mark.parametrize('state, best', [
    (np.nan, 0.1), (0.1, np.nan), (np.inf, np.inf)])
def test_weights_that_are_not_finite_are_damage(folder, state, best):
  resume = resume_lib.Resume(folder)
  progress = make_progress(8, state)
  resume.save(progress.replace(best=make_progress(8, best).best),
              {'value': 0.9})
  resume.close()
  progress, extra = restore(folder)
  assert extra == {'value': 0.75}
  assert_equal(progress, make_progress(5, 0.75))


def test_saves_of_other_shapes_are_refused(folder):
  like = make_progress(0)
  narrow = {'head': {'kernel': jnp.zeros((8, 2)), 'bias': jnp.zeros(3)}}
  with pytest.raises(errors.UserError, match=r'shape: \(8, 2\).*move that'):
    restore(folder, like.replace(best=narrow))


def test_a_run_without_trained_leaves(tmp_path):
  state = steps.init_state({}, optax.adamw(1e-3), jax.random.key(7))
  progress = loop.init_progress(state.replace(step=jnp.int32(1)))
  resume = resume_lib.Resume(str(tmp_path))
  resume.save(progress, {})
  resume.close()
  found, _ = restore(str(tmp_path), progress)
  assert_equal(found, progress)


def test_without_a_save(tmp_path):
  assert restore(str(tmp_path / 'none')) is None


@pytest.mark.parametrize('pattern', [
    'progress/manifest.ocdbt', 'progress/_METADATA', 'extra/metadata',
    'progress/d/*', '_CHECKPOINT_METADATA', '../6.sha256.json'])
@pytest.mark.parametrize('damage', ['cut', 'removed'])
def test_a_damaged_save_falls_back_to_the_one_before(
    folder, pattern, damage, caplog):
  caplog.set_level(logging.INFO, 'adapters_jax')
  for path in glob.glob(os.path.join(newest(folder), pattern)):
    if damage == 'cut':
      os.truncate(path, 20)
    else:
      os.remove(path)
  progress, extra = restore(folder)
  # Without its hashes a save is read as before there were any.
  wanted = 0.75 if (pattern, damage) == ('../6.sha256.json', 'removed') else 0.5
  assert extra == {'value': wanted}
  assert_equal(progress, make_progress(5, wanted))
  assert ('6 is damaged' in caplog.text) == (wanted == 0.5)


def test_a_log_with_another_digit_is_damaged(folder):
  path = os.path.join(newest(folder), 'extra', 'metadata')
  with open(path) as file:
    text = file.read()
  with open(path, 'w') as file:
    file.write(text.replace('0.75', '0.76'))
  assert restore(folder)[1] == {'value': 0.5}


def test_nothing_left_to_read_names_the_folder(folder):
  for path in glob.glob(os.path.join(folder, '*/progress/_METADATA')):
    os.truncate(path, 20)
  with pytest.raises(errors.UserError, match='move that folder away') as caught:
    restore(folder)
  assert folder in str(caught.value) and '\n' not in str(caught.value)


def refused(monkeypatch, path):
  """Stands for permissions, which the superuser does not need."""
  opened = open

  def guarded(name, *args, **options):
    if not isinstance(name, int) and os.fspath(name) == path:
      raise PermissionError(13, 'Permission denied', path)
    return opened(name, *args, **options)

  monkeypatch.setattr('builtins.open', guarded)


@pytest.mark.parametrize('name, hashed', [
    ('6.sha256.json', True), ('6/extra/metadata', True),
    ('6/extra/metadata', False)])
def test_a_file_that_cannot_be_read_is_no_damage(
    folder, name, hashed, monkeypatch):
  path = os.path.join(folder, name)
  if not hashed:
    os.remove(os.path.join(folder, '6.sha256.json'))
  with monkeypatch.context() as patch:
    refused(patch, path)
    with pytest.raises(errors.UserError) as caught:
      restore(folder)
  assert str(caught.value) == (
      f'`resume`: {path}: Permission denied; the state is kept')
  assert restore(folder)[1] == {'value': 0.75}


@pytest.mark.parametrize('error', [
    jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory'),
    jax.errors.JaxRuntimeError('UNAVAILABLE: Gloo'), MemoryError()])
def test_errors_of_devices_and_of_other_hosts_are_no_damage(
    folder, error, monkeypatch):
  def fails(*_, **__):
    raise error

  def check(*_):
    raise error

  resume = resume_lib.Resume(folder)
  with pytest.raises(type(error)):
    resume.restore(make_progress(0, 0.0), check)
  monkeypatch.setattr(resume._manager, 'save', fails)
  with pytest.raises(type(error)):
    resume.save(make_progress(9), {})
  resume.close()
  import orbax.checkpoint as ocp
  monkeypatch.setattr(ocp, 'CheckpointManager', fails)
  with pytest.raises(type(error)):
    resume_lib.Resume(folder)


def test_a_folder_that_cannot_be_opened_is_one_line(folder, monkeypatch):
  def fails(*_, **__):
    raise OSError(116, 'Stale file handle')

  import orbax.checkpoint as ocp
  monkeypatch.setattr(ocp, 'CheckpointManager', fails)
  with pytest.raises(errors.UserError) as caught:
    resume_lib.Resume(folder)
  assert str(caught.value) == (
      f'`resume`: {folder}: Stale file handle; the state is kept')


def test_hosts_end_together_if_one_cannot_read(folder, monkeypatch):
  monkeypatch.setattr(
      hosts, 'first_text', lambda text: text or '`resume`: of host 1')
  with pytest.raises(errors.UserError, match='^`resume`: of host 1$'):
    restore(folder)


def test_a_state_of_an_earlier_version_has_no_hashes(folder):
  for path in glob.glob(os.path.join(folder, '*.sha256.json')):
    os.remove(path)
  assert restore(folder)[1] == {'value': 0.75}


@pytest.mark.parametrize('error, remedy', [
    (OSError(28, 'No space left on device'), 'with room on the disk, '),
    (ValueError('RESOURCE_EXHAUSTED: [OS error 28: No space left on device]'),
     'with room on the disk, '),
    (OSError(5, 'Input/output error'), '')])
def test_a_save_that_fails_names_the_folder(
    folder, error, remedy, monkeypatch):
  resume = resume_lib.Resume(folder)

  def full(*_, **__):
    raise error

  monkeypatch.setattr(resume._manager, 'save', full)
  with pytest.raises(errors.UserError) as caught:
    resume.save(make_progress(9), {})
  assert str(caught.value) == (
      f'the state cannot be saved in {folder} ({type(error).__name__}: '
      f'{error}); {remedy}continue with `resume`')
  resume.close()


def test_a_disk_without_room_is_found_before_the_save(folder, monkeypatch):
  before = sorted(os.listdir(folder))
  resume = resume_lib.Resume(folder)
  usage = resume_lib.shutil.disk_usage(folder)
  monkeypatch.setattr(resume_lib.shutil, 'disk_usage',
                      lambda path: usage._replace(free=200_000))
  with pytest.raises(OSError, match='No space left') as caught:
    resume.save(make_progress(9), {})
  assert caught.value.filename == folder
  resume.close()
  assert sorted(os.listdir(folder)) == before
