"""Tests of scripts.compare_commits on runs written by hand."""

import json
import os
from unittest import mock

from absl import app
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from scripts import compare_commits
from scripts import run_differences


def write(folder, leaf, **changed):
  """Writes a run of one leaf with a record of one metric."""
  os.makedirs(folder / 'adapter', exist_ok=True)
  safetensors_numpy.save_file(
      {'leaf': np.asarray(leaf)}, folder / run_differences.ADAPTER)
  record = {'metrics': {'dev': {'accuracy': 0.5}}, 'seconds': 1.0, **changed}
  (folder / run_differences.RECORD).write_text(json.dumps(record))


@pytest.mark.parametrize(('leaf', 'changed', 'close', 'found'), (
    ([1.0, 2.0], {}, False, []),
    ([1.0, 2.0], {'seconds': 9.0, 'notes': ['slow']}, False, []),
    ([1.0, 2.0 + 1e-9], {}, False, ['adapter']),
    ([1.0, 2.0 + 1e-9], {}, True, []),
    ([1.0, 2.1], {}, True, ['adapter']),
    ([[1.0, 2.0]], {}, True, ['adapter']),
    ([1.0, 2.0], {'metrics': {'dev': {'accuracy': 0.5 + 1e-9}}}, False,
     ['metrics']),
    ([1.0, 2.0], {'metrics': {'dev': {'accuracy': 0.5 + 1e-9}}}, True, []),
    ([1.0, 2.0], {'metrics': {'dev': {'f1': 0.5}}}, True, ['metrics'])))
def test_differences(tmp_path, leaf, changed, close, found):
  write(tmp_path / 'old' / 'hash', [1.0, 2.0])
  write(tmp_path / 'new' / 'hash', leaf, **changed)
  lines = run_differences.differences(
      str(tmp_path / 'old'), str(tmp_path / 'new'), close)
  assert len(lines) == len(found)
  for line, word in zip(lines, found):
    assert line.startswith('hash: ') and word in line


def test_runs_of_another_name_or_none(tmp_path):
  folders = [str(tmp_path / side) for side in ('old', 'new')]
  assert run_differences.differences(*folders, False) == ['no finished run']
  write(tmp_path / 'old' / 'hash', [1.0])
  write(tmp_path / 'new' / 'hush', [1.0])
  assert run_differences.differences(*folders, False) == [
      'run folders differ: hash, hush']


def test_another_copy_of_the_package_is_refused(tmp_path):
  package = tmp_path / 'adapters_jax'
  package.mkdir()
  (package / '__init__.py').write_text('')
  folder, python = str(tmp_path), compare_commits.sys.executable
  variables = {**os.environ, 'PYTHONPATH': folder}
  compare_commits.check_imports(python, folder, variables)
  (tmp_path / 'elsewhere').mkdir()
  with pytest.raises(ValueError, match='is imported from'):
    compare_commits.check_imports(
        python, folder,  # The working folder shadows PYTHONPATH.
        {**variables, 'PYTHONPATH': str(tmp_path / 'elsewhere')})


def test_a_commit_is_no_checkout(monkeypatch):
  for name, value in (
      ('_OLD', '83e325b'), ('_NEW', '.'), ('_ONLY', [])):
    monkeypatch.setattr(compare_commits, name, mock.Mock(value=value))
  with pytest.raises(app.UsageError, match='--old: 83e325b is no checkout'):
    compare_commits.main([])
