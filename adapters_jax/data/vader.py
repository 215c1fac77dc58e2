"""The human-rated sentences of VADER, as a TensorFlow Datasets builder.

For Hutto & Gilbert (2014) 20 people rated each sentence of four sets from -4
(most negative) to 4 (most positive); the files have the mean. The splits of
this project, 80/10/10, follow a hash of the sentence's group. A group is a
document in the Amazon and NYT sets, and a sentence in the others; groups that
share a text are merged. So neither a document nor a repeated text occurs in two
splits.
"""

from collections.abc import Iterator
import hashlib
import os
import re
import tarfile

import numpy as np
import tensorflow_datasets as tfds

from adapters_jax.downloads import pinned

_FILES = {
    'movie': 'movieReviewSnippets_GroundTruth.txt',
    'amazon': 'amazonReviewSnippets_GroundTruth.txt',
    'nyt': 'nytEditorialSnippets_GroundTruth.txt',
    'tweets': 'tweets_GroundTruth.txt',
}
_ROWS = {'movie': 10605, 'amazon': 3708, 'nyt': 5190, 'tweets': 4200}
_ARCHIVE = 'additional_resources/hutto_ICWSM_2014.tar.gz'


def read_rows(text: str) -> list[tuple[str, float, str]]:
  """Returns (id, mean rating, sentence) of each line of a file."""
  rows = []
  for line in text.splitlines():
    if line.strip():
      name, rating, sentence = line.split('\t')
      rows.append((name, float(rating), sentence.strip()))
  return rows


def groups(rows: list[tuple[str, float, str]]) -> list[str]:
  """Returns the group of each row; no group has rows in two splits.

  Args:
    rows: (id, mean rating, sentence) of each sentence. Ids of sentences of a
      document begin with its number: '12_3'.

  Returns:
    Name of the group of each row.
  """
  parent = {}  # A union-find forest over documents.

  def find(name):
    parent.setdefault(name, name)
    while parent[name] != name:
      parent[name] = parent[parent[name]]  # Path halving.
      name = parent[name]
    return name

  first_with = {}
  for name, _, sentence in rows:
    document = name.split('_')[0]
    text = re.sub(r'\W+', ' ', sentence.lower()).strip()
    joined = sorted((find(document), find(first_with.setdefault(
        text, document))))
    # The lesser name is the root, so that names, and with them the splits, do
    # not depend on the order of the rows.
    parent[joined[1]] = joined[0]
  return [find(name.split('_')[0]) for name, _, _ in rows]


def side(config: str, group: str) -> str:
  """Returns the split of a group: 'train', 'validation' or 'test'.

  Args:
    config: Name of the set.
    group: Name of the group.
  """
  # Not `hash`, which differs between processes.
  digest = hashlib.sha256(f'{config}:{group}'.encode()).digest()
  tenth = int.from_bytes(digest[:8], 'big') % 10
  return {0: 'validation', 1: 'test'}.get(tenth, 'train')


class VaderSentiment(tfds.core.GeneratorBasedBuilder):
  """Sentences with mean human sentiment ratings in [-4, 4]."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = [
      tfds.core.BuilderConfig(name=name, description=f'The {name} sentences.')
      for name in _FILES
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
        builder=self,
        description=__doc__,
        homepage='https://github.com/cjhutto/vaderSentiment',
        license='MIT',
        features=tfds.features.FeaturesDict({
            'idx': np.int32,
            'name': tfds.features.Text(),
            'sentence': tfds.features.Text(),
            'rating': np.float32,
        }))

  def _split_generators(
      self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[int, dict[str, object]]]]:
    del dl_manager  # The package index is the source; see downloads.pinned.
    folder = pinned.fetch('vader')
    member = f'hutto_ICWSM_2014/{_FILES[self.builder_config.name]}'
    with tarfile.open(os.path.join(folder, _ARCHIVE)) as archive:
      text = archive.extractfile(member).read().decode('utf-8-sig')
    rows = read_rows(text)
    if len(rows) != _ROWS[self.builder_config.name]:
      raise ValueError(f'{member} has {len(rows)} rows')
    sides = [side(self.builder_config.name, group) for group in groups(rows)]
    return {name: self._generate_examples(rows, sides, name)
            for name in ('train', 'validation', 'test')}

  def _generate_examples(
      self, rows: list[tuple[str, float, str]], sides: list[str], wanted: str
  ) -> Iterator[tuple[int, dict[str, object]]]:
    """Yields the rows of one split."""
    for idx, ((name, rating, sentence), where) in enumerate(zip(rows, sides)):
      if where == wanted:
        yield idx, {'idx': idx, 'name': name, 'sentence': sentence,
                    'rating': rating}
