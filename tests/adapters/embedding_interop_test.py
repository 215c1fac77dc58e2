"""Embeddings compared with those of sentence-transformers."""

import os

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax.downloads import pinned
from adapters_jax.model import sentence_files

sentence_transformers = pytest.importorskip('sentence_transformers')

pytestmark = pytest.mark.interop

TEXTS = [
    'This is an example sentence', 'Each sentence is converted', '', 'é Ünïcode'
    ' 東京', 'A much longer sentence, which is cut. ' * 60, 'short']


@pytest.mark.parametrize('name', ['minilm-l6', 'mpnet-base'])
def test_published_usage(name, tmp_path):
  source, folder = pinned.fetch(name), str(tmp_path)
  for file in os.listdir(source):
    os.symlink(os.path.join(source, file), os.path.join(folder, file))
  base = aj.load_base(name)
  sentence_files.write(
      folder, sentence_files.of_checkpoint(name), base.config.dim, 512)
  model = sentence_transformers.SentenceTransformer(folder)
  assert [type(module).__name__ for module in model] == [
      'Transformer', 'Pooling', 'Normalize']
  wanted = model.encode(TEXTS)
  np.testing.assert_allclose(aj.encode(base, TEXTS), wanted, atol=1e-5)
  # The folder of sentence-transformers as the base.
  np.testing.assert_allclose(
      aj.encode(aj.load_base(folder), TEXTS), wanted, atol=1e-5)
