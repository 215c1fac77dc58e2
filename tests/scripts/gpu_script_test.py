"""The GPU benchmark end to end on a CPU, at tiny sizes."""

import json
import os
import subprocess
import sys

import pytest

from scripts.benchmark import gpu_cases


def test_cases_begin_with_the_most_telling():
  cases = gpu_cases.training_cases(32, [64, 128])
  names = [gpu_cases.name(case) for case in cases]
  assert names[0] == 'adapters-bfloat16-32x128' and len(set(names)) == 12
  assert gpu_cases.name({**cases[0], 'runs': 4}).endswith('x128-4 runs')


def run(tmp_path, **variables):
  """Runs the script; returns its JSON."""
  out = tmp_path / 'gpu.json'
  # The CPU of a machine that has a GPU as well.
  done = subprocess.run(
      ['sh', 'scripts/benchmark/gpu.sh', str(out), '--model=tiny', '--batch=2',
       '--lengths=6', '--groups=1,2', '--adapters=1,2', '--steps=1',
       '--turns=1', '--seconds=3600', '--nocompiled'],
      env={**os.environ, 'PYTHON': sys.executable, 'JAX_PLATFORMS': 'cpu',
           'CUDA_VISIBLE_DEVICES': '', 'TESTS_SECONDS': '3600',
           'SECONDS_OF_ALL': '3600',  # And a CPU needs no long texts.
           'PYTEST_ADDOPTS': '-k "not 512 and not 128 and not 64"',
           **variables},
      capture_output=True, text=True)
  assert done.returncode == 0, done.stderr[-2000:]
  with open(out) as file:
    return json.load(file)


# TFDS is not on the machine for which the script is written.
_WITHOUT_TFDS = """
import sys
sys.modules['tensorflow_datasets'] = None
"""


@pytest.mark.first
@pytest.mark.slow
def test_the_whole_script_on_a_cpu(tmp_path):
  (tmp_path / 'sitecustomize.py').write_text(_WITHOUT_TFDS)
  found = run(tmp_path, PYTHONPATH=f'{tmp_path}:{os.getcwd()}')
  assert 'passed' in found['tests'] and 'failed' not in found['tests']
  assert found['ours']['platform'] == 'cpu'
  steps = found['steps']
  assert not steps['left_out'] and not steps['failed']['ours']
  assert len(steps['cases']) == 6
  assert all(row['ours']['best'] > 0 for row in steps['cases'].values())
  assert set(found['groups']) == set(found['mixed']) == {'1', '2'}
  assert found['sweep']['status'] == 0, found['sweep']['output']
  if 'failed' not in found['torch']:  # Where torch is installed.
    assert max(found['difference_of_logits'].values()) < 1e-4
    assert all(row['torch']['best'] > 0 for row in steps['cases'].values())
