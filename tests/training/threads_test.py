"""Tests of XLA's threads: records name them, equal numbers give equal bits."""

import hashlib
import os

import pytest

from adapters_jax import errors
from adapters_jax.runs import machine
from adapters_jax.training import threads
from tests import forks
from tests import tiny


def test_the_environment_fixes_the_number(monkeypatch):
  for name in threads.VARIABLES:
    monkeypatch.setenv(name, '')  # Else `use` would outlive the test.
  cores = threads.cores()
  threads.use(0)
  assert threads.in_use() == cores >= 1
  assert 'cores' not in machine.describe()
  monkeypatch.setenv('NPROC', str(cores + 1))
  assert threads.in_use() == cores + 1
  threads.use(cores + 2)
  assert [os.environ[name] for name in threads.VARIABLES] == 2 * [
      str(cores + 2)]
  found = machine.describe()
  assert (found['threads'], found['cores']) == (cores + 2, cores)
  threads.demand_number(0)
  threads.demand_number(cores + 2)
  with pytest.raises(errors.UserError, match=f'PJRT_NPROC={cores + 3}'):
    threads.demand_number(cores + 3)


@pytest.mark.first
@pytest.mark.slow
def test_equal_bits_on_one_core_and_two(tmp_path, monkeypatch):
  if threads.cores() < 2:
    pytest.skip('needs two cores')
  for name in threads.VARIABLES:
    monkeypatch.delenv(name, raising=False)
  # Wide: XLA computes small products on one thread anyway.
  checkpoint = tiny.write_checkpoint(
      str(tmp_path / 'base'), dim=256, ffn_dim=512, layers=1)
  data = tiny.write_data(str(tmp_path / 'data'), examples=128)

  def adapter(name, cores, *flags):
    workdir = tmp_path / name
    command = forks.start(
        'experiments.glue', f'--checkpoint={checkpoint}',
        *(f'--{key}={path}' for key, path in data.items()), '--batch_size=64',
        '--max_length=12', '--buckets=0', '--max_steps=2',
        f'--workdir={workdir}', *flags, cores=cores,
        ADAPTERS_JAX_CACHE=str(tmp_path))
    _, said = command.communicate()
    assert command.returncode == 0, said
    weights, = (workdir / 'adapter').glob('*.safetensors')
    return hashlib.sha256(weights.read_bytes()).hexdigest()

  one, *_ = two = sorted(os.sched_getaffinity(0))[:2]
  both = adapter('both', two)
  alone = adapter('alone', [one])
  assert adapter('alone_two_threads', [one], '--threads=2') == both
  assert adapter('both_one_thread', two, '--threads=1') == alone
  if alone == both:
    pytest.skip('this processor rounds equally on one thread and on two')
