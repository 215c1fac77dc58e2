"""Tests of the ablation scripts and of adapters_jax.removal."""

import dataclasses
import importlib
import json
import pkgutil
from unittest import mock

import numpy as np
import pytest

from adapters_jax.analysis import layer_removal
from adapters_jax.api import flags
from adapters_jax.data import tasks
from adapters_jax import errors
from adapters_jax.methods import bottleneck
from adapters_jax.model import heads
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records as records_lib
from adapters_jax.runs import task_checks
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import grid
from adapters_jax.training import selections
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees
import experiments
from experiments import ablation_init
from experiments import ablation_layers
from experiments import ablation_size
from experiments import ablations
from tests import tiny


@pytest.fixture(scope='module')
def checkpoint(two_layers):
  """Two layers, as spans begin at each."""
  return two_layers


@pytest.fixture
def config(checkpoint, own_files, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  return config_lib.Config(
      checkpoint=checkpoint, **own_files, task='toy', adapter_size=3,
      batch_size=16, learning_rate=3e-2, buckets=1, max_length=12, max_steps=6)


# {ablation: its grid}, of those that make it for a model.
MADE = {'ablation_size': lambda: ablation_size.points(6, 384),
        'ablation_layers': lambda: ablation_layers.placements(6)}
NAMES = sorted(name for _, name, _ in pkgutil.iter_modules(experiments.__path__)
               if name.startswith('ablation_'))


@pytest.mark.parametrize('name', NAMES)
def test_every_point_of_a_grid_is_a_run(name):
  module = importlib.import_module(f'experiments.{name}')
  assert name in MADE or hasattr(module, 'GRID'), 'name its grid GRID'
  points = MADE[name]() if name in MADE else module.GRID
  runs = grid.expand(
      [config_lib.Config()], grid.Options(grid=points))
  assert len({grid.run_name(run) for run in runs}) == len(runs) > 1
  for one in runs:
    task_checks.check_run(one, 'test')


@pytest.mark.parametrize('layers, thirds', [
    (12, '0-3|4-7|8-11'), (6, '0-1|2-3|4-5'), (4, '0-0|1-2|3-3'),
    (2, '0-0|1-1')])
def test_thirds_of_the_layers(layers, thirds):
  assert ablation_layers.placements(layers).startswith(
      f'adapter_layers=all|{thirds};')


@pytest.mark.parametrize('layers, dim, sizes, top', [
    (6, 384, '1,4,16,64,256', '1,2,4,6'),
    (12, 768, '1,4,16,64,256', '1,2,4,6,9,12'),
    (4, 128, '1,4,16,64', '1,2,4'), (1, 8, '1,4', '1')])
def test_sizes_and_top_layers_are_those_of_the_model(layers, dim, sizes, top):
  points = ablation_size.points(layers, dim)
  assert f'adapter_size={sizes} ' in points and f'top_k={top} ' in points
  # The floor and the ceiling without which no task can tell methods apart.
  assert 'tune=head ' in points and 'tune=full ' in points


def test_sizes_are_picked_at_a_rate_unless_a_grid_is_given(config):
  with mock.patch.object(ablations, 'main') as made:
    ablation_size.main(config, grid.Options())
    ablation_size.main(config, grid.Options(grid='adapter_size=2'))
  (_, many), (_, own) = (call.args for call in made.call_args_list)
  assert many.pick == 'learning_rate'
  assert many.grid == ablation_size.points(2, 12)
  assert own == grid.Options(grid='adapter_size=2')


def test_the_seed_of_an_ablation_is_that_of_the_flag(monkeypatch):
  started = mock.Mock()
  monkeypatch.setattr(flags, 'start', started)
  ablations.start(ablation_init.GRID)
  many = grid.Options(grid=started.call_args.kwargs['defaults']['grid'])
  runs = grid.expand([config_lib.Config(seed=3)], many)
  assert len(runs) == 5 and {run.seed for run in runs} == {3}


@pytest.mark.slow
def test_without_its_adapters_a_model_is_one_without_adapters():
  adapted = dataclasses.replace(
      tiny.TWO_LAYERS, adapters=(bottleneck.Bottleneck(4, init_scale=0.5),))
  model = heads.Classifier(adapted, 2)
  base = tiny.drawn(heads.Classifier(tiny.TWO_LAYERS, 2))
  tuned, _ = trees.split(
      tiny.drawn(model, seed=1), selections.select_adapters(3))
  batch = tiny.random_batch()
  inputs = batch['tokens'], batch['segments'], batch['mask']

  def logits(tree, config):
    return np.asarray(heads.Classifier(config, 2).apply(
        {'params': trees.overlay(base, tree)}, *inputs))

  norms, _ = trees.split(tuned, lambda path: trees.role(path) != 'adapter')
  bare = layer_removal.without_layers(tuned, 0, 2)
  np.testing.assert_array_equal(
      logits(bare, adapted), logits(norms, tiny.TWO_LAYERS))
  # Of some layers: as if the others alone had been given adapters.
  kept = (bottleneck.Bottleneck(4, layers=(0,)),)
  np.testing.assert_array_equal(
      logits(layer_removal.without_layers(tuned, 1, 2), adapted),
      logits(tuned, dataclasses.replace(tiny.TWO_LAYERS, adapters=kept)))
  restored = trees.flatten(layer_removal.without_layers(tuned, 1, 2, base))
  for path, leaf in trees.flatten(norms).items():
    inside = trees.role(path) == 'norm' and trees.layer_of(path) in (1, 2)
    np.testing.assert_array_equal(
        restored[path], trees.flatten(base if inside else norms)[path], path)


def test_the_most_frequent_class_ranks_nothing():
  task = dataclasses.replace(
      tasks.find('sst2'), metrics=('roc_auc', 'accuracy'))
  assert layer_removal._majority(task, np.array([0, 1, 1, 1])) == {
      'roc_auc': 0.5, 'accuracy': 0.75}


@pytest.mark.slow
def test_all_spans_of_a_run_share_their_compiled_programs(
    config, monkeypatch, capsys):
  made = []
  make = steps_lib.make_eval_step

  def watched(*args, **kwargs):
    made.append(make(*args, **kwargs))
    return made[-1]

  monkeypatch.setattr(steps_lib, 'make_eval_step', watched)
  compiled._eval_step.cache_clear()  # Other tests may have left one.
  many = grid.Options(grid='adapter_layers=all', records='kept')
  ablation_layers.main(config, many, ablation_layers.Spans())
  shared, = made  # By the training run and all three spans.
  assert shared._cache_size() <= 2 * 2  # Two lengths; on devices, in memory.

  record, = records_lib.read_all('kept/glue')
  path = layer_removal.map_path('kept/spans', record, False)
  with open(path, encoding='utf-8') as file:
    found = json.load(file)
  assert found['config'] == record.config and found['layers'] == 2
  assert found['whole'] == record.metrics['dev']
  assert 0.5 <= found['majority']['accuracy'] < 1
  assert list(found['without']) == ['0-0', '0-1', '1-1']
  assert '/' not in json.dumps(found)
  assert 'without the adapters of layers' in capsys.readouterr().out
  assert list(records_lib.read_all('kept/spans')) == []  # They are no records.

  with mock.patch.object(
      classification, 'Scorer', side_effect=AssertionError):
    ablation_layers.main(config, many, ablation_layers.Spans())  # All is done.
  with pytest.raises(errors.UserError, match='left no adapter'):
    layer_removal.span_scores(record, 'elsewhere', config, restore_norms=True,
                        path='kept/spans/new.json')


@pytest.mark.parametrize('changed, points', [
    ({'adapters': 'DIR'}, ''), ({}, 'adapters=DIR adapter_size=8,64')])
def test_spans_with_frozen_adapters_below_are_refused_first(
    changed, points, monkeypatch):
  monkeypatch.setattr(ablations, 'make_runs', mock.Mock(
      side_effect=AssertionError))
  with pytest.raises(errors.UserError, match='`adapters`: spans are removed'):
    ablation_layers.main(
        config_lib.Config(**changed), grid.Options(grid=points),
        ablation_layers.Spans())


@pytest.mark.parametrize('trained, named, wanted', [
    ('a', 'b', 'a'), ('a@01', 'elsewhere/a', 'elsewhere/a')])
def test_spans_are_scored_on_the_base_of_the_run(trained, named, wanted):
  record = mock.Mock(config={
      **identity.portable(config_lib.Config()), 'checkpoint': trained})
  config = config_lib.Config(checkpoint=named)
  assert layer_removal.settings_of(record, 'w', config).checkpoint == wanted


@pytest.mark.parametrize('changed', [
    {'tune': 'full'}, {'adapter_layers': '0-1'}, {'adapter_config': 'lora'},
    {'adapter_sites': 'ffn_output'}])
def test_spans_are_of_runs_with_all_adapters(changed):
  def complete(**changed):
    config = dataclasses.replace(config_lib.Config(), **changed)
    return layer_removal.adapts_all_layers(
        mock.Mock(config=identity.portable(config)))
  assert complete(adapter_size=8, init_scale=0.1) and not complete(**changed)


