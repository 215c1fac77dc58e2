"""Tests of scripts.benchmark.embeddings, whose sides compute one function."""

from unittest import mock

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.adapters import embedding
from adapters_jax.model import pooling
from adapters_jax.model import sentence_files
from adapters_jax.runs import session
from scripts.benchmark import embeddings
from scripts.benchmark import sentences
from scripts.benchmark import settings
from tests import tiny


@pytest.mark.parametrize('changed', (
    {'pairs': 33}, {'pairs': 0}, {'pairs': 4128}, {'turns': 0}))
def test_wrong_flags(changed):
  with mock.patch.object(settings, 'measure', side_effect=AssertionError):
    with pytest.raises(errors.UserError, match='--(pairs|turns)'):
      embeddings.main(embeddings.Config(**changed))


@pytest.mark.interop
def test_both_sides_compute_the_same(tmp_path, monkeypatch):
  pytest.importorskip('sentence_transformers')
  from scripts.benchmark import embeddings_ours
  from scripts.benchmark import embeddings_peer
  monkeypatch.setattr(session, 'enable_compilation_cache', lambda: None)
  rng = np.random.default_rng(0)
  texts = list(dict.fromkeys(
      ' '.join(rng.choice(tiny.WORDS, count)) for count in
      rng.integers(4, 9, 90)))[:64]
  monkeypatch.setattr(sentences, 'texts', lambda count: texts[:count])
  folder = tiny.write_checkpoint(str(tmp_path / 'tiny'))
  sentence_files.write(folder, pooling.Pooling(), 12, 40)
  ours, peer = embeddings_ours.Side(), embeddings_peer.Side()
  ours.begin('float32', 32, folder, dropout=0.0, max_length=40)
  peer.begin('float32', 32, folder)
  for part in peer.model.modules():
    part.p = part.dropout_prob = 0.0  # The second one is of the attention.
  assert ours.trained() == peer.trained()
  # Before the first step LoRA changes nothing, whatever its other factor is.
  np.testing.assert_allclose(
      embedding.encode(ours.base, texts),
      peer.model.encode(texts), atol=1e-5)
  assert (ours.encode(), peer.encode()) == (64, 64)
  assert ours.train() == pytest.approx(peer.train(), rel=1e-4)  # One batch.
