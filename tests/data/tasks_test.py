import collections
import re

from absl.testing import parameterized
import numpy as np

from adapters_jax.data import metrics
from adapters_jax.data import tasks
from adapters_jax.data import vader
from adapters_jax import errors


SIDES = ['tr'] * 6 + ['te', 'tr', 'tr', 'va', 'tr', 'tr']


class TasksTest(parameterized.TestCase):

  def test_every_row_is_whole(self):
    for name, task in tasks.TASKS.items():
      self.assertEqual(name, task.name)
      metrics.check(tasks.find(name))
      self.assertEqual(task.outputs, len(task.labels) or 1)

  def test_unknown_task(self):
    with self.assertRaisesRegex(errors.UserError, 'did you mean movie_sent'):
      tasks.find('movie_sentimant')

  def test_datasets_of_the_hub_are_no_tasks(self):
    hub = ('Data on the hub are files, as in `adapters-jax train --train_file='
           'hf://datasets/OWNER/NAME/FILE`$')
    for name in ('glue/sst2', 'SetFit/SST2'):
      with self.assertRaisesRegex(
          errors.UserError,
          rf"^`task`: unknown '{name}'; did you mean sst2\? {hub}"):
        tasks.find(name)
    known = re.escape(', '.join(tasks.TASKS))
    with self.assertRaisesRegex(
        errors.UserError, "^`task`: unknown 'owner/zzz'; it is one of "
        rf'{known}\. {hub}'):
      tasks.find('owner/zzz')

  def test_movie_sentiment_is_balanced_and_whole(self):
    splits = tasks.load(tasks.find('movie_sentiment'))
    sizes = {name: len(split) for name, split in splits.items()}
    self.assertEqual(sizes, {'train': 8487, 'dev': 1076, 'test': 1042})
    labels = np.concatenate([split.labels for split in splits.values()])
    self.assertLen(labels, 10_605)
    self.assertEqual(labels.sum(), 5_242)
    self.assertEqual(splits['train'].labels.dtype, np.int32)

  def test_no_text_stands_on_two_sides(self):
    for name in ('movie_sentiment', 'nyt_rating'):
      sides = collections.defaultdict(set)
      for split, examples in tasks.load(tasks.find(name)).items():
        for (text,) in examples.texts:
          sides[re.sub(r'\W+', ' ', text.lower()).strip()].add(split)
      self.assertEqual({len(where) for where in sides.values()}, {1})

  def test_ratings_are_the_scores(self):
    splits = tasks.load(tasks.find('tweets_rating'))
    scores = np.concatenate([split.labels for split in splits.values()])
    self.assertEqual((scores.dtype.name, len(scores)), ('float32', 4200))
    self.assertAlmostEqual(float(scores.min()), -3.75)
    binary = tasks.load(tasks.find('tweets_sentiment'))
    for name, split in splits.items():
      np.testing.assert_array_equal(split.labels > 0, binary[name].labels == 1)


class SentimentTest(parameterized.TestCase):

  def test_documents_and_repeated_texts_are_one_group(self):
    rows = [('1_1', 0.5, 'One.'), ('1_2', 0.1, 'Two.'), ('2_1', 0.0, 'two'),
            ('3_1', 0.0, 'Three'), ('4_1', 0.0, 'Four'), ('4_2', 0., 'three!')]
    groups = vader.groups(rows)
    self.assertLen(set(groups), 2)
    self.assertLen(set(groups[:3]), 1)
    self.assertLen(set(groups[3:]), 1)

  def test_sides_are_fixed_and_80_10_10(self):
    sides = collections.Counter(
        vader.side('movie', str(i)) for i in range(10_000))
    self.assertAlmostEqual(sides['train'] / 10_000, 0.8, delta=0.02)
    self.assertAlmostEqual(sides['test'] / 10_000, 0.1, delta=0.02)
    # A digest, not Python's salted hash: the same on every machine.
    self.assertEqual(
        [vader.side('movie', str(i))[:2] for i in range(1, 13)],
        SIDES)

  def test_lines(self):
    self.assertEqual(
        vader.read_rows('1\t-0.5\t A film. \r\n\r\n2\t1\tB\n'),
        [('1', -0.5, 'A film.'), ('2', 1.0, 'B')])
