"""Trackers of losses and scores, also through kills and in groups."""

import contextlib
import dataclasses
import glob
import json
import logging
import os
import resource
import struct
import sys
from unittest import mock

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.runs import identity
from adapters_jax.runs import run
from adapters_jax.runs import trackers
from tests import tiny
from tests.runs import interrupted_test as interrupted

whole = interrupted.whole


@pytest.fixture
def config(checkpoint, own_files, tmp_path):
  """Eight steps on own data, evaluated after 4 and 8, and tracked."""
  return tiny.run_config(
      checkpoint, own_files, str(tmp_path / 'work'), track='jsonl')


def path_of(folder):
  return os.path.join(folder, trackers.JsonLines.place)


def lines_of(folder):
  with open(path_of(folder), encoding='utf-8') as file:
    return [json.loads(line) for line in file]


def events_of(folder):
  """Yields the events of TensorBoard's event files, in order."""
  from tensorboardX.proto import event_pb2
  for path in sorted(glob.glob(os.path.join(
      folder, trackers.TensorBoard.place, '*'))):
    with open(path, 'rb') as file:
      while header := file.read(12):  # Length and its checksum.
        size, = struct.unpack('<Q', header[:8])
        yield event_pb2.Event.FromString(file.read(size + 4)[:-4])


def scalars_of(folder):
  """Returns [(step, name, value)] of TensorBoard's event files, in order."""
  return [(event.step, value.tag, value.simple_value)
          for event in events_of(folder) for value in event.summary.value]


@pytest.mark.parametrize('text', ['jsonl', 'jsonl,', ' jsonl , jsonl'])
def test_each_tracker_is_named_once(text):
  assert trackers.names(text) == ('jsonl',)
  assert trackers.names('') == trackers.names(',') == ()


def test_losses_rates_and_scores(config, whole):
  record = run.run(dataclasses.replace(
      config, track='jsonl,tensorboard'), 'glue')
  assert record.history == whole[0]  # Tracking changes no number.
  untracked = dataclasses.replace(config, track='')
  assert record.config == identity.portable(untracked)
  lines = lines_of(config.workdir)
  steps = [line for line in lines if 'train/loss' in line]
  assert [line['step'] for line in steps] == list(range(1, 9))
  assert set(steps[0]) == {
      'step', 'train/loss', 'train/grad_norm', 'train/learning_rate'}
  rates = [line['train/learning_rate'] for line in steps]
  assert max(rates) == pytest.approx(config.learning_rate) and rates[-1] < 2e-3
  for first, entry in zip((0, 4), record.history, strict=True):
    assert np.mean([line['train/loss'] for line in steps[first:first + 4]]) == (
        pytest.approx(entry['loss']))
  scores = [(line['step'], line['dev/accuracy']) for line in lines
            if 'dev/accuracy' in line]
  assert scores == [(entry['step'], entry['dev']['accuracy'])
                    for entry in record.history]
  assert lines[-1]['step'] == 8
  assert lines[-1]['best/test/accuracy'] == record.metrics['test']['accuracy']
  found = scalars_of(config.workdir)
  wanted = [(line['step'], name, value) for line in lines
            for name, value in line.items() if name != 'step']
  assert [one[:2] for one in found] == [one[:2] for one in wanted]
  np.testing.assert_allclose(
      [one[2] for one in found], [one[2] for one in wanted], rtol=1e-6)


@pytest.mark.parametrize('at', [3, 7])
def test_a_killed_run_goes_on_as_if_undisturbed(config, whole, at):
  with tiny.at_step(at, interrupted.kill), pytest.raises(
      interrupted.Killed):
    run.run(config, 'glue')
  with open(path_of(config.workdir), 'a') as file:
    file.write('{"step": 6, "tra')  # A kill in the middle of a line.
  record = run.run(dataclasses.replace(config, resume=True), 'glue')
  assert record.history == whole[0]
  lines = lines_of(config.workdir)
  assert [line['step'] for line in lines] == [
      1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 8]


