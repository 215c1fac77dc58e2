"""Options of folders that sentence-transformers reads, and its embeddings."""

import numpy as np
import pytest

import adapters_jax as aj
from tests.model import sentence_options_test as options

sentence_transformers = pytest.importorskip('sentence_transformers')

pytestmark = pytest.mark.interop
_SETTINGS = {'tokenizer_class': 'BertTokenizer', 'model_max_length': 30}


@pytest.mark.parametrize('name', options.LENGTHS)
def test_the_longest_text(name, tmp_path):
  folder = options.write(
      tmp_path / 'a', options.LENGTHS[name][0], settings=_SETTINGS)
  np.testing.assert_allclose(
      aj.encode(aj.load_base(folder), options.TEXTS),
      sentence_transformers.SentenceTransformer(folder).encode(options.TEXTS),
      atol=1e-5)


def test_leading_dimensions(tmp_path):
  folder = options.write(
      tmp_path / 'a', prompts={'truncate_dim': 4}, settings=_SETTINGS)
  wanted = sentence_transformers.SentenceTransformer(folder).encode(
      options.TEXTS)
  assert wanted.shape == (2, 4)
  np.testing.assert_allclose(
      aj.encode(aj.load_base(folder), options.TEXTS), wanted, atol=1e-5)
