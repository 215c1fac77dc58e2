"""A tiny TFDS builder, as a new dataset adds one; see data.prepared._BUILDERS.

Its three classes come in forms that datasets have: names, numbers and texts.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tests import tiny

CLASSES = ('bad', 'plain', 'good')
SIZES = {'train': 40, 'validation': 20, 'test': 20}
URL = 'http://127.0.0.1:9/file'  # A closed port.


class ToySet(tfds.core.GeneratorBasedBuilder):
  """Texts whose first word decides the class; 'far' needs a download."""

  VERSION = tfds.core.Version('1.0.0')
  BUILDER_CONFIGS = [
      tfds.core.BuilderConfig(name=name) for name in ('near', 'far', 'faulty')]

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
        builder=self, description=__doc__,
        features=tfds.features.FeaturesDict({
            'idx': np.int32,
            'text': tfds.features.Text(),
            'words': tfds.features.Sequence(tfds.features.Text()),
            'kind': tfds.features.ClassLabel(names=CLASSES),
            'number': np.int32,
            'word': tfds.features.Text(),
            'rating': np.float32,
            'signed': np.int32,  # Two classes, -1 and 1.
            # Some examples have no class: every fourth one, and all of test.
            'partly': tfds.features.ClassLabel(names=CLASSES),
            'partly_word': tfds.features.Text(),
        }))

  def _split_generators(
      self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    if self.builder_config.name == 'far':
      dl_manager.download(URL)
    if self.builder_config.name == 'faulty':
      raise KeyError('a fault of the code')
    return {split: self._generate_examples(split) for split in SIZES}

  def _generate_examples(
      self, split: str
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the rows of a split."""
    for idx in range(SIZES[split]):
      number = idx % 3
      words = [tiny.WORDS[(4, 6, 0)[number]], *tiny.WORDS[7:11]]
      known = split != 'test' and idx % 4
      yield idx, {
          'idx': idx, 'text': ' '.join(words), 'words': words, 'kind': number,
          'number': number, 'word': CLASSES[number], 'rating': number - 0.5,
          'signed': idx % 2 * 2 - 1, 'partly': number if known else -1,
          'partly_word': CLASSES[number] if known else ''}
