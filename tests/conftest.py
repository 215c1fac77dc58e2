"""Settings of the test run: its own cache of compiled programs, no prompts."""

import os

import pytest

from tests import tiny

# Tests compile many tiny programs; what they share is compiled once a machine.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory) -> str:
  """A tiny BERT as a Hugging Face folder."""
  return tiny.write_checkpoint(str(tmp_path_factory.mktemp('base') / 'tiny'))


@pytest.fixture(scope='session')
def own_files(tmp_path_factory) -> dict[str, str]:
  """{'train_file', 'dev_file', 'test_file': path} of learnable TSV data."""
  return tiny.write_data(str(tmp_path_factory.mktemp('data')))
