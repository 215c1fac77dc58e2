"""Trackers of losses and scores, also through kills and in groups."""

import dataclasses
import glob
import json
import os
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


def scalars_of(folder):
  """Returns [(step, name, value)] of TensorBoard's event files, in order."""
  from tensorboardX.proto import event_pb2
  found = []
  for path in sorted(glob.glob(os.path.join(
      folder, trackers.TensorBoard.place, '*'))):
    with open(path, 'rb') as file:
      while header := file.read(12):  # Length and its checksum.
        size, = struct.unpack('<Q', header[:8])
        event = event_pb2.Event.FromString(file.read(size + 4)[:-4])
        found += [(event.step, value.tag, value.simple_value)
                  for value in event.summary.value]
  return found


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
  with interrupted.at_step(at, interrupted.kill), pytest.raises(
      interrupted.Killed):
    run.run(config, 'glue')
  with open(path_of(config.workdir), 'a') as file:
    file.write('{"step": 6, "tra')  # A kill in the middle of a line.
  record = run.run(dataclasses.replace(config, resume=True), 'glue')
  assert record.history == whole[0]
  lines = lines_of(config.workdir)
  assert [line['step'] for line in lines] == [
      1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 8]


@pytest.mark.slow
def test_runs_of_a_group_have_files_of_their_own(config, tmp_path):
  pair = [dataclasses.replace(
      config, seed=seed, workdir=str(tmp_path / str(seed)))
          for seed in (0, 1)]
  found = run.run_group(
      pair, 'glue', names=('a', 'b'), state_folder=str(tmp_path / 'state'))
  for one, record in zip(pair, found, strict=True):
    lines = lines_of(one.workdir)
    assert lines[-1]['best/dev/accuracy'] == record.metrics['dev']['accuracy']
    assert [line['dev/accuracy'] for line in lines if 'dev/accuracy' in line
            ] == [entry['dev']['accuracy'] for entry in record.history]
  assert lines_of(pair[0].workdir) != lines_of(pair[1].workdir)


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


def test_wrong_names_before_anything_is_loaded(config, monkeypatch):
  for text, message in (
      ('jsnl', "`track`: unknown 'jsnl'.*jsonl"), ('jsonl,', "unknown ''"),
      ('tensorbord', 'tensorboard')):
    with pytest.raises(errors.UserError, match=message):
      run.run(dataclasses.replace(config, track=text), 'glue')
  monkeypatch.setitem(sys.modules, 'wandb', None)  # As if not installed.
  with pytest.raises(
      errors.UserError, match='`track=wandb`: wandb is missing: .*track.'):
    run.run(dataclasses.replace(config, track='wandb'), 'glue')
  assert not os.path.exists(config.workdir)
