"""Runs that a kill, a signal or a full disk interrupts."""

import dataclasses
import errno
import itertools
import os
import signal
import sys
from unittest import mock

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import results
from adapters_jax.runs import run
from adapters_jax.runs import saving
from adapters_jax.runs import session
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import signals
from adapters_jax.training import resume as resume_lib
from adapters_jax.training import steps
from tests import tiny


class Killed(BaseException):
  """Stands for a kill: nothing handles it."""


@pytest.fixture
def config(checkpoint, own_files, tmp_path) -> config_lib.Config:
  """Eight steps on own data, evaluated after 4 and 8."""
  return tiny.run_config(checkpoint, own_files, str(tmp_path / 'work'))


@pytest.fixture(scope='module')
def whole(checkpoint, own_files, tmp_path_factory):
  """(history, {path: array}) of the run without an interruption."""
  folder = str(tmp_path_factory.mktemp('whole') / 'work')
  with mock.patch.object(session, 'enable_compilation_cache'):
    record = run.run(tiny.run_config(checkpoint, own_files, folder), 'glue')
  return record.history, tiny.tuned_of(folder)


def kill(*_, **__):
  raise Killed


def send(number=signal.SIGTERM):
  return lambda *_, **__: signal.raise_signal(number)


def at_eval_batch(wanted, act):
  """Acts before the evaluation's batch of this number, over all evaluations."""
  make, numbers = steps.make_eval_step, itertools.count()

  def make_eval(*args, **kwargs):
    step = make(*args, **kwargs)

    def counted(*batch):
      if next(numbers) == wanted:
        act()
      return step(*batch)
    return counted
  compiled._eval_step.cache_clear()
  return mock.patch.object(steps, 'make_eval_step', make_eval)


def saved_step(folder):
  """Returns the number of steps before the last save of a workdir."""
  resume = resume_lib.Resume(os.path.join(folder, 'resume'))
  last = resume._manager.restore(resume._manager.latest_step())
  resume.close()
  return int(last['progress']['state']['step'])


def check_resumed(config, whole):
  """Resumes a run, which must be equal to the whole one."""
  record = run.run(dataclasses.replace(config, resume=True), 'glue')
  found = tiny.tuned_of(config.workdir)
  assert record.history == whole[0]
  assert list(found) == list(whole[1])
  for path, leaf in whole[1].items():
    np.testing.assert_array_equal(found[path], leaf, path)
  assert sorted(os.listdir(config.workdir)) == [
      '.lock', 'adapter', 'record.json', 'run.json']


def test_a_kill_in_an_evaluation_loses_no_step(config, whole, monkeypatch):
  monkeypatch.setattr(saving, '_LITTLE', 0.0)
  with at_eval_batch(1, kill), pytest.raises(Killed):
    run.run(config, 'glue')
  assert saved_step(config.workdir) == 4
  check_resumed(config, whole)


def test_a_signal_stops_between_batches_of_an_evaluation(
    config, whole, monkeypatch):
  monkeypatch.setattr(saving, '_LITTLE', 0.0)
  with at_eval_batch(0, send()), pytest.raises(errors.Interrupted) as stopped:
    run.run(config, 'glue')
  assert stopped.value.saved
  assert saved_step(config.workdir) == 4
  check_resumed(config, whole)


def test_a_signal_in_the_last_scores(config, whole):
  scores = results.all_scores

  def signalled(*args, **kwargs):
    send()()
    return scores(*args, **kwargs)
  with mock.patch.object(results, 'all_scores', signalled):
    with pytest.raises(errors.Interrupted) as stopped:
      run.run(config, 'glue')
  assert stopped.value.saved
  check_resumed(config, whole)


def test_a_kill_loses_at_most_the_minutes_of_the_setting(config, whole):
  config = dataclasses.replace(config, save_minutes=1e-9)
  with tiny.at_step(3, kill), pytest.raises(Killed):
    run.run(config, 'glue')
  assert saved_step(config.workdir) == 2
  check_resumed(config, whole)


