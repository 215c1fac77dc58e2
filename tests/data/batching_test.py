from unittest import mock
import weakref

from absl.testing import parameterized
import numpy as np

from adapters_jax import errors
from adapters_jax.data import batching
from adapters_jax.data import bucketing
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import ragged


def make_examples(count=103, seed=0):
  rng = np.random.default_rng(seed)
  lengths = rng.integers(3, 42, count)
  tokens = [np.full(n, i + 1, np.int32) for i, n in enumerate(lengths)]
  segments = [np.arange(n, dtype=np.int32) % 2 for n in lengths]
  return examples_lib.Examples(tokens, segments, np.arange(count) % 3)


class BatchingTest(parameterized.TestCase):

  @parameterized.parameters(
      ([0, 1], 4, 2, '`batch`: row 1 has 6 tokens, and the length of the plan '
       'is 4; give a plan of at least 6'),
      ([1, 0], 6, 1, '`batch_size=1`: the plan has 2 rows'),
      ([1, 2], 6, 2, '`batch`: there is no row 2; there are 2 examples'))
  def test_a_plan_that_does_not_fit_is_named(
      self, rows, length, batch_size, message):
    tokens = [np.ones(3, np.int32), np.ones(6, np.int32)]
    examples = examples_lib.Examples(tokens, tokens, np.array([0, 1]))
    with self.assertRaisesRegex(errors.UserError, f'^{message}'):
      batching.make_batch(
          examples, bucketing.Plan(np.array(rows), length), batch_size)
    one = examples_lib.Examples(tokens, tokens, np.array([1]))
    with self.assertRaisesRegex(errors.UserError, '^`labels`: there are 1 for'):
      batching.make_batch(one, bucketing.Plan(np.array([0, 1]), 6), 2)
    whole = batching.make_batch(
        examples, bucketing.Plan(np.array([0, 1]), 6), 2)
    self.assertEqual(whole['mask'].sum(), 9)

  @parameterized.parameters((8, 3), (16, 1), (200, 4))
  def test_every_example_once_an_epoch(self, batch_size, buckets):
    examples = make_examples()
    lengths = bucketing.bucket_lengths(examples.lengths, buckets)
    schedule = batching.Schedule(examples, lengths, batch_size, seed=5)
    for epoch in (0, 3):
      plans = schedule.epoch(epoch)
      rows = np.concatenate([plan.rows for plan in plans])
      np.testing.assert_array_equal(np.sort(rows), np.arange(len(examples)))
      partial = [plan for plan in plans if len(plan.rows) < batch_size]
      self.assertLessEqual(len(partial), 1)
      for plan in plans:
        self.assertLessEqual(examples.lengths[plan.rows].max(), plan.length)
        self.assertIn(plan.length, lengths)

  def test_batches_of_columns(self):
    rng = np.random.default_rng(1)
    lengths = np.stack([rng.integers(3, 20, 101), rng.integers(3, 60, 101)], 1)
    columns = [[np.full(n, 7, np.int32) for n in column]
               for column in lengths.T]
    examples = examples_lib.Examples(
        columns[0], columns[0], np.zeros((101, 2), np.int32),
        columns=(columns[1],))
    buckets = bucketing.bucket_lengths(examples.lengths, 5)
    a, b = (batching.Schedule(examples, buckets, 8, seed=s) for s in (1, 2))
    steps = range(2 * a.steps_per_epoch)
    self.assertEqual([a.at(i).length for i in steps],
                     [b.at(i).length for i in steps])
    rows = np.concatenate([plan.rows for plan in a.epoch(1)])
    np.testing.assert_array_equal(np.sort(rows), np.arange(101))
    for plan in a.epoch(1):
      self.assertTrue((lengths[plan.rows] <= plan.length).all())
    one_length = len(a.epoch(0)) * 8 * lengths.max(0).sum()
    padded, real = a.tokens(0, a.steps_per_epoch)
    self.assertEqual(real, lengths.sum())
    self.assertLess(padded, 0.8 * one_length)

  def test_pure_function_of_seed_epoch_and_index(self):
    examples = make_examples()
    lengths = bucketing.bucket_lengths(examples.lengths, 3)
    a = batching.Schedule(examples, lengths, 8, seed=5)
    b = batching.Schedule(examples, lengths, 8, seed=5)
    steps = list(range(2 * a.steps_per_epoch))
    backwards = {step: b.batch(step) for step in reversed(steps)}
    for step in steps:
      for name, value in a.batch(step).items():
        np.testing.assert_array_equal(value, backwards[step][name])
    other = batching.Schedule(examples, lengths, 8, seed=6)
    self.assertFalse(np.array_equal(a.at(0).rows, other.at(0).rows))
    self.assertFalse(
        np.array_equal(a.at(0).rows, a.at(a.steps_per_epoch).rows))

  def test_all_seeds_share_the_lengths_but_not_the_examples(self):
    examples = make_examples()
    lengths = bucketing.bucket_lengths(examples.lengths, 4)
    a, b = (batching.Schedule(examples, lengths, 8, seed=s) for s in (1, 2))
    steps = range(3 * a.steps_per_epoch)
    self.assertEqual([a.at(i).length for i in steps],
                     [b.at(i).length for i in steps])
    self.assertFalse(all(
        np.array_equal(a.at(i).rows, b.at(i).rows) for i in steps))

  def test_batch_arrays(self):
    examples = make_examples()
    plan = bucketing.Plan(np.array([4, 9]), 44)
    batch = batching.make_batch(examples, plan, 5)
    self.assertEqual(
        {k: (v.shape, v.dtype.name) for k, v in batch.items()},
        {'tokens': ((5, 44), 'int32'), 'segments': ((5, 44), 'int32'),
         'mask': ((5, 44), 'bool'), 'labels': ((5,), 'int64'),
         'weights': ((5,), 'float32')})
    np.testing.assert_array_equal(batch['weights'], [1, 1, 0, 0, 0])
    self.assertFalse(batch['mask'][2:].any())
    np.testing.assert_array_equal(batch['tokens'][1][batch['mask'][1]], 10)
    np.testing.assert_array_equal(batch['tokens'][1][~batch['mask'][1]], 0)
    np.testing.assert_array_equal(batch['tokens'][3], batch['tokens'][0])

  def test_rows_of_a_host_are_those_of_the_batch(self):
    examples = make_examples()
    plan, rows = bucketing.Plan(np.array([4, 9]), 44), [4, 0, 1]
    whole, part = (batching.make_batch(examples, plan, 5, *local)
                   for local in ((), (rows,)))
    for name, value in whole.items():
      np.testing.assert_array_equal(part[name], value[rows], err_msg=name)

  def test_labels_of_every_position(self):
    rows = [np.array(row, np.int32) for row in ([3, -1], [-1, 0, 2])]
    examples = examples_lib.Examples(
        rows, rows, ragged.Ragged.join(rows, [2, 3]))
    batch = batching.make_batch(
        examples, bucketing.Plan(np.array([1, 0]), 4), 3)
    np.testing.assert_array_equal(
        batch['labels'], [[-1, 0, 2, -1], [3, -1, -1, -1], [-1, 0, 2, -1]])
    # Numbers of labels, so that the loss is a mean over positions.
    np.testing.assert_array_equal(batch['weights'], [2, 1, 0])
    np.testing.assert_array_equal(batch['mask'].sum(1), [3, 2, 0])

  def test_weights_of_classes_and_of_labels(self):
    tokens = [np.ones(2, np.int32)] * 3
    plan, weights = bucketing.Plan(np.array([2, 0]), 2), np.float32([0.5, 3])

    def batch(labels):
      examples = examples_lib.Examples(tokens, tokens, np.array(labels))
      return batching.make_batch(examples, plan, 3, class_weights=weights)

    # The weight of an example is that of its class, of filler 0.
    found = batch([1, 1, 0])
    np.testing.assert_array_equal(found['labels'], [0, 1, 0])
    np.testing.assert_array_equal(found['weights'], [0.5, 3, 0])
    # Labels are the weights of their positive terms.
    found = batch(np.float32([[0, 1], [0, 0], [1, 1]]))
    np.testing.assert_array_equal(found['labels'], [[0.5, 3], [0, 3], [0.5, 3]])
    np.testing.assert_array_equal(found['weights'], [1, 1, 0])

  def test_eval_takes_longer_inputs_than_training_had(self):
    examples = make_examples()
    pairs = [*batching.eval_batches(examples, (8, 20), 16)]
    rows = np.concatenate([rows for rows, _ in pairs])
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(examples)))
    for rows, batch in pairs:
      self.assertEqual(batch['tokens'].shape[0], 16)
      np.testing.assert_array_equal(
          batch['mask'].sum(1)[:len(rows)], examples.lengths[rows])
    longest = max(batch['tokens'].shape[1] for _, batch in pairs)
    wide = batching.eval_batches(examples, (8, 20), 16, multiple=16)
    self.assertEqual(
        (longest, max(batch['tokens'].shape[1] for _, batch in wide)),
        (44, 48))

  def test_batches_of_a_split_are_made_when_they_are_asked_for(self):
    with mock.patch.object(
        batching, 'make_batch', wraps=batching.make_batch) as make:
      pairs = batching.eval_batches(make_examples(), (8, 20), 16)
      self.assertEqual(make.call_count, 0)
      next(pairs)
      next(pairs)
      self.assertEqual(make.call_count, 2)

  def test_no_plan_is_kept_while_tokens_are_counted(self):
    schedule = batching.Schedule(make_examples(), (24, 44), 16, seed=0)
    refs, alive = [], []
    plan = bucketing.plan

    def planned(*args):
      found = plan(*args)
      refs.extend(map(weakref.ref, found))
      alive.append(sum(ref() is not None for ref in refs))
      return found

    with mock.patch.object(bucketing, 'plan', planned):
      each = schedule.steps_per_epoch
      counts = schedule.tokens(0, 8 * each)
    self.assertLen(alive, 1 + 8)
    self.assertLessEqual(max(alive), 3 * each + 1)  # `epoch` keeps two.
    parts = [schedule.tokens(step, step + 1) for step in range(8 * each)]
    self.assertEqual(counts, tuple(map(sum, zip(*parts))))

  def test_tokens_count_padding_and_filler(self):
    examples = make_examples(count=20)
    schedule = batching.Schedule(examples, (24, 44), 16, seed=0)
    padded, real = schedule.tokens(0, schedule.steps_per_epoch)
    shapes = [schedule.batch(i)['tokens'].size
              for i in range(schedule.steps_per_epoch)]
    self.assertEqual(padded, sum(shapes))
    self.assertEqual(real, examples.lengths.sum())

  @parameterized.parameters(0, 3)
  def test_tokens_of_several_texts_and_of_choices(self, choices):
    one, other = make_examples(24), make_examples(24, seed=1)
    examples = examples_lib.Examples(
        one.tokens, one.segments, np.arange(24 // (choices or 1)),
        columns=() if choices else (other.tokens, one.tokens), choices=choices)
    schedule = batching.Schedule(
        examples, bucketing.bucket_lengths(examples.lengths, 4), 8, seed=0)
    for step in range(schedule.steps_per_epoch):
      batch = schedule.batch(step)
      masks = [batch[name] for name in batch if name.startswith('mask')]
      self.assertEqual(schedule.tokens(step, step + 1), (
          sum(mask.size for mask in masks), sum(mask.sum() for mask in masks)))
