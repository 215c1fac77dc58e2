"""Shared by the tests: a tiny checkpoint, data, and compiled programs."""

import jax
import pytest

from adapters_jax import run
from tests import tiny


@pytest.fixture(scope='session', autouse=True)
def compiled_programs(tmp_path_factory):
  """Keeps the tests' many equal programs in a cache of the session's own."""
  folder = str(tmp_path_factory.mktemp('compiled'))
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)


@pytest.fixture(autouse=True)
def no_user_cache(monkeypatch):
  """Leaves the user's cache of compiled programs alone."""
  monkeypatch.setattr(run, 'enable_compilation_cache', lambda: None)


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory) -> str:
  """A tiny BERT as a Hugging Face folder."""
  return tiny.write_checkpoint(str(tmp_path_factory.mktemp('base') / 'tiny'))


@pytest.fixture(scope='session')
def own_files(tmp_path_factory) -> dict[str, str]:
  """{'train_file', 'dev_file', 'test_file': path} of learnable TSV data."""
  return tiny.write_data(str(tmp_path_factory.mktemp('data')))