def test_work_is_saved_before_a_program_is_compiled(monkeypatch):
  monkeypatch.setattr(saving, '_LITTLE', 0.0)
  stop = signals.Stop()
  saves = []
  resume = mock.Mock(save=lambda *_: saves.append(1))
  log = mock.Mock(seconds=0.0, cpu_seconds=0.0, evaluated=lambda: 0)
  progress = mock.Mock()

  def at(step):
    progress.state.step = np.int32(step)
    return progress
  saver = saving.Saver(resume, log, at(0), 0.0, stop)
  step = saver.counted(lambda: None)
  batches = [{'tokens': np.zeros((2, length))} for length in (5, 5, 8, 5)]
  due = []
  for number, batch in enumerate(batches):
    due.append(saver.due(batch))
    if due[-1]:
      saver.save(at(number))
      assert not stop.unsaved  # While it compiles, nothing is lost.
    step()
    assert stop.unsaved
  assert due == [False, False, True, False]
  assert len(saves) == 1
  saver.save(at(4))
  saver.save(at(4))  # The same once.
  assert len(saves) == 2


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_first_step_ends_at_once(config, number):
  load, after = setup_lib.load_data, []

  def signalled(config):
    send(number)()
    after.append(1)
    return load(config)
  with mock.patch.object(setup_lib, 'load_data', signalled):
    with pytest.raises(errors.Interrupted) as stopped:
      run.run(config, 'glue')
  assert not after and not stopped.value.saved
  assert os.listdir(config.workdir) == ['.lock']
  # The folder is free, also for other settings.
  run.run(dataclasses.replace(config, max_steps=1), 'glue')


def test_a_failed_start_leaves_the_folder_free(config, tmp_path):
  bad = tmp_path / 'bad.tsv'
  bad.write_text('sentence\tlabel\ngood film\n')
  with pytest.raises(errors.UserError, match='bad.tsv'):
    run.run(dataclasses.replace(config, train_file=str(bad)), 'glue')
  # The tokens are read last: a checkpoint without a vocabulary.
  with mock.patch.object(setup_lib.tokenization, 'load', side_effect=(
      errors.UserError('no vocabulary'))):
    with pytest.raises(errors.UserError, match='no vocabulary'):
      run.run(config, 'glue')
  run.run(dataclasses.replace(config, max_steps=1), 'glue')


def test_a_run_that_diverges_before_its_first_save_leaves_the_folder_free(
    config):
  with pytest.raises(errors.UserError, match='`learning_rate`'):
    run.run(dataclasses.replace(config, learning_rate=1e30), 'glue')
  run.run(dataclasses.replace(config, max_steps=1), 'glue')


def test_a_kill_during_the_first_save_leaves_the_folder_free(config):
  with mock.patch.object(os, 'rename', kill), pytest.raises(Killed):
    run.run(config, 'glue')
  left, = os.listdir(os.path.join(config.workdir, 'resume'))
  assert left.startswith('4.')  # Orbax renames it once it is complete.
  run.run(dataclasses.replace(config, max_steps=1), 'glue')


@pytest.mark.parametrize('number, name', [
    (0, 'run.json'), (1, 'resume/4.sha256.json'),
    (3, 'adapter/tuned.safetensors'), (5, 'record.json')])
def test_a_full_disk_is_one_line_and_loses_no_save(config, whole, number, name):
  full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
  sync, numbers = os.fsync, itertools.count()

  def fsync(file):
    if os.path.isdir(f'/proc/self/fd/{file}'):
      return sync(file)
    if next(numbers) == number:
      raise full
    return sync(file)

  with mock.patch.object(os, 'fsync', fsync):
    with pytest.raises(errors.UserError, match='`workdir`: .*room') as caught:
      run.run(config, 'glue')
  assert f'{config.workdir}/{name}: No space left' in str(caught.value)
  assert '\n' not in str(caught.value)
  check_resumed(config, whole)


def test_a_log_on_a_full_disk_ends_no_training(config):
  class Full:
    """A stream on a full disk."""
    encoding = 'utf-8'

    def write(self, text):
      raise OSError(errno.ENOSPC, 'No space left on device')
    flush = write

  with mock.patch.object(sys, 'stdout', Full()):
    run.run(dataclasses.replace(config, max_steps=1), 'glue')
