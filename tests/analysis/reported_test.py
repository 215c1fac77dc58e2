"""Tests of the points that tables report."""

import dataclasses

from absl.testing import parameterized
import pytest

from adapters_jax.analysis import points as points_lib
from adapters_jax.analysis import reported
from tests.analysis import points_test

record = points_test.record


class ReportedTest(parameterized.TestCase):

  def test_picked_is_the_best_of_the_trials(self):
    found = points_lib.points([
        *(record(dev, seed, learning_rate=rate) for rate, dev in (
            (1e-4, 0.9), (1e-3, 0.5)) for seed in (0, 1)),
        record(0.3, 1000, learning_rate=1e-4),
        record(0.4, 1000, learning_rate=1e-3)])
    point, = reported.picked(found)
    self.assertEqual(point.settings['learning_rate'], 1e-3)

  def test_picked_without_trials_has_the_most_seeds_then_the_best_dev(self):
    found = points_lib.points([
        record(0.4, learning_rate=1e-4), record(0.5, learning_rate=3e-4),
        record(0.3, 0), record(0.5, 1),
        record(0.2, tune='full', learning_rate=1e-4),
        record(0.7, tune='full', learning_rate=3e-4)])
    rates = {p.method: p.settings['learning_rate']
             for p in reported.picked(found)}
    self.assertEqual(
        rates, {'adapters, size 64': 1e-3, 'full fine-tuning': 3e-4})

  def test_headline_has_the_default_settings_on_the_most_examples(self):
    found = points_lib.points([
        record(0.1), record(0.2, train_examples=9), record(0.3, adapter_size=4),
        record(0.4, tune='top_k', top_k=2), record(0.5, tune='top_k', top_k=3),
        record(0.6, init_scale=1.0), record(0.7, learning_rate=1e-4),
        record(0.8, task='rte', train_examples=9),
        record(0.9, task='rte', train_examples=5)])
    kept = reported.headline(found, sizes=[64], top_k=[2])
    self.assertEqual([p.dev for p in kept], [0.1, 0.4, 0.7, 0.8])

  def test_headline_has_methods_by_name_but_no_variants(self):
    found = points_lib.points([
        record(0.1), record(0.2, adapter_config='lora[r=8]'),
        record(0.3, adapter_config='mam[prefix_length=3, r=2]'),
        record(0.4, adapter_config='bottleneck[depth=2]'),
        record(0.5, adapter_config='lora[r=8]', tune_norms=False)])
    kept = reported.headline(found, sizes=[64], top_k=[])
    self.assertEqual(
        {p.method: p.dev for p in kept},
        {'adapters, size 64': 0.1, 'lora[r=8]': 0.2,
         'mam[prefix_length=3, r=2]': 0.3})
    self.assertEqual(
        [p.method for p in found if p.dev in (0.4, 0.5)],
        ['adapters, size 64, adapter_config=bottleneck[depth=2]',
         'lora[r=8], tune_norms=False'])

  def test_headline_has_one_precision_and_any_cache_for_each_base(self):
    mpnet = {'checkpoint': 'mpnet-base'}
    products = {'precision': 'bfloat16_products', **mpnet}
    exact = {'precision': 'float32'}
    found = points_lib.points([
        record(0.1, **exact), record(0.2, **exact, **mpnet),
        record(0.3, **products),
        record(0.4, tune='head', cache_frozen=True, **products)])
    kept = reported.headline(found, sizes=[64], top_k=[2])
    self.assertEqual([p.dev for p in kept], [0.1, 0.3, 0.4])
    self.assertEqual(
        {name: [p.dev for p in points]
         for name, points in reported.by_base(kept).items()},
        {'minilm-l6 (float32)': [0.1], 'mpnet-base': [0.3, 0.4]})

  def test_larger_bases_come_first(self):
    large = dataclasses.replace(
        record(0.5, checkpoint='z'), total_params=10**9)
    self.assertEqual(list(reported.by_base(points_lib.points(
        [record(0.5), large]))), ['z', 'minilm-l6'])

  @parameterized.parameters(
      {'max_length': 32}, {'dev_fraction': 0.1}, {'train_file': 'a.tsv@1'})
  def test_headline_is_of_one_data_set(self, **changed):
    made = [record(score, seed, tune=tune) for seed in (0, 1)
            for tune, score in (('adapters', 0.1), ('full', 0.2))]
    made += [dataclasses.replace(one, config={**one.config, **changed})
             for one in (record(0.3), record(0.4, 1), record(0.5, 2))]
    for one in made:
      one.config['task'] = 'cola'
    found = points_lib.points(made)
    kept = reported.headline(found, sizes=[64], top_k=[2])
    self.assertEqual([p.dev for p in kept], [0.1, 0.2])
    other, = reported.left_out(found, kept)
    self.assertEqual([p.dev for p in other[1]], [pytest.approx(0.4)])

  @parameterized.parameters(
      ('adapter_size', 4, 8, 64), ('top_k', 1, 2, 3),
      ('adapter_config', 'lora[r=1]', 'lora[r=2]', 'lora[r=4]'),
      ('adapter_config', 'lora[attn_matrices=["q"]]',
       'lora[attn_matrices=["v"]]', 'lora[attn_matrices=["q","v"], r=2]'))
  def test_an_ablation_replaces_no_comparison(self, name, *values):
    tune = 'top_k' if name == 'top_k' else 'adapters'
    main = [record(score, seed, tune=method) for seed in (0, 1)
            for method, score in (('adapters', 0.1), ('full', 0.2))]
    other = [
        record(0.3, seed, precision='float32', tune=tune, **{name: value})
        for value in values for seed in range(3)]
    found = points_lib.points([*main, *other])
    for one in (found, found[::-1]):
      kept = reported.headline(one, sizes=[4, 8, 64], top_k=[1, 2, 3])
      self.assertEqual({p.dev for p in kept}, {0.1, 0.2})

  @parameterized.parameters(
      ([5, 5, 5], [1, 1, 1, 1], 'a'), ([7] * 6, [20, 20], 'a'),
      ([2, 2], [3], 'a'), ([1, 1], [3], 'b'), ([1], [1], 'b'))
  def test_seeds_of_methods_then_examples(self, main, other, wanted):
    rows = [('x', data, method, runs, examples)
            for data, seeds, examples in (('a', main, 8), ('b', other, 9))
            for method, runs in enumerate(seeds)]
    rows += [('y', 'c', 0, 1, 9)]
    for some in (rows, rows[::-1]):
      self.assertEqual(reported.fullest(some), {'x': wanted, 'y': 'c'})

  def test_a_sweep_of_one_method_counts_once(self):
    rows = [('x', 'a', 'full', 2, 8), ('x', 'a', 'head', 2, 8),
            *[('x', 'b', 'full', 3, 9)] * 6]
    self.assertEqual(reported.fullest(rows), {'x': 'a'})

  def test_another_input_of_the_head_is_named(self):
    found = points_lib.points([
        record(0.1, head_input='pooler'),
        record(0.2, head_input='pooler', tune='full'), record(0.3)])
    kept = reported.headline(found, sizes=[64], top_k=[])
    self.assertEqual({p.method: p.dev for p in reported.picked(kept)}, {
        'adapters, size 64, head_input=pooler': 0.1,
        'full fine-tuning, head_input=pooler': 0.2, 'adapters, size 64': 0.3})

  def test_methods_with_batches_of_their_own(self):
    found = points_lib.points([
        record(0.1, tune='full', batch_size=16), record(0.2), record(0.3, 1)])
    kept = reported.headline(found, sizes=[64], top_k=[])
    self.assertEqual({p.method for p in kept},
                     {'full fine-tuning', 'adapters, size 64'})
    self.assertEmpty(reported.left_out(found, kept))

  def test_bases_of_one_last_name_are_apart(self):
    found = points_lib.points([
        record(0.1, checkpoint='roberta-base'),
        record(0.2, checkpoint='FacebookAI/roberta-base')])
    self.assertEqual(set(reported.by_base(reported.picked(found))),
                     {'roberta-base', 'FacebookAI/roberta-base'})

  @parameterized.parameters(0, 9)
  def test_one_trial_replaces_no_results(self, examples):
    found = points_lib.points([
        record(0.1, train_examples=7), record(0.3, 1, train_examples=7),
        record(0.9, train_examples=examples, max_steps=2)])
    kept = reported.headline(found, sizes=[64], top_k=[2])
    self.assertEqual([p.dev for p in kept], [0.2])

  def test_points_without_seeds_of_others(self):
    found = points_lib.points([
        record(0.1, 0), record(0.1, 2), record(0.1, 5),
        record(0.2, 2, tune='full'), record(0.3, 1, task='rte'),
        record(0.4, 0, tune='none')])
    self.assertEqual(
        [(point.method, missing)
         for point, missing in reported.missing_seeds(found)],
        [('full fine-tuning', [0, 5])])
