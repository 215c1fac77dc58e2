"""Tests of which runs compete: those of one metric on the same dev data."""

import pytest

from adapters_jax import errors
from adapters_jax.analysis import halving_replay
from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import tables
from adapters_jax.data import held_out
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import differences
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import halving
from adapters_jax.sweeps import outcome as outcome_lib
from adapters_jax.sweeps import rivals
from tests.sweeps import grid_test

# Runs write into a folder of their own in every test.
in_a_folder_of_its_own = grid_test.in_a_folder_of_its_own
METRICS = 'metric=accuracy,macro_f1 learning_rate=1e-3,3e-3'


@pytest.fixture
def files(tmp_path):
  """Returns {name: path} of data in two folders; x and y differ in dev."""
  found = {}
  for folder, text in (('x', 'film'), ('y', 'plot'), ('z', 'film')):
    (tmp_path / folder).mkdir()
    for split in ('train', 'dev'):
      path = tmp_path / folder / f'{split}.tsv'
      end = folder if split == 'train' else ''
      path.write_text(f'sentence\tlabel\ngood {text}\t1\nbad {end}\t0\n')
      found[f'{folder}_{split}'] = str(path)
  return found


def runs_of(text, **changed):
  return grid.expand([config_lib.Config(**changed)], grid.Options(grid=text))


def own(files, *names):
  return '; '.join(
      f'train_file={files[f"{name}_train"]} dev_file={files[f"{dev}_dev"]} '
      f'task={task}' for name, dev, task in names)


def given(files):
  return {'train_file': files['x_train'], 'dev_file': files['x_dev']}


def test_one_task_has_one_set_of_dev_data(files):
  with pytest.raises(
      errors.UserError, match='`grid`: a names several sets of dev data.*name'):
    runs_of(own(files, ('x', 'x', 'a'), ('y', 'y', 'a')), **given(files))
  with pytest.raises(errors.UserError, match='train names several sets'):
    runs_of('label_column=label|other', **given(files))
  with pytest.raises(errors.UserError, match='train names several sets'):
    runs_of('dev_fraction=0.1,0.2', train_file=files['x_train'],
            dev_fraction=0.3)
  # Names of their own, or equal content in another folder.
  assert len(runs_of(own(files, ('x', 'x', 'a'), ('y', 'y', 'b')),
                     **given(files))) == 2
  found = runs_of(own(files, ('x', 'x', 'a'), ('y', 'z', 'a')), **given(files))
  assert [*map(differences.line_of(found), found)] == [
      f'a --train_file={run.train_file} --dev_file={run.dev_file}'
      for run in found]


def test_a_share_of_test_keeps_the_dev_data(files):
  runs = runs_of('test_fraction=0,0.1,0.2', train_file=files['x_train'],
                 dev_fraction=0.3)
  assert [run.test_fraction for run in runs] == [0, 0.1, 0.2]
  rivals.check_pick(runs, ['test_fraction'], grid.setting_of)
  dev = {tuple(held_out.split(50, run.dev_fraction, run.test_fraction)[1])
         for run in runs}
  assert len(dev) == 1


@pytest.fixture
def pairs(tmp_path):
  """Returns {name: path} of pairs; those named 'scored' have scores."""
  found = {}
  for name in ('x', 'y', 'dev', 'test', 'scored_x', 'scored_y', 'scored_dev'):
    scored = name.startswith('scored')
    rows = [['a', 'b'] + ['label'] * scored, *(
        [f'{name} {i}', f'of {name} {i}'] + [str(i)] * scored
        for i in range(4))]
    path = tmp_path / f'{name}.tsv'
    path.write_text(''.join('\t'.join(row) + '\n' for row in rows))
    found[name] = str(path)
  return found


@pytest.mark.parametrize('text, changed', [
    ('train_file={x},{y}', {'dev_file': 'dev'}),
    ('test_file={test},{y}', {'dev_file': 'dev', 'train_file': 'x'}),
    ('test_fraction=0.1,0.2', {'train_file': 'x', 'dev_fraction': 0.2})])
