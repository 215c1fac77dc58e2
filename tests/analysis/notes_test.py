"""Tests of the lines below tables of results."""

import dataclasses

import pytest

from adapters_jax.analysis import notes
from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import reported
from adapters_jax.runs import records
from scripts import summarize
from tests.analysis import points_test

record = points_test.record


@pytest.mark.parametrize(('trials', 'wanted'), (
    ((0, 0), 'No setting was picked with separate seeds'),
    ((2, 2), 'Each method had 2 trials of its schedule'),
    ((3, 2), 'seeds: 2 for full fine-tuning on cola; 3 for the others')))
def test_trials_are_said(trials, wanted):
  found = [record(0.5), record(0.6, tune='full')]
  for tune, count in zip(('adapters', 'full'), trials):
    found += [record(0.1, seed=1000, tune=tune, learning_rate=10.0**-rate)
              for rate in range(count)]
  assert wanted in summarize.table(found, (64,), (2,))


def test_a_schedule_that_won_the_trials_without_runs_is_said():
  found = [
      record(0.5, learning_rate=1e-3),
      record(0.4, seed=1000, learning_rate=1e-3),
      record(0.6, seed=1000, learning_rate=2e-5, epochs=10.0),
      record(0.7, tune='full'), record(0.1, seed=1000, tune='full')]
  lines = summarize.table(found, (64,), (2,)).splitlines()
  assert [line for line in lines if 'trials picked' in line] == [
      '- cola, adapters, size 64: the trials picked learning_rate=2e-05, '
      'epochs=10, but no final run uses it yet']
  won = summarize.table(
      [*found, record(0.3, learning_rate=2e-5, epochs=10.0)], (64,), (2,))
  assert '| 30.0 |' in won and 'trials picked' not in won


def test_missing_seeds_are_said():
  found = [record(0.5, seed=seed) for seed in range(4)]
  found += [record(0.6, seed=seed, tune='full') for seed in (0, 3)]
  found += [record(0.6, seed=seed, adapter_config='lora[r=8]')
            for seed in (0, 1, 2)]
  found += [record(0.1, seed=1000 + seed, learning_rate=rate, epochs=epochs)
            for rate, epochs, seeds in ((1e-3, 3.0, 2), (1e-2, 10.0, 1))
            for seed in range(seeds)]
  lines = summarize.table(found, (64,), (2,)).splitlines()
  assert [line for line in lines if 'no record' in line] == [
      '- cola, adapters, size 64: the trial with learning_rate=0.01, epochs=10 '
      'has no record of seed 1001, and ranks last',
      '- cola, full fine-tuning: no record of seeds 1 and 2',
      '- cola, lora[r=8]: no record of seed 3']


def trial(dev, rate, epochs=3.0, **changed):
  return record(dev, 1000, learning_rate=rate, epochs=epochs, **changed)


def test_an_error_counts_the_seeds_only():
  line = notes.how_line(points_lib.points([record(0.5), record(0.5, 1)]))
  assert 't interval over 2 seeds; ± counts the seeds only. No' in line


def test_the_base_as_it_is_has_no_seeds():
  found = [record(0.5), record(0.5, 1), trial(0.1, 1e-3),
           record(0.4, tune='none')]
  line = notes.how_line(points_lib.points(found))
  assert 't interval over 2 seeds' in line
  assert 'Each method had 1 trials' in line


def test_trials_on_fewer_examples_are_said():
  found = [record(0.5), trial(0.1, 1e-3), record(0.5, tune='full'),
           trial(0.1, 1e-3, tune='full', train_examples=4000)]
  line = notes.how_line(points_lib.points(found))
  assert line.endswith('with separate seeds. The trials on cola used 4,000 '
                       'training examples.')
  line = notes.how_line(points_lib.points(
      [record(0.5, train_examples=100), trial(0.1, 1e-3)]))
  assert line.endswith('The trials on cola used all training examples.')
  assert 'The trials' not in notes.how_line(points_lib.points(found[:2]))


def test_picked_values_at_an_edge_are_said():
  full, head = {'tune': 'full'}, {'tune': 'head'}
  found = [
      record(0.5, learning_rate=1e-3), record(0.5, learning_rate=2e-5, **full),
      record(0.5, learning_rate=1e-3, epochs=10.0, **head),
      record(0.5, tune='norms'),  # One value each, which has no edge.
      trial(0.1, 1e-3, tune='norms'),
      *(trial(dev, rate) for rate, dev in ((1e-4, 0.1), (1e-3, 0.3),
                                           (1e-2, 0.2))),
      *(trial(dev, rate, **full) for rate, dev in ((5e-5, 0.1), (2e-5, 0.3),
                                                   (1e-4, 0.2))),
      *(trial(dev, 1e-3, epochs, **head)
        for epochs, dev in ((3.0, 0.1), (10.0, 0.3)))]
  point = points_lib.points(found)[0]
  assert point.tried == {'learning_rate': (1e-4, 1e-3, 1e-2), 'epochs': (3.0,)}
  assert notes.edge_lines(points_lib.points(found)) == [
      '- At the edge of the values tried: learning rate of full fine-tuning '
      '(2e-05, lowest of 3)']  # Of two numbers of epochs, each is at an end.
  assert notes.edge_lines([point]) == []
  both = [*found[1:2], trial(0.3, 2e-5, **full), trial(0.1, 1e-4, **full),
          trial(0.1, 3e-4, **full)]
  both += [dataclasses.replace(one, config={**one.config, 'task': 'rte'})
           for one in both]
  assert notes.edge_lines(points_lib.points(both)) == [
      '- At the edge of the values tried: learning rate of full fine-tuning on '
      'cola and full fine-tuning on rte (2e-05, lowest of 3)']


def test_results_left_out_are_said():
  found = points_lib.points([
      *(record(0.1, seed, tune=tune) for seed in (0, 1)
        for tune in ('adapters', 'full', 'head')),
      *(record(0.3, seed, precision='float32') for seed in range(4)),
      record(0.3, precision='float32', tune='full'),
      record(0.3, train_examples=9), record(0.3, task='rte'),
      record(0.4, precision='float32', dropout=0.3)])
  chosen = reported.headline(found, (64,), (2,))
  assert notes.left_out_lines(found, chosen) == [
      '- cola, left out: 5 runs with precision=float32; 1 run with '
      'train_examples=9']
  assert notes.left_out_lines(found, chosen[-1:]) == []  # Of another task.
  text = summarize.table([one for point in found for one in point.records],
                         (64,), (2,))
  assert text.count('left out: 5 runs') == 1


def test_all_examples_left_out_are_said():
  found = points_lib.points([
      record(0.1, train_examples=9), record(0.1, 1, train_examples=9),
      record(0.3)])
  chosen = reported.headline(found, (64,), (2,))
  assert notes.left_out_lines(found, chosen) == [
      '- cola, left out: 1 run with all examples']


def test_files_of_every_row(tmp_path, capsys):
  for name, one in (('a', record(0.5)), ('b', record(0.6, 1)),
                    ('c', record(0.6, tune='full')), ('d', trial(0.1, 1e-3))):
    records.write(str(tmp_path / 'x' / f'{name}.json'), one)
  for files in (False, True):
    summarize.main(summarize.Config(str(tmp_path), files=files))
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if '.json' in line] == files * [
        f'- adapters, size 64 on cola: {tmp_path}/x/a.json, '
        f'{tmp_path}/x/b.json', f'- full fine-tuning on cola: '
        f'{tmp_path}/x/c.json']