@contextlib.contextmanager
def files_of_at_most(size):
  """Lets no file of this process grow beyond a size, as on a full disk."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize('name', ['jsonl', 'tensorboard'])
def test_a_full_disk_turns_a_tracker_off(name, tmp_path, caplog):
  one = trackers.TRACKERS[name](str(tmp_path), 'hash', {})
  one.begin(0)
  with files_of_at_most(500):
    for step in range(1000):
      one.add(step, {'train/loss': 0.5})
    one.end()
  found, = caplog.records
  assert found.levelno == logging.WARNING
  assert found.getMessage().endswith(
      f'{one.place}: File too large; the run goes on without it')
  if name == 'jsonl':
    with open(path_of(tmp_path)) as file:
      assert json.loads(file.readline()) == {'step': 0, 'train/loss': 0.5}


def test_a_place_that_is_taken_turns_a_tracker_off(config, whole, caplog):
  os.makedirs(os.path.join(path_of(config.workdir), 'folder'))
  record = run.run(dataclasses.replace(config, resume=True), 'glue')
  assert record.history == whole[0]
  assert caplog.text.count('the run goes on without it') == 1


def test_a_damaged_file_is_no_obstacle(tmp_path):
  good = [b'{"step": 1, "train/loss": 0.5}', b'{"step": 2, "note": "\xff"}']
  path = tmp_path / trackers.JsonLines.place
  path.write_bytes(b'\n'.join([
      good[0], b'\xff', b'{"a": 1}', b'[1]', b'3', b'null', b'{"step": "1"}',
      b'[' * 100_000, b'', b'{"step": 7}', good[1]]))
  one = trackers.JsonLines(str(tmp_path), 'hash', {})
  one.begin(2)
  one.add(3, {'train/loss': 0.25})
  one.end()
  assert lines_of(tmp_path) == [
      {'step': 1, 'train/loss': 0.5}, {'step': 2, 'note': '\ufffd'},
      {'step': 3, 'train/loss': 0.25}]


def test_event_files_of_a_resumed_run_hide_its_later_steps(tmp_path):
  from tensorboardX.proto import event_pb2
  one = trackers.TensorBoard(str(tmp_path), 'hash', {})
  one.begin(4)
  one.end()
  *_, last = events_of(tmp_path)
  assert last.step == 5
  assert last.session_log.status == event_pb2.SessionLog.START


def test_weights_and_biases(config, monkeypatch):
  service, project = mock.Mock(), 'mine'
  monkeypatch.setitem(sys.modules, 'wandb', service)
  monkeypatch.setenv('WANDB_PROJECT', project)
  config = dataclasses.replace(config, track='wandb')
  record = run.run(config, 'glue')
  started = service.init.call_args.kwargs
  assert started['project'] == project and started['resume'] is None
  assert started['config'] == record.config
  assert started['id'] == identity.digest(record.config)
  logged = service.init.return_value.log.call_args_list
  steps = [call.kwargs['step'] for call in logged]
  assert steps == sorted(steps) and len(steps) == 11  # It takes no step back.
  assert logged[-1].args[0]['best/step'] == record.best_step
  service.init.return_value.finish.assert_called_once_with()


class UsageError(Exception):
  """Stands for an error of the service, which is no OSError."""


@pytest.mark.parametrize('call, logged', [
    ('init', 0), ('init.return_value.log', 1),
    ('init.return_value.finish', 11)])
def test_an_error_of_the_service_turns_it_off(
    config, whole, call, logged, monkeypatch, caplog):
  service = mock.Mock()
  service.configure_mock(**{f'{call}.side_effect': UsageError(
      'api_key not configured (no-tty)\n  call wandb login')})
  monkeypatch.setitem(sys.modules, 'wandb', service)
  record = run.run(dataclasses.replace(config, track='wandb,jsonl'), 'glue')
  assert record.history == whole[0]
  found = [one.getMessage() for one in caplog.records
           if one.levelno == logging.WARNING]
  assert found == [
      f'`track`: {config.workdir}/wandb: UsageError: api_key not configured '
      '(no-tty); the run goes on without it']
  assert service.init.return_value.log.call_count == logged
  assert lines_of(config.workdir)[-1]['step'] == 8  # Others go on.


def test_wrong_names_before_anything_is_loaded(config, monkeypatch):
  for text, message in (
      ('jsnl', "`track`: unknown 'jsnl'.*jsonl"),
      ('tensorbord', 'tensorboard')):
    with pytest.raises(errors.UserError, match=message):
      run.run(dataclasses.replace(config, track=text), 'glue')
  monkeypatch.setitem(sys.modules, 'wandb', None)  # As if not installed.
  with pytest.raises(
      errors.UserError, match='`track=wandb`: wandb is missing: .*track.'):
    run.run(dataclasses.replace(config, track='wandb'), 'glue')
  assert not os.path.exists(config.workdir)
