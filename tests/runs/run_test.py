"""Whole runs on a tiny checkpoint, as a user starts them."""

import contextlib
import dataclasses
import datetime
import functools
import io
import json
import math
import os
import re
import shutil
import signal
from unittest import mock

import jax
import numpy as np
import pytest

from adapters_jax.adapters import prediction
from adapters_jax.data import metrics
from adapters_jax import errors
from adapters_jax.model import base as base_lib
from adapters_jax.runs import compact
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import console
from adapters_jax.runs import records
from adapters_jax.runs import run
from adapters_jax.runs import session
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import sittings
from adapters_jax.runs import version
from adapters_jax.training import loop
from tests import outputs
from tests import tiny


@pytest.fixture
def config(checkpoint, own_files, tmp_path) -> config_lib.Config:
  """Twelve steps on own data, evaluated after 4, 8 and 12."""
  return make_config(checkpoint, own_files, tmp_path)


def make_config(checkpoint, own_files, folder):
  return tiny.run_config(
      checkpoint, own_files, str(folder / 'work'), buckets=0, max_steps=12)


@pytest.fixture(scope='module')
def trained(checkpoint, own_files, tmp_path_factory):
  """Returns (settings, record, output) of a finished run of `config`."""
  config = make_config(
      checkpoint, own_files, tmp_path_factory.mktemp('trained'))
  out = io.StringIO()
  with mock.patch.object(session, 'enable_compilation_cache', lambda: None):
    with contextlib.redirect_stdout(out):
      console.show()
      record = run.run(config, 'glue')
  return config, record, out.getvalue()


def assert_same_trees(a, b):
  assert list(a) == list(b)
  for path in a:
    np.testing.assert_array_equal(a[path], b[path], path)


def test_a_run_writes_record_and_adapter(trained, capsys):
  config, record, out = trained
  assert record == records.read(f'{config.workdir}/record.json')
  assert set(record.metrics) == {'dev', 'test'}
  assert list(record.metrics['dev']) == ['accuracy', 'macro_f1']
  assert [entry['step'] for entry in record.history] == [4, 8, 12]
  # 2 sites, d = 12, m = 3; 3 norms; a head of 2 classes.
  assert record.roles == {
      'adapter': 2 * (2 * 36 + 15), 'norm': 3 * 24, 'head': 26}
  assert record.trained_params == sum(record.roles.values())
  assert record.real_tokens < record.padded_tokens == 12 * 16 * 12
  assert record.steps == 12
  assert record.config['train_file'].startswith('train.tsv@')
  assert record.config['numbers'] == record.numbers == version.NUMBERS
  assert '/' not in json.dumps(record.config)  # No machine's paths.
  assert sorted(os.listdir(config.workdir)) == [
      '.lock', 'adapter', 'record.json', 'run.json']
  for words in ('trained parameters', 'step 12', 'test: accuracy'):
    assert words in out

  assert run.run(config, 'glue') == record  # Finished: no second training.
  assert 'finished before' in capsys.readouterr().out


def test_the_best_step_is_the_saved_one(trained):
  config, record, _ = trained
  scores = {e['step']: e['dev']['accuracy'] for e in record.history}
  assert record.metrics['dev']['accuracy'] == max(scores.values())
  assert scores[record.best_step] == max(scores.values())
  loaded = prediction.load(config.workdir, config.checkpoint)
  task, splits, _ = setup_lib.load_data(config)
  logits = outputs.logits(*loaded, splits['dev'].texts)
  answers = logits.argmax(-1)
  assert np.mean(answers == splits['dev'].labels) == pytest.approx(
      record.metrics['dev']['accuracy'])
  assert loaded[1].labels == task.labels


