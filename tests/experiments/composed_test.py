"""Tests of the tables of composed adapters on made-up records."""

import dataclasses

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from tests.sweeps import grid_test

pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
pytestmark = pytest.mark.figures

# pylint: disable=wrong-import-position
from experiments.analysis import composed  # noqa: E402


def record(score, seed, adapters='', tune='adapters', **changed):
  config = config_lib.Config(**{'task': 'rte', 'seed': seed, **changed})
  made = grid_test.make_record(
      config, metrics={'dev': {'accuracy': score}}, trained_params=20,
      total_params=1000)
  return dataclasses.replace(
      made, config={**made.config, 'adapters': adapters, 'tune': tune})


def test_runs_above_adapters_of_several_seeds_are_one_row():
  found = [record(0.6 + seed / 100, seed) for seed in range(3)]
  found += [record(0.7 + seed / 100, seed, f'domain@{seed}')
            for seed in range(3)]
  found += [record(0.9, 0, task='cola')]  # Nothing to compare with.
  above, alone = composed.rows(found)
  assert above['method'] == 'adapters, size 64 above domain'
  assert alone['method'] == 'adapters, size 64'
  assert above['task'] == 'rte, minilm-l6' and above['trained'] == '2 %'
  assert (above['seeds'], above['score'], above['first −']) == (
      '3', '71.0', '-')
  assert (alone['score'], alone['first −'], alone['t of −']) == (
      '61.0', '+10.0', '10.0 to 10.0')  # All pairs of seeds differ by 10.


def test_fusions_beside_adapters_and_full_fine_tuning():
  rows = composed.rows([
      record(0.5, 0, tune='full', learning_rate=1e-4),
      record(0.6, 0, tune_norms=False),
      record(0.8, 0, 'a@1,b@2', tune='fusion', tune_norms=False)])
  assert [row['method'] for row in rows] == [
      'AdapterFusion of a, b', 'full fine-tuning, rate 0.0001',
      'adapters, size 64, without layer norms']
  assert rows[1]['first −'] == '+30.0' and rows[1]['t of −'] == '-'


def test_perplexities():
  def language(value, seed, **changed):
    made = record(0.5, seed, task='x_texts', **changed)
    return dataclasses.replace(made, metrics={
        'dev': {'token_probability': 0.5, 'perplexity': value}})

  rows = composed.perplexities([
      *(language(10.0 + seed, seed, adapter_config='seq_bn_inv')
        for seed in range(2)),
      language(40.0, 0, tune='head'), record(0.5, 0)])
  half = 12.706 * np.std([10, 11], ddof=1) / 2**0.5
  assert [(row['method'], row['seeds'], row['dev'], row['test'])
          for row in rows] == [
              ('the head alone', '1', '40.0', '-'),
              ('seq_bn_inv', '2', f'10.5 ± {half:.1f}', '-')]


def test_a_row_is_of_one_schedule_and_names_it():
  found = [record(0.6, seed) for seed in range(2)]
  found += [record(0.2, seed, learning_rate=1e-2) for seed in range(2)]
  found += [record(0.1, seed, init_scale=1.0) for seed in range(2)]
  found += [record(0.7, seed, f'domain@{seed}') for seed in range(2)]
  found += [record(0.3, 0, 'domain@0', epochs=9.0)]
  rows = {row['method']: (row['seeds'], row['score'])
          for row in composed.rows(found)}
  assert rows == {
      'adapters, size 64 above domain, epochs=3.0': ('2', '70.0'),
      'adapters, size 64 above domain, epochs=9.0': ('1', '30.0'),
      'adapters, size 64, learning_rate=0.001': ('2', '60.0'),
      'adapters, size 64, learning_rate=0.01': ('2', '20.0'),
      'adapters, size 64, init_scale=1.0': ('2', '10.0')}
  tried = [*found, record(0.1, 1000), record(0.9, 1000, learning_rate=1e-2)]
  rows = {row['method']: row['score'] for row in composed.rows(tried)}
  assert rows['adapters, size 64'] == '20.0'  # The schedule of the best trial.
  assert len(rows) == 4


def test_data_of_one_name_are_told_apart():
  found = [record(0.6 + bits / 100, 0, adapters, precision=precision)
           for bits, precision in ((0, 'float32'), (3, 'bfloat16'))
           for adapters in ('', 'domain@1')]
  rows = composed.rows(found)
  assert [(row['task'], row['score']) for row in rows] == [
      (f'rte, minilm-l6, precision={precision}', score)
      for precision, score in (('float32', '60.0'), ('bfloat16', '63.0'))
      for _ in range(2)]


def test_two_runs_of_a_seed_above_adapters_of_other_seeds():
  with pytest.raises(errors.UserError, match=(
      r"seed 0 .*differ in adapters \('a@1' and 'a@2'\)")):
    composed.rows([record(0.5, 0, 'a@1'), record(0.6, 0, 'a@2')])


def test_perplexities_at_several_rates():
  found = [
      dataclasses.replace(
          record(0.5, seed, task='x_texts', learning_rate=rate, **changed),
          metrics={'dev': {'token_probability': 1 - value / 100,
                           'perplexity': value}})
      for seed, rate, value, changed in (
          (0, 1e-4, 10.0, {}), (0, 1e-3, 20.0, {}),
          (0, 1e-3, 30.0, {'tune': 'head'}))]
  wanted = [('the head alone', '30.0'),
            ('adapters, size 64, learning_rate=0.0001', '10.0'),
            ('adapters, size 64, learning_rate=0.001', '20.0')]
  assert [(row['method'], row['dev'])
          for row in composed.perplexities(found)] == wanted


def test_without_records():
  assert not composed.rows([record(0.5, 0)])
  assert not composed.perplexities([record(0.5, 0)])
