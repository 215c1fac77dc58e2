"""Sentence embeddings and masked LM: kills, groups of runs, several hosts.

And evaluations of all kinds of tasks in larger batches than the training's;
compiled_test.py has those of classification.
"""

import dataclasses
import json
from unittest import mock

import jax
import numpy as np
import pytest

from adapters_jax.adapters import storage
from adapters_jax.data import batching
from adapters_jax.data import progress
from adapters_jax.model import precision
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import presets
from adapters_jax.runs import run
from adapters_jax.runs import saving
from adapters_jax.runs.kinds import embeddings
from adapters_jax.runs.kinds import language_modeling
from adapters_jax.runs.kinds import question_answering
from adapters_jax.runs.kinds import tagging
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import vmapped
from tests import tiny
from tests.experiments import squad_test
from tests.experiments import tagging_test
from tests.runs import interrupted_test as interrupted
from tests.training import hosts_test as hosts

KINDS = {'embeddings': embeddings.KIND,
         'language_modeling': language_modeling.KIND}


def settings_of(name, folder):
  """Returns the settings of a kind and writes its data."""
  rng = np.random.default_rng(0)
  texts = [' '.join(rng.choice(tiny.WORDS[:11], rng.integers(3, 9)))
           for _ in range(32)]
  shared = {'max_length': 12, 'buckets': 0, 'batch_size': 8, 'max_steps': 6,
            'eval_every': 3, 'learning_rate': 1e-2, 'dev_fraction': 0.25,
            'train_file': f'{folder}/{name}.jsonl'}
  with open(shared['train_file'], 'w') as file:
    for text in texts:
      file.write(json.dumps({
          'text': text, 'anchor': text, 'positive': f'{text} film'}) + '\n')
  if name == 'embeddings':
    return {**shared, 'adapter_size': 3, 'file_task': 'pairs',
            'text_columns': 'anchor,positive'}
  return {**shared, 'adapter_config': 'seq_bn_inv[reduction_factor=4]',
          'tune_norms': False, 'file_task': 'text', 'text_columns': 'text',
          'mask_rate': 0.3}


def config_of(name, checkpoint, folder, **changed):
  # Defaults of the command.
  task = {'language_modeling': presets.LANGUAGE_MODELING}.get(
      name, {}).get('task', config_lib.Config.task)
  return config_lib.Config(  # In float32, as other processes compute, too.
      checkpoint=checkpoint, workdir=f'{folder}/run', task=task,
      **{'precision': 'float32', **settings_of(name, folder), **changed})


@pytest.mark.slow  # `interrupted_test` kills runs of classification.
def test_a_killed_run_with_batch_norm_continues_bit_equal(
    checkpoint, tmp_path, monkeypatch):
  name, kind = 'language_modeling', language_modeling.KIND
  config = config_of(
      name, checkpoint, str(tmp_path),
      adapter_config='bottleneck[size=3, inner_norm=batch]')
  whole = run.run(
      dataclasses.replace(config, workdir=f'{tmp_path}/whole'), name, kind)
  monkeypatch.setattr(saving, '_LITTLE', 0.0)
  with tiny.at_step(5, interrupted.kill), (
      pytest.raises(interrupted.Killed)):
    run.run(config, name, kind)
  assert interrupted.saved_step(config.workdir) == 3
  record = run.run(dataclasses.replace(config, resume=True), name, kind)
  assert record.history == whole.history
  assert record.metrics == whole.metrics
  jax.tree.map(
      np.testing.assert_array_equal, tiny.tuned_of(config.workdir),
      tiny.tuned_of(f'{tmp_path}/whole'))
  assert whole.roles['statistics'] == 2 * 2 * 3
  assert whole.trained_params == sum(whole.roles.values()) - 12


def config_of_any(name, checkpoint, folder):
  """Returns the settings of a run of any kind."""
  if name in KINDS:
    return config_of(name, checkpoint, str(folder))
  changed = {'max_length': 12, 'batch_size': 8}
  if name == 'tagging':
    files = {f'{split}_file': tagging_test.write(
        folder / f'{split}.conll', tagging_test.make_sentences(count))
             for split, count in (('train', 12), ('dev', 11))}
  else:
    files = {f'{split}_file': squad_test.write_json(
        f'{folder}/{split}.json', squad_test.make_questions(count))
             for split, count in (('train', 4), ('dev', 3))}
    changed['max_length'] = 24
  return tiny.run_config(checkpoint, files, f'{folder}/run', **changed)