def test_metrics_follow_from_the_predictions_in_the_record(trained):
  config, record, _ = trained
  task, splits, _ = setup_lib.load_data(config)
  assert list(record.predictions) == ['dev', 'test']
  for split, packed in record.predictions.items():
    found = {name: compact.to_array(text) for name, text in packed.items()}
    np.testing.assert_array_equal(found['labels'], splits[split].labels)
    assert record.metrics[split] == metrics.compute(
        task.metrics, found['labels'], found['predictions'])
    assert record.data[split]['examples'] == len(splits[split].labels)
  assert os.path.getsize(f'{config.workdir}/record.json') < 20_000


@pytest.mark.slow
def test_the_last_step_is_scored_beside_the_best(config, tmp_path):
  # Unlike an accuracy, a correlation changes with every step.
  config = regression(config, tmp_path)
  config = dataclasses.replace(config, test_file=config.dev_file)
  keep_best, records_of = loop.keep_best, []
  for name, scores in (('best', [0.4, 0.9, 0.5]), ('last', [0.1, 0.2, 0.9])):
    given = iter(scores)
    with mock.patch.object(
        loop, 'keep_best', lambda progress, _, step, given=given: keep_best(
            progress, next(given), step)):
      records_of.append(run.run(dataclasses.replace(
          config, workdir=str(tmp_path / name)), 'glue'))
  best, last = records_of
  assert (best.best_step, last.best_step) == (8, 12)
  assert best.last == last.last == last.metrics
  assert best.metrics['dev'] == best.history[1]['dev']
  assert set(best.last) == {'dev', 'test'} and best.last != best.metrics


def test_a_record_names_data_machine_and_computation(trained):
  config, record, _ = trained
  assert set(record.data) == {'train', 'dev', 'test'}
  for part in record.data.values():
    assert re.fullmatch('[0-9a-f]{16}', part['sha256'])
  assert 'float32' in record.computation and 'matmul' in record.computation
  assert record.machine['cpu'] and record.machine['threads'] >= 1
  assert record.peak_bytes['host'] > 1e8
  assert {'jaxlib', 'scikit-learn'} <= set(record.versions)
  assert record.base_files == base_lib.file_hashes(config.checkpoint) != {}
  ended = datetime.datetime.fromisoformat(record.date)
  age = datetime.datetime.now(datetime.UTC) - ended
  assert 0 <= age.total_seconds() < 1800


def test_killed_and_resumed_is_bit_equal(trained, tmp_path):
  config, whole, _ = trained
  parts = dataclasses.replace(config, workdir=str(tmp_path / 'parts'))

  def interrupt_at(step):
    return tiny.at_step(step, lambda: signal.raise_signal(signal.SIGTERM))

  # Once after the first evaluation, once in the middle of an interval.
  with interrupt_at(3), pytest.raises(errors.Interrupted):
    run.run(parts, 'glue')
  with pytest.raises(errors.UserError, match='`resume`'):
    run.run(parts, 'glue')
  parts = dataclasses.replace(parts, resume=True)
  with interrupt_at(9), pytest.raises(
      errors.Interrupted, match='10 of 12 steps'):
    run.run(parts, 'glue')
  resumed = run.run(parts, 'glue')
  assert resumed.history == whole.history
  assert resumed.metrics == whole.metrics
  assert_same_trees(tiny.tuned_of(parts.workdir), tiny.tuned_of(config.workdir))
  assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_seeds_differ(config, tmp_path):
  short = dataclasses.replace(config, max_steps=2)
  kernels = []
  for seed in (0, 1):
    folder = str(tmp_path / str(seed))
    run.run(dataclasses.replace(short, workdir=folder, seed=seed), 'glue')
    kernels.append(tiny.tuned_of(folder)[
        'encoder/layer_0/adapter_ffn_output_0/down/kernel'])
  assert not np.array_equal(*kernels)


def test_a_run_without_clipping_is_found_finished(config):
  config = dataclasses.replace(
      config, clip_norm=math.inf, max_steps=1, eval_every=0)
  record = run.run(config, 'glue')
  assert record.config['clip_norm'] == math.inf
  assert run.run(config, 'glue') == record
  assert prediction.load(config.workdir, config.checkpoint)[1].settings[
      'clip_norm'] == math.inf


