"""States that meet other data, another computation or another base."""

import dataclasses
import json
import os
import shutil
from unittest import mock

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import tasks
from adapters_jax.model import base as base_lib
from adapters_jax.model import precision
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import log as log_lib
from adapters_jax.runs import rungs
from adapters_jax.runs import run as run_lib
from adapters_jax.runs import same_inputs
from adapters_jax.runs import session
from adapters_jax.runs import setup as setup_lib
from adapters_jax.training import hosts

INPUTS = {'data': {'train': {'examples': 2, 'sha256': 'ab'},
                   'dev': {'examples': 1, 'sha256': 'cd'}},
          'computation': 'computes in float32, on cpu',
          'base': 'owner/base#' + '1' * 16,
          'base_files': {'config.json': 'ef', 'vocab.txt': '01'}}


def named_data(word='good'):
  """Stands for the data of a named task in some folder."""
  labels = np.arange(16, dtype=np.int32) % 2
  train = [(('bad', 'fine')[one], 'a film') for one in labels]
  return mock.patch.object(setup_lib, 'load_data', lambda config: (
      tasks.find('rte'), {
          'train': tasks.Split(train, labels),
          'dev': tasks.Split([(word, 'a film')] * 4, labels[:4])}, []))


def named_base(digest):
  """Stands for a revision of a base on the hub."""
  return mock.patch.object(
      base_lib, 'identity', lambda checkpoint: 'owner/base#' + digest * 16)


def gaining(gains):
  """Stands for a processor that gains by bfloat16 products or not."""
  return mock.patch.object(
      precision, '_cpu_gains_by_bfloat16', lambda: gains)


@pytest.fixture(scope='module')
def paused(checkpoint, tmp_path_factory) -> config_lib.Config:
  """A run of a named task that waits after the first of two epochs."""
  config = config_lib.Config(
      task='rte', checkpoint=checkpoint, max_length=12, epochs=2.0,
      batch_size=8, buckets=0, adapter_size=3, resume=True,
      workdir=str(tmp_path_factory.mktemp('paused') / 'work'))
  with (named_data(), named_base('1'), gaining(False),
        mock.patch.object(session, 'enable_compilation_cache')):
    found, = run_lib.run_group([config], 'glue', pause=1.0)
  assert isinstance(found, rungs.Paused)
  return config


@pytest.mark.parametrize('word, digest, gains, match', [
    ('dull', '1', False, 'was trained with other dev examples.* give the data'),
    ('good', '2', False, 'was trained on the base owner/base#1{16}, and '
     'owner/base#2{16} is at hand; give the base'),
    ('good', '1', True, 'computes in float32, matmul precision default, on '
     'cpu, and this machine computes in float32, products of bfloat16, '
     '.*; continue on a processor')])
def test_a_state_goes_on_with_its_own_inputs_alone(
    paused, word, digest, gains, match):
  state = os.path.join(paused.workdir, 'resume')
  with named_data(word), named_base(digest), gaining(gains):
    with pytest.raises(
        errors.UserError, match=f'`resume`: the state in {state} {match} as '
        'before, or delete that folder to begin again'):
      run_lib.run(paused, 'glue')
  assert os.listdir(state)  # It can go on still.


@pytest.mark.parametrize('name, change', [
    ('config.json', lambda text: text.replace('"gelu"', '"relu"')),
    ('vocab.txt', lambda text: text.replace('good', 'goodly'))])
def test_a_state_does_not_go_on_with_other_small_files_of_its_base(
    paused, name, change, tmp_path):
  moved = shutil.copytree(
      paused.checkpoint, tmp_path / os.path.basename(paused.checkpoint))
  text = (moved / name).read_text()
  (moved / name).write_text(change(text))
  assert (moved / name).read_text() != text
  with named_data(), named_base('1'), gaining(False), pytest.raises(
      errors.UserError, match=f'`resume`: .* with another {name} of the base '
      'than at hand; give the base as before'):
    run_lib.run(dataclasses.replace(paused, checkpoint=str(moved)), 'glue')


