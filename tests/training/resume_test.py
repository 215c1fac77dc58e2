import errno
import logging
import os
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adapters_jax import errors
from adapters_jax.training import loop
from adapters_jax.training import resume as resume_lib
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
  assert not resume_lib.exists(folder)
  for step, value in ((3, 0.25), (5, 0.5), (5, 0.75)):
    resume_lib.Resume(folder).save(make_progress(step, value), {'value': value})
  assert resume_lib.exists(folder)
  return folder


def restore(folder):
  return resume_lib.Resume(folder).restore(make_progress(0, 0.0))


def test_the_last_two_saves_are_kept(folder):
  assert sorted(os.listdir(folder)) == ['5.safetensors', '6.safetensors']
  progress, extra = restore(folder)
  assert extra == {'value': 0.75}
  assert_equal(progress, make_progress(5, 0.75))


def test_without_a_save(tmp_path):
  assert restore(str(tmp_path / 'none')) is None


def test_what_is_not_finite_is_saved_too(tmp_path):
  progress = make_progress(1, np.nan)  # best_score is -inf.
  resume = resume_lib.Resume(str(tmp_path))
  resume.save(progress, {'losses': [0.1, 1e-300, float('inf')]})
  found, extra = resume.restore(make_progress(0, 0.0))
  assert extra == {'losses': [0.1, 1e-300, float('inf')]}
  assert_equal(found, progress)


def test_any_changed_byte_falls_back_to_the_save_before(folder, caplog):
  caplog.set_level(logging.INFO, 'adapters_jax')
  path = os.path.join(folder, '6.safetensors')
  with open(path, 'rb') as file:
    whole = file.read()
  rng = np.random.default_rng(0)
  changes = [whole[:n] for n in (0, 7, 20, len(whole) // 2, len(whole) - 1)]
  changes += [whole + b'0', b'', b'0' * len(whole)]
  for place in rng.integers(0, len(whole), 100):
    changed = bytearray(whole)
    changed[place] ^= 1 << rng.integers(8)
    changes.append(bytes(changed))
  for change in changes:
    caplog.clear()
    with open(path, 'wb') as file:
      file.write(change)
    progress, extra = restore(folder)
    # A blank of the header may change without a change of its meaning.
    if extra == {'value': 0.75}:
      assert_equal(progress, make_progress(5, 0.75))
    else:
      assert extra == {'value': 0.5}
      assert_equal(progress, make_progress(5, 0.5))
      assert '6.safetensors is damaged' in caplog.text


def test_nothing_left_to_read_names_the_folder(folder):
  for name in os.listdir(folder):
    os.truncate(os.path.join(folder, name), 99)
  with pytest.raises(errors.UserError, match='delete the folder') as caught:
    restore(folder)
  assert folder in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('change', [
    lambda tuned: {'head': {'kernel': tuned['head']['kernel']}},
    lambda tuned: {**tuned, 'norm': {'scale': jnp.zeros(8)}},
    lambda tuned: jax.tree.map(lambda leaf: leaf[..., :2], tuned),
    lambda tuned: jax.tree.map(lambda leaf: leaf.astype(jnp.int32), tuned),
])
def test_the_state_of_another_model(folder, change):
  like = make_progress()
  like = like.replace(best=change(like.best))
  with pytest.raises(errors.UserError, match='another model'):
    resume_lib.Resume(folder).restore(like)


def test_a_save_that_fails_leaves_those_before(folder):
  full = OSError(errno.ENOSPC, 'No space left on device')
  with mock.patch.object(os, 'fsync', side_effect=full):
    with pytest.raises(OSError) as caught:
      resume_lib.Resume(folder).save(make_progress(9), {})
  assert folder in caught.value.filename
  assert sorted(os.listdir(folder)) == ['5.safetensors', '6.safetensors']


def test_what_a_kill_left_is_removed(folder):
  with open(os.path.join(folder, f'.7.safetensors.{"0f" * 16}.part'), 'w'):
    pass
  assert restore(folder)[1] == {'value': 0.75}
  assert sorted(os.listdir(folder)) == ['5.safetensors', '6.safetensors']


def test_a_restored_state_survives_a_donated_step(folder):
  progress, _ = restore(folder)
  step = jax.jit(lambda p: p.replace(best_score=p.best_score + 1),
                 donate_argnums=0)
  assert float(step(progress).best_score) == -np.inf
  assert_equal(restore(folder)[0], make_progress(5, 0.75))
