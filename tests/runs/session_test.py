"""Tests of the folder for compiled programs."""

import jax
import pytest

from adapters_jax.runs import session
from adapters_jax.training import programs

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


def test_a_folder_that_cannot_be_made_is_named_once(
    updates, monkeypatch, tmp_path, caplog):
  (tmp_path / 'file').write_text('')
  monkeypatch.setenv('ADAPTERS_JAX_CACHE', str(tmp_path / 'file'))
  enable()
  enable()
  assert not updates
  assert caplog.text.count('set ADAPTERS_JAX_CACHE to another folder') == 1