def test_the_refused_state_goes_on_with_its_inputs(paused, tmp_path):
  with named_data(), named_base('1'):
    whole = run_lib.run(dataclasses.replace(
        paused, workdir=str(tmp_path / 'whole')), 'glue')
    resumed = run_lib.run(paused, 'glue')
  assert resumed.history == whole.history
  assert len(resumed.history) == 2
  assert resumed.data == whole.data


def test_a_state_of_an_earlier_version_goes_on():
  log = log_lib.Log.from_json({'runs': [], 'seconds': 1.0, 'cpu_seconds': 2.0})
  assert same_inputs.continued(log, INPUTS, 'state').inputs == INPUTS
  log.inputs = {name: INPUTS[name] for name in ('data', 'computation', 'base')}
  assert same_inputs.continued(log, INPUTS, 'state').inputs == INPUTS


@pytest.mark.parametrize('changed, match', [
    ({}, ''),
    ({'data': {'train': INPUTS['data']['train']}}, 'other dev examples'),
    ({'computation': 'computes in float32, on gpu'}, 'float32, on gpu; conti'),
    # A folder may be renamed, or be a copy.
    ({'base': 'folder@' + '1' * 16}, ''),
    ({'base': 'folder@' + '2' * 16}, 'and folder@2{16} is at hand'),
    ({'base_files': {'config.json': 'ef', 'vocab.txt': '02'}},
     'another vocab.txt of the base'),
    ({'base_files': {}}, '')])
def test_differences_of_inputs(changed, match):
  log = log_lib.Log([log_lib.RunLog()], inputs=INPUTS)
  now = {**INPUTS, **changed}
  if not match:
    assert same_inputs.continued(log, now, 'state').inputs == now
    return
  with pytest.raises(errors.UserError, match=match):
    same_inputs.continued(log, now, 'state')


@pytest.mark.parametrize('files, names', [
    ({'config.json': 'ef'}, 'vocab.txt'),
    ({**INPUTS['base_files'], 'tokenizer.json': '3'}, 'tokenizer.json'),
    (INPUTS['base_files'], '')])
def test_a_small_file_of_one_side_is_a_warning(files, names, caplog):
  now = {**INPUTS, 'base_files': files}
  assert same_inputs.continued(
      log_lib.Log([log_lib.RunLog()], inputs=INPUTS), now, 'state'
  ).inputs == now
  assert [one.getMessage() for one in caplog.records] == (names != '') * [
      f'the state in state or the base at hand has no {names}, which may '
      'change results']


def test_all_hosts_end_with_the_fault_of_one(monkeypatch):
  monkeypatch.setattr(hosts, 'first_text', lambda text: 'is of host 1; do')
  with pytest.raises(errors.UserError, match='state is of host 1; do as befo'):
    same_inputs.continued(
        log_lib.Log([log_lib.RunLog()], inputs=INPUTS), INPUTS, 'state')


@pytest.mark.parametrize('changed, names', [
    ({}, ''), ({'settings': {'seed': 5, 'epochs': 1}}, '`seed`'),
    ({'settings': {'seed': 5}}, '`seed` and another `epochs`'),
    ({'data': {'train': 'cd'}}, 'data'), ({'base': 'b@2'}, 'base')])
def test_hosts_have_the_inputs_of_the_first(monkeypatch, changed, names):
  first = {'settings': {'seed': 0, 'epochs': 1}, 'data': {'train': 'ab'},
           'base': 'b@1'}
  found = iter([json.dumps(first)])
  monkeypatch.setattr(same_inputs.jax, 'process_count', lambda: 2)
  monkeypatch.setattr(same_inputs.jax, 'process_index', lambda: 1)
  monkeypatch.setattr(
      hosts, 'first_text', lambda text: next(found, text))
  if not names:
    same_inputs.demand_same_on_hosts({**first, **changed})
    return
  with pytest.raises(errors.SweepError, match=(
      f'^`coordinator`: process 1 has another {names} than process 0; ')):
    same_inputs.demand_same_on_hosts({**first, **changed})