def test_dev_queries_of_pairs_rank_texts_of_the_other_files(
    pairs, text, changed):
  changed = {name: pairs.get(value, value) for name, value in changed.items()}
  changed = {'train_file': pairs['x'], 'file_task': 'pairs', 'task': 'mine',
             'text_columns': 'a,b', **changed}
  with pytest.raises(
      errors.UserError, match='`grid`: mine names several sets of dev data'):
    runs_of(text.format(**pairs), **changed)


def test_scored_pairs_compete_whatever_they_train_on(pairs):
  runs = runs_of('train_file={scored_x},{scored_y}'.format(**pairs),
                 dev_file=pairs['scored_dev'], file_task='pairs', task='mine',
                 text_columns='a,b', train_file=pairs['x'])
  assert len(runs) == 2
  rivals.check_pick(runs, ['train_file'], grid.setting_of)


def test_runs_on_copies_of_a_file_are_one(files, tmp_path):
  copy = tmp_path / 'train.tsv'
  copy.write_text((tmp_path / 'x' / 'train.tsv').read_text())
  runs = runs_of(f'train_file={files["x_train"]},{copy} seed=0,1',
                 **given(files))
  assert grid.distinct(runs) == runs[:2]
  said = []
  outcome, made = grid_test.go(
      f'train_file={files["x_train"]},{copy} seed=0,1', said=said,
      config=config_lib.Config(**given(files)))
  assert len(outcome.records) == len(made.done) == 2
  assert said[0] == ('2 of 4 runs equal others up to the folders of their '
                     'files, and are left out')


def test_settings_of_one_metric_compete():
  runs = runs_of(METRICS)
  scores = dict(zip(runs, (.8, .81, .7, .6), strict=True))
  assert [(run.metric, run.learning_rate) for run in halving.survivors(
      runs, scores, 2)] == [('accuracy', 3e-3), ('macro_f1', 1e-3)]
  masked = runs_of('mask_rate=0.1,0.4')
  assert halving.survivors(masked, dict(zip(masked, (.9, .1))), 2) == masked


def test_the_best_of_each_metric_is_reported():
  runs = [(grid_test.make_record(run, dev), '', run) for run, dev in zip(
      runs_of(METRICS), (.8, .81, .7, .6), strict=True)]
  assert outcome_lib.best_of_tasks(runs) == [
      ('movie_sentiment', runs[1]), ('movie_sentiment', runs[2])]


@pytest.mark.parametrize('text, pick', [
    (METRICS, 'metric'), ('task=cola,rte', 'task'), ('mask_rate=0.1,0.2',
                                                     'mask_rate')])
def test_nothing_is_picked_among_scores_that_do_not_compare(text, pick):
  with pytest.raises(
      errors.UserError, match=f'`pick={pick}`: scores of several metrics'):
    grid_test.go(text, pick=pick)


def trial(dev, **changed):
  return grid_test.make_record(config_lib.Config(task='cola', **changed), dev)


def test_trials_of_another_metric_do_not_rank():
  point, = points_lib.points([
      trial(.5), trial(.4, seed=1000),
      trial(.9, seed=1000, metric='accuracy')])
  assert (point.trials, point.pick_score, point.better) == (1, .4, {})
  with pytest.raises(errors.UserError, match='the records of one metric'):
    halving_replay.replay([trial(.5), trial(.5, metric='accuracy')], 3, 1)


@pytest.mark.parametrize('changed', [
    {'factor': 1}, {'factor': 0}, {'first': 0.0}, {'first': -1.0},
    {'draws': 0}])
def test_wrong_flags_of_a_replay_are_refused(changed):
  records = [trial(.5, learning_rate=rate) for rate in (1e-3, 3e-3)]
  (name, value), = changed.items()
  with pytest.raises(errors.UserError, match=f'`{name}={value:g}`: give'):
    halving_replay.resampled(
        records, **{'factor': 3, 'first': 1.0, 'settings': 2, **changed})


def test_rows_of_one_task_with_several_files_differ(files):
  records = [grid_test.make_record(run) for run in runs_of(
      own(files, ('x', 'x', 'a'), ('y', 'x', 'a')), **given(files))]
  rows = tables.rows(points_lib.points(records))
  assert rows[0]['train file'] != rows[1]['train file']
  assert 'dev file' not in rows[0]
