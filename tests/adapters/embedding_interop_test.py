"""Embeddings compared with those of sentence-transformers."""

import dataclasses
import os

import jax
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax.downloads import pinned
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import sentence_files
from adapters_jax import trees
from tests import tiny

sentence_transformers = pytest.importorskip('sentence_transformers')

pytestmark = pytest.mark.interop

TEXTS = [
    'This is an example sentence', 'Each sentence is converted', '', 'é Ünïcode'
    ' 東京', 'short']
LONG = 'A much longer sentence, which is cut. ' * 60


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
  again = aj.load_base(folder)  # That of sentence-transformers as the base.
  for texts in (TEXTS, [LONG]):  # Not padded to the long one, which is slow.
    wanted = model.encode(texts)
    np.testing.assert_allclose(aj.encode(base, texts), wanted, atol=1e-5)
    np.testing.assert_allclose(aj.encode(again, texts), wanted, atol=1e-5)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """(base, adapter of LoRA and norms, the base as a sentence-transformer)."""
  folder = tiny.write_checkpoint(str(tmp_path_factory.mktemp('a') / 'tiny'))
  sentence_files.write(
      folder, sentence_files.Pooling('cls', max_length=9), 12, 40)
  base = aj.load_base(folder)
  methods = strings.parse('lora[r=2, init=bert, sites=["query", "ffn_output"]]')
  model = heads.embedding.SentenceEncoder(
      dataclasses.replace(base.config, adapters=methods))
  params = encoder.init(model, jax.random.key(3), base.params)
  tuned, _ = trees.split(
      params, lambda path: trees.role(path) in ('adapter', 'norm'))
  tuned = jax.tree.map(lambda leaf: leaf + 0.1, tuned)
  return base, aj.Adapter(
      methods, tuned, head_input='embedding_mean', max_length=9,
      base=base.identity), folder


WORDS = ['a very good film', 'dull', 'the plot very very dull the film good a']


def test_an_exported_folder(made, tmp_path):
  base, adapter, _ = made
  wanted = aj.encode(base, WORDS, adapter)
  assert np.abs(wanted - aj.encode(base, WORDS)).max() > 1e-2
  aj.export(adapter, str(tmp_path), 'sentence_transformers', base=base)
  model = sentence_transformers.SentenceTransformer(str(tmp_path))
  np.testing.assert_allclose(model.encode(WORDS), wanted, atol=1e-5)
  np.testing.assert_allclose(
      aj.encode(aj.load_base(str(tmp_path)), WORDS), wanted, atol=1e-5)


def test_an_exported_peft_adapter(made, tmp_path):
  base, adapter, folder = made
  model = sentence_transformers.SentenceTransformer(folder)
  plain = aj.encode(base, WORDS)
  np.testing.assert_allclose(model.encode(WORDS), plain, atol=1e-5)
  notes = aj.export(adapter, str(tmp_path), 'peft', base=base)
  assert 'load_adapter' in notes[0]
  model.load_adapter(str(tmp_path))
  wanted = aj.encode(base, WORDS, adapter, pooling='cls')
  assert np.abs(wanted - plain).max() > 1e-2
  np.testing.assert_allclose(model.encode(WORDS), wanted, atol=1e-5)
  again = aj.load_adapter(str(tmp_path), base)
  np.testing.assert_allclose(
      aj.encode(base, WORDS, again, pooling='cls'), wanted, atol=1e-5)


@pytest.mark.parametrize('name, theirs', [
    ('multiple_negatives', 'MultipleNegativesRankingLoss'),
    ('cosent', 'CoSENTLoss'), ('cosine', 'CosineSimilarityLoss')])
def test_losses(name, theirs):
  import torch
  from sentence_transformers import losses
  vectors = np.random.default_rng(0).standard_normal((6, 2, 5), np.float32)
  scores = np.array([0, 0.5, 0.25, 0.5, 1, 0.75], np.float32)

  class Given(torch.nn.Module):
    def forward(self, features):
      return {'sentence_embedding': features}

  given = [torch.from_numpy(vectors[:, side]) for side in range(2)]
  wanted = getattr(losses, theirs)(Given())(given, torch.from_numpy(scores))
  labels = scores if name != 'multiple_negatives' else np.arange(12).reshape(
      6, 2)
  found = heads.embedding.make_loss(name)(jax.numpy.array(vectors), labels)
  np.testing.assert_allclose(np.mean(found), wanted.item(), rtol=1e-5)
