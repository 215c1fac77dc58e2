"""Two real processes on this machine against one: the whole run."""

import re
import signal
import socket

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from adapters_jax.runs import records
from tests import forks

pytestmark = [pytest.mark.first, pytest.mark.slow]


def free_port() -> int:
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


def start(workdir, checkpoint, files, *, process=None, port=0,
          module='experiments.glue', **changed):
  """Starts a run, alone or as one of two processes."""
  settings = {
      'checkpoint': checkpoint, 'workdir': workdir, 'batch_size': 8,
      'max_steps': 6, 'eval_every': 3, 'buckets': 0,
      'max_length': 16, 'learning_rate': 0.01,
      'precision': 'float32',  # As this process computes.
      **files, **changed}
  if 'adapter_config' not in settings:
    settings['adapter_size'] = 3
  variables = {'ADAPTERS_JAX_CACHE': f'{checkpoint}-cache'}
  if process is not None:
    settings.update(
        coordinator=f'127.0.0.1:{port}', processes=2, process=process)
    variables['JAX_COORDINATOR_BIND_ADDRESS'] = f'127.0.0.1:{port}'
  return forks.start(
      module, *(f'--{name}={value}' for name, value in settings.items()),
      **variables)


def finish(*processes, status=0, timeout=300):
  """Returns what the processes printed; all must end with this status."""
  outputs = [process.communicate(timeout=timeout) for process in processes]
  for process, (out, err) in zip(processes, outputs, strict=True):
    assert process.returncode == status, (out, err[-3000:])
  return [out for out, _ in outputs]


def read(workdir):
  """Returns (record, {path: array}) of a finished run."""
  return (records.read(f'{workdir}/record.json'),
          safetensors_numpy.load_file(f'{workdir}/adapter/tuned.safetensors'))


@pytest.fixture(scope='module')
def alone(tmp_path_factory, checkpoint, own_files):
  """(record, arrays) of the run in one process."""
  workdir = str(tmp_path_factory.mktemp('alone') / 'run')
  finish(start(workdir, checkpoint, own_files))
  return read(workdir)


def check_equal(found, wanted, rel=0.0):
  record, arrays = found
  wanted_record, wanted_arrays = wanted
  for entry, other in zip(record.history, wanted_record.history, strict=True):
    np.testing.assert_allclose(entry['loss'], other['loss'], rtol=1e-5)
    assert entry['dev'] == pytest.approx(other['dev'], rel=rel)
  for split, values in wanted_record.metrics.items():
    assert record.metrics[split] == pytest.approx(values, rel=rel)
  assert record.config == wanted_record.config
  assert sorted(arrays) == sorted(wanted_arrays)
  for path, array in arrays.items():
    np.testing.assert_allclose(array, wanted_arrays[path], atol=2e-5)


def test_two_processes_equal_one(tmp_path, checkpoint, own_files, alone):
  workdir, port = str(tmp_path / 'run'), free_port()
  first, second = finish(*(
      start(workdir, checkpoint, own_files, process=process, port=port,
            mesh='data,fsdp:2') for process in range(2)))
  assert 'mesh data:1,fsdp:2 over 2 processes' in first
  assert 'dev accuracy' in first and 'accuracy' not in second
  record, _ = read(workdir)
  assert record.device.startswith('2 x cpu')
  check_equal(read(workdir), alone)


def test_two_processes_make_a_grid(tmp_path, checkpoint, own_files):
  workdir, port = str(tmp_path / 'runs'), free_port()
  kept = str(tmp_path / 'kept')
  first, second = finish(*(
      start(workdir, checkpoint, own_files, process=process, port=port,
            max_steps=2, eval_every=2, seeds='0-1', records=kept,
            grid='learning_rate=1e-3,1e-2', pick='learning_rate',
            write_predictions=True) for process in range(2)))
  # Two runs pick, two are reported.
  assert first.count('over 2 processes') == 4 and 'all settings' in first
  assert 'all settings' not in second
  assert 'predictions: ' in first and 'predictions: ' not in second
  found = {record.date: record for record in records.read_all(workdir)}
  assert len(found) == 4
  # Those of the first process, with its times.
  assert {record.date: record for record in records.read_all(kept)} == found


