"""Tests of the folder for compiled programs, and of signals to hosts."""

import os
import signal
import warnings

import jax
import pytest

from adapters_jax.runs import config as config_lib
from adapters_jax.runs import session
from adapters_jax.runs import signals
from adapters_jax.training import hosts
from adapters_jax.training import programs
from tests import tiny

enable = session.enable_compilation_cache  # Other tests replace it.


@pytest.fixture
def updates(monkeypatch):
  """Names of the settings of JAX that are changed."""
  found = []
  monkeypatch.setattr(jax.config, 'update', lambda name, _: found.append(name))
  monkeypatch.setattr(programs, 'keep_in', lambda _: found.append('programs'))
  return found


def test_programs_are_kept(updates, monkeypatch, tmp_path):
  monkeypatch.setenv('ADAPTERS_JAX_CACHE', str(tmp_path / 'cache'))
  enable()
  assert 'jax_compilation_cache_dir' in updates and 'programs' in updates
  assert (tmp_path / 'cache' / 'compiled').is_dir()


def test_a_run_computes_without_the_callers_mesh(tmp_path):
  config = config_lib.Config(
      checkpoint=tiny.write_checkpoint(str(tmp_path)))
  with jax.set_mesh(jax.make_mesh((1,), ('x',))):
    with session.computing(config, keep_programs=False):
      assert jax.sharding.get_abstract_mesh().empty
    assert not jax.sharding.get_abstract_mesh().empty


def test_a_folder_that_cannot_be_made_is_named_once(
    updates, monkeypatch, tmp_path, caplog):
  (tmp_path / 'file').write_text('')
  monkeypatch.setenv('ADAPTERS_JAX_CACHE', str(tmp_path / 'file'))
  enable()
  enable()
  assert not updates
  assert caplog.text.count('set ADAPTERS_JAX_CACHE to another folder') == 1


def test_a_folder_that_can_only_be_read_is_used_and_named_once(
    updates, monkeypatch, tmp_path, caplog):
  folder = tmp_path / 'compiled'
  monkeypatch.setenv('ADAPTERS_JAX_CACHE', str(tmp_path))
  # Permissions do not bind root.
  monkeypatch.setattr(os, 'access', lambda path, mode: (
      path != str(folder) or mode != os.W_OK))
  of_jax = ("Error writing persistent compilation cache entry for 'jit_f': "
            'PermissionError: [Errno 13] Permission denied')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    with pytest.raises(UserWarning):
      warnings.warn(of_jax, stacklevel=1)
    enable()
    enable()
    warnings.warn(of_jax, stacklevel=1)
    with pytest.raises(UserWarning):
      warnings.warn('Error reading', stacklevel=1)
  assert 'jax_compilation_cache_dir' in updates
  assert caplog.text.count(f'{folder} cannot be written') == 1


def test_ctrl_c_to_one_host_is_a_termination_that_stops_all(monkeypatch):
  arrived = []
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  # As JAX's notifier of SIGTERM.
  monkeypatch.setattr(hosts, 'stopped_together', lambda: lambda: bool(arrived))
  monkeypatch.setattr(signals, '_REPEATED', 0.0)
  terminated = signal.signal(
      signal.SIGTERM, lambda number, _: arrived.append(number))
  interrupted = signal.getsignal(signal.SIGINT)
  try:
    with session.stop_requests() as stop:
      assert not stop()
      signal.raise_signal(signal.SIGINT)
      assert stop() and arrived == [signal.SIGTERM]
      with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert len(arrived) == 1
    assert signal.getsignal(signal.SIGINT) == interrupted
    monkeypatch.setattr(signals, '_REPEATED', 9.0)
    with session.stop_requests():  # To a process, and then to its group.
      for _ in range(2):
        signal.raise_signal(signal.SIGINT)
  finally:
    signal.signal(signal.SIGTERM, terminated)