def test_a_baseline_runs_and_reloads(config):  # `start_test` has the others.
  config = dataclasses.replace(
      config, tune='full', max_steps=2, eval_every=0, head_input='pooler')
  record = run.run(config, 'glue')
  assert 'adapter' not in record.roles
  loaded = prediction.load(config.workdir, config.checkpoint)
  assert outputs.logits(*loaded, [('good film',)]).shape == (1, 2)


def regression(config, folder, **changed):
  """Returns settings for data with scores, the same in every split."""
  rows = ['sentence\tlabel']
  for i in range(40):
    rows.append(f'{("good", "bad")[i % 2]} film{" very" * (i % 3)}\t'
                f'{(2.0, -2.0)[i % 2] + i / 40}')
  path = folder / 'scores.tsv'
  path.write_text('\n'.join(rows) + '\n')
  return dataclasses.replace(
      config, train_file=str(path), dev_file=str(path), file_task='regression',
      **changed)


def test_regression(config, tmp_path):
  record = run.run(regression(
      config, tmp_path, test_file='', max_steps=60, eval_every=60), 'glue')
  assert list(record.metrics) == ['dev']
  assert record.metrics['dev']['spearman'] > 0.6
  assert record.notes == []


def test_collapse_is_reported(config):
  frozen = dataclasses.replace(
      config, tune='head', learning_rate=1e-9, max_steps=1, eval_every=1)
  record = run.run(frozen, 'glue')
  assert 'collapsed_to' in record.history[0]
  assert 'collapse: every dev example is called' in record.notes[0]


def test_a_subset_is_fixed_and_named(config):
  subset = dataclasses.replace(config, train_examples=20, max_steps=1)
  first = setup_lib.prepare(subset)
  second = setup_lib.prepare(dataclasses.replace(subset, seed=7))
  assert first.notes == ('trained on 20 of 60 examples',)
  assert len(first.splits['train']) == 20
  for a, b in zip(first.splits['train'].tokens, second.splits['train'].tokens,
                  strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_bfloat16_base_and_float32_tuned(config):
  half = dataclasses.replace(config, precision='bfloat16', max_steps=2)
  setup = setup_lib.prepare(half)
  assert {leaf.dtype.name for leaf in jax.tree.leaves(setup.base)} == {
      'bfloat16'}
  assert {leaf.dtype.name for leaf in jax.tree.leaves(setup.tuned)} == {
      'float32'}
  assert np.isfinite(run.run(half, 'glue').history[0]['loss'])


def test_the_commit_is_that_of_the_code_that_began(config, monkeypatch):
  commits = ['before']
  monkeypatch.setattr(records, 'commit_of', lambda _: commits[-1])
  # Other runs of this process have asked before.
  monkeypatch.setattr(
      sittings, 'commit', functools.cache(sittings.commit.__wrapped__))
  config = dataclasses.replace(config, max_steps=2, eval_every=2)
  with tiny.at_step(1, lambda: commits.append('after')):
    assert run.run(config, 'glue').commit == 'before'


def test_an_adapter_knows_its_base(trained, tmp_path, checkpoint):
  config, _, _ = trained
  with pytest.raises(errors.UserError, match='trained on the folder tiny'):
    prediction.load(config.workdir)
  other = tmp_path / 'other'
  tiny.write_checkpoint(str(other), seed=1)
  with pytest.raises(errors.UserError, match='is not the base'):
    prediction.load(config.workdir, str(other))
  moved = shutil.copytree(checkpoint, tmp_path / 'elsewhere')
  prediction.load(config.workdir, str(moved))  # The content counts.
  with pytest.raises(errors.UserError, match='no saved adapter'):
    prediction.load(str(tmp_path))
