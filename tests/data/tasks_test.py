import collections
import dataclasses
import re
import types

from absl.testing import parameterized
import numpy as np
import pytest

from adapters_jax.data import metrics
from adapters_jax.data import prepared
from adapters_jax.data import split_cache
from adapters_jax.data import tasks
from adapters_jax.data import vader
from adapters_jax import errors


SIDES = ['tr'] * 6 + ['te', 'tr', 'tr', 'va', 'tr', 'tr']


class TasksTest(parameterized.TestCase):

  def test_every_row_is_whole(self):
    for name, task in tasks.TASKS.items():
      self.assertEqual(name, task.name)
      self.assertIn(len(task.texts), (1, 2))
      metrics.check(task)
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
    with self.assertRaisesRegex(
        errors.UserError, rf"^`task`: unknown 'stanfordnlp/imdb'; it is one of "
        rf'movie_sentiment, .*, wnli\. {hub}'):
      tasks.find('stanfordnlp/imdb')

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


def feature(kind):
  return types.SimpleNamespace(np_dtype=np.dtype(kind))


FEATURES = {'idx': feature('int32'), 'sentence': feature(object),
            'label': feature('int64'), 'rating': feature('float32')}


@pytest.mark.parametrize('changed, message', [
    ({'metrics': ('pearson',)}, '`metrics` of the task toy: pearson is not '
     'for 2 classes; give one of accuracy'),
    ({'metrics': ('accuracy',), 'labels': ()}, 'accuracy is not for scores'),
    ({'metrics': ('f1',), 'labels': ('a', 'b', 'c')}, 'not for 3 classes'),
    ({'metrics': ('acuracy',)}, 'did you mean accuracy'),
    ({'metrics': ()}, 'name one'),
    ({'splits': (('train', 'train'), ('dev', 'validaton'))},
     '`splits` of the task toy.*did you mean validation'),
    ({'texts': ('sentense',)}, '`texts` of the task toy.*mean sentence'),
    ({'texts': ('idx',)}, '`texts`.*idx is not a text'),
    ({'target': 'lable'}, '`target` of the task toy.*mean label'),
    ({'target': 'rating'}, '`target`.*rating is a rating.*`positive_above`'),
    ({'target': 'rating', 'positive_above': 0., 'labels': ('a',)},
     '`positive_above`.*two classes'),
    ({'labels': ('a',), 'metrics': ('accuracy',)},
     '`labels`.*1 names for the classes 0 to 1'),
    ({'source': 'nothing/here'}, '`source=nothing/here`.*_BUILDERS')])
def test_a_wrong_row_is_named(changed, message, tmp_path, monkeypatch):
  rows = [{'idx': 1, 'sentence': b'one', 'label': 1, 'rating': .5},
          {'idx': 0, 'sentence': b'two', 'label': 0, 'rating': -.5}]
  builder = types.SimpleNamespace(
      data_dir=str(tmp_path), info=types.SimpleNamespace(
          splits=('train', 'validation'), features=FEATURES))
  if 'source' not in changed:
    monkeypatch.setattr(prepared, 'dataset', lambda *_: builder)
  monkeypatch.setattr(prepared, 'read_split', lambda *_: rows)
  monkeypatch.setattr(
      split_cache, 'cached', lambda folder, described, read: read())
  good = tasks.Task(
      'toy', 'toy', ('sentence',), ('no', 'yes'), ('accuracy',),
      splits=(('train', 'train'), ('dev', 'validation')))
  found = tasks.load(good)['dev'] if 'source' not in changed else None
  if found:
    assert found.texts == [('two',), ('one',)]
    assert found.labels.tolist() == [0, 1]
  task = dataclasses.replace(good, **changed)
  with pytest.raises(errors.UserError, match=message):
    metrics.check(task)
    tasks.load(task)


def test_rows_without_an_index_keep_their_order(monkeypatch):
  rows = [{'sentence': text, 'label': 0} for text in (b'b', b'a', b'c')]
  task = tasks.Task('toy', 'toy', ('sentence',), ('no', 'yes'), ('accuracy',))
  assert tasks._read(rows, task).texts == [('b',), ('a',), ('c',)]


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
