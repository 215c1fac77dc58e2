"""A sweep on a real local Ray cluster, one of its workers killed."""

import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from adapters_jax.adapters import storage
from adapters_jax import errors
from adapters_jax.runs import records
from adapters_jax.sweeps import ray_launcher
from adapters_jax import trees

pytest.importorskip('ray', reason="needs the extra 'sweep'")
pytestmark = pytest.mark.sweep

RUNS = 4


def start(checkpoint, own_files, workdir, *flags):
  """Starts a sweep of four runs in two groups of two."""
  files = [f'--{name}={path}' for name, path in own_files.items()]
  return subprocess.Popen(
      [sys.executable, '-m', 'experiments.sweep', *files,
       f'--checkpoint={checkpoint}', '--adapter_size=3', '--batch_size=16',
       '--buckets=0', '--max_length=12', '--max_steps=400',
       '--eval_every=50', '--group=2', f'--workdir={workdir}',
       f'--records={workdir}/records',
       '--grid=seed=0-1 learning_rate=1e-3,3e-3', *flags],
      env={**os.environ, 'NPROC': '1', 'JAX_PLATFORMS': 'cpu',
           'ADAPTERS_JAX_CACHE': f'{workdir}/cache'},
      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def holder(path):
  """Returns the process that has a file open, None if there is none."""
  for process in filter(str.isdecimal, os.listdir('/proc')):
    try:
      for one in os.scandir(f'/proc/{process}/fd'):
        if os.path.realpath(one.path) == path:
          return int(process)
    except OSError:
      continue  # It has ended, or is not ours.
  return None


def kill_in_the_middle(folder, seconds=900.0):
  """Kills -9 the worker of the first group that has saved an evaluation."""
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    for path in glob.glob(f'{folder}/.groups/*/resume/[0-9]*'):
      if not os.path.basename(path).isdecimal():
        continue  # It is being written.
      # Not through `path`, which a later save may have removed.
      group = os.path.dirname(os.path.dirname(path))
      with open(os.path.join(group, 'group.json')) as file:
        member = json.load(file)['members'][0]
      victims = [holder(lock)
                 for lock in glob.glob(f'{folder}/*{member}/.lock')]
      if victim := next(filter(None, victims), None):
        os.kill(victim, signal.SIGKILL)
        return
    time.sleep(0.01)
  raise AssertionError('no worker has saved anything')


def records_of(workdir):
  return {str(r.config['seed']) + str(r.config['learning_rate']): r
          for r in records.read_all(f'{workdir}/records')}


@pytest.mark.first
def test_a_killed_worker_loses_nothing(checkpoint, own_files, tmp_path):
  there, here = str(tmp_path / 'ray'), str(tmp_path / 'local')
  sweep = start(checkpoint, own_files, there, '--launcher=ray', '--workers=2',
                '--cpus_per_worker=1')
  try:
    kill_in_the_middle(f'{there}/train')
    said, _ = sweep.communicate(timeout=1800)
  finally:
    sweep.kill()
  assert sweep.returncode == 0, said
  assert '2 units for 4 runs, 2 at a time' in said
  assert f'{RUNS} of {RUNS} runs' in said and 'all settings' in said
  # The retried unit did not start anew.
  assert int(re.search(r'continuing from step (\d+)', said)[1]) >= 50, said

  local = start(checkpoint, own_files, here)
  said, _ = local.communicate(timeout=1800)
  assert local.returncode == 0, said
  found, wanted = records_of(there), records_of(here)
  assert len(found) == len(wanted) == RUNS
  for name, record in found.items():
    assert record.history == wanted[name].history
    assert record.metrics == wanted[name].metrics
  # One record a run, wherever one looks, and nothing of the groups.
  for root in (there, here):
    folders = [name for name in os.listdir(f'{root}/train')
               if not name.startswith('.')]
    assert len(folders) == RUNS
    assert len(list(records.read_all(f'{root}/train'))) == RUNS
    assert os.listdir(f'{root}/train/.groups') == []
    assert len(os.listdir(f'{root}/records/glue/train')) == RUNS
  for name in folders:
    a, b = (trees.flatten(storage.load_tuned(
        f'{root}/train/{name}/adapter')[0]) for root in (there, here))
    assert all((a[path] == b[path]).all() for path in a)

  again = start(checkpoint, own_files, there, '--launcher=ray')
  said, _ = again.communicate(timeout=900)
  assert again.returncode == 0 and '4 runs, 4 of them finished' in said


def test_no_cluster_at_the_address():
  with pytest.raises(errors.UserError, match='127.0.0.1:1`: cannot join'):
    with ray_launcher.started(address='127.0.0.1:1'):
      pass