@pytest.mark.parametrize('process', [0, 1])
def test_a_missing_process_is_one_line(
    tmp_path, checkpoint, own_files, process):
  alone = start(str(tmp_path / 'run'), checkpoint, own_files, process=process,
                port=free_port(), join_seconds=1)
  out, err = alone.communicate(timeout=120)
  assert alone.returncode == 2
  error, = [line for line in err.splitlines() if 'error' in line]
  assert error.startswith('error: --coordinator: waited 1 s for ')
  assert 'Traceback' not in err


def test_a_port_that_is_taken_is_one_line(tmp_path, checkpoint, own_files):
  with socket.socket() as taken:
    taken.bind(('127.0.0.1', 0))
    taken.listen()
    port = taken.getsockname()[1]
    first = start(
        str(tmp_path / 'run'), checkpoint, own_files, process=0, port=port)
    _, err = first.communicate(timeout=120)
  assert first.returncode == 2
  error, = [line for line in err.splitlines() if 'error' in line]
  assert error == (
      f'error: --coordinator=127.0.0.1:{port}: port {port} cannot be used '
      '(Address already in use); give another')


def test_a_workdir_that_is_taken_ends_all(tmp_path, checkpoint, own_files):
  workdir, port = tmp_path / 'run', free_port()
  workdir.mkdir()
  (workdir / 'thesis.tex').write_text('x')
  both = [start(str(workdir), checkpoint, own_files, process=process, port=port)
          for process in range(2)]
  errors = [process.communicate(timeout=120)[1] for process in both]
  assert [process.returncode for process in both] == [2, 2], errors
  assert all('Traceback' not in error for error in errors)


def ended(*processes, timeout=120):
  """Returns the error of each process; all must end with one line of it."""
  errors = [process.communicate(timeout=timeout)[1] for process in processes]
  assert [process.returncode for process in processes] == [
      2 for _ in processes], errors
  assert all('Traceback' not in error for error in errors), errors
  return [[line for line in error.splitlines() if line.startswith('error: ')]
          for error in errors]


def test_hosts_with_other_settings_end_before_the_first_step(
    tmp_path, checkpoint, own_files):
  port = free_port()
  assert ended(*(
      start(str(tmp_path / 'run'), checkpoint, own_files, process=process,
            port=port, seed=5 * process) for process in range(2))) == 2 * [[
                'error: --coordinator: process 1 has another --seed than '
                'process 0; start every process with the same settings and '
                'files']]
  assert not (tmp_path / 'run' / 'record.json').exists()


# Arguments: port, number of the process; of the process that fails; together.
ONE_FAILS = """
import sys
from adapters_jax import errors
from adapters_jax.api import ending
from adapters_jax.training import hosts
port, process, fails, together = sys.argv[1:]
def work():
  if process == fails:
    raise errors.UserError('`size`: no')
with ending.reported():
  hosts.join_all(f'127.0.0.1:{port}', 2, int(process))
  hosts.agreed(True)
  hosts.together(work) if together == 'True' else work()
  while True:
    hosts.first_text('')
"""


@pytest.mark.parametrize('fails, together', [
    (1, True), (0, False), (1, False)])
def test_a_fault_of_one_host_ends_both(fails, together):
  port = free_port()
  found = ended(*(forks.start(
      '-c', ONE_FAILS, *map(str, (port, process, fails, together)))
                  for process in range(2)))
  assert found[fails] == ['error: `size`: no']
  other, = found[1 - fails]
  assert other == found[fails][0] if together else (
      'this or another process has failed' in other)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_stops_both_and_one_process_goes_on(
    tmp_path, checkpoint, own_files, alone, number):
  workdir, port = str(tmp_path / 'run'), free_port()
  first, second = (
      start(workdir, checkpoint, own_files, process=process, port=port)
      for process in range(2))
  first.wait_for('trained')  # What follows first is seconds of compiling.
  second.send_signal(number)
  out, _ = finish(first, second, status=130)
  assert re.search(r'stopped after [0-5] of 6 steps; the state is saved', out)
  out, = finish(start(workdir, checkpoint, own_files, resume=True))
  assert 'continuing from step' in out
  check_equal(read(workdir), alone)