@pytest.mark.parametrize('name, kind', [
    ('embeddings', embeddings.KIND), ('tagging', tagging.KIND), *(
        pytest.param(*other, marks=pytest.mark.slow) for other in (
            ('language_modeling', language_modeling.KIND),
            ('question_answering', question_answering.KIND)))])
def test_evaluations_in_batches_of_gpus(
    name, kind, checkpoint, tmp_path, monkeypatch, caplog):
  caplog.set_level('INFO', 'adapters_jax')
  setup = kind.prepare(config_of_any(name, checkpoint, tmp_path))
  expected = kind.make_score(setup, 8)(setup.tuned, 'dev')
  monkeypatch.setattr(
      precision, 'batching',
      lambda device: precision.Batching(multiple=16, evaluation=4))
  made = []

  def eval_batches(examples, buckets, *rest, **layout):
    made.append((buckets, layout['multiple']))
    return make_batches(examples, buckets, *rest, **layout)

  make_batches = batching.eval_batches
  monkeypatch.setattr(batching, 'eval_batches', eval_batches)
  size = compiled.eval_batch_size(setup, 8)
  assert size == 32
  with mock.patch.object(progress, '_SECONDS', 0.0):
    found = kind.make_score(setup, size)(setup.tuned, 'dev')
  scored = len(setup.evaluation.texts if name == 'embeddings'
               else setup.splits['dev'])
  assert caplog.messages[-1] == f'scored {scored} of {scored} examples'
  (lengths, multiple), = made
  assert multiple == 16  # Of a length beyond those of the training.
  if name == 'embeddings':  # Its texts have lengths of their own.
    assert not any(length % 16 for length in lengths)
  assert found[0] == pytest.approx(expected[0], rel=1e-5)
  if name == 'question_answering':
    assert [*found[1]] == [*expected[1]]
  else:
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5)


@pytest.mark.slow
def test_a_sweep_in_groups_equals_single_runs(checkpoint, tmp_path):
  name, kind, names = 'embeddings', embeddings.KIND, []
  config = config_of(name, checkpoint, str(tmp_path))
  run_unit = vmapped.run_unit

  def counted(configs, *rest, **options):
    names.append(len(configs))
    return run_unit(configs, *rest, **options)

  with mock.patch.object(vmapped, 'run_unit', counted):
    outcome = engine.go(
        [config], name, grid.Options(
            grid='learning_rate=1e-2,3e-3', seeds='0-1'),
        execution.HowToRun(group='4'), kind)
  assert names == [4] and not outcome.failures
  assert len(outcome.records) == 4
  for record, folder in zip(outcome.records, outcome.folders, strict=True):
    single = dataclasses.replace(
        config, seed=record.config['seed'],
        learning_rate=record.config['learning_rate'],
        workdir=f'{tmp_path}/single-{record.config["seed"]}')
    if record.config['learning_rate'] == 1e-2:
      alone = run.run(single, name, kind)
      np.testing.assert_allclose(
          [entry['loss'] for entry in record.history],
          [entry['loss'] for entry in alone.history], rtol=1e-4)
      jax.tree.map(
          lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
          storage.load_tuned(f'{folder}/adapter')[0],
          storage.load_tuned(f'{single.workdir}/adapter')[0])


@pytest.mark.slow
@pytest.mark.parametrize('name', KINDS)
def test_two_hosts_equal_one(name, checkpoint, tmp_path):
  config, port = config_of(name, checkpoint, str(tmp_path)), hosts.free_port()
  hosts.finish(*(
      hosts.start(f'{tmp_path}/both', checkpoint,
                  settings_of(name, str(tmp_path)), process=process, port=port,
                  module=f'experiments.{name}') for process in range(2)),
               timeout=900)
  run.run(config, name, KINDS[name])
  assert hosts.read(f'{tmp_path}/both')[0].device.startswith('2 x cpu')
  hosts.check_equal(
      hosts.read(f'{tmp_path}/both'), hosts.read(config.workdir), rel=1e-5)
