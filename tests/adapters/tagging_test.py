"""Tests of adapters.tagging."""

import types

import numpy as np
import pytest

from adapters_jax.adapters import compiled
from adapters_jax.adapters import tagging
from adapters_jax.data import tokenization


@pytest.fixture
def tag(checkpoint, monkeypatch):
  """(tags of an adapter, classes of words) -> tagged 'a good film'."""
  tokenizer = tokenization.load(checkpoint)
  monkeypatch.setattr(compiled, 'tokenizer_of', lambda base: tokenizer)
  monkeypatch.setattr(compiled, 'max_length', lambda *_: 8)

  def tag_text(labels, found):
    *_, decode = tagging.read(
        None, types.SimpleNamespace(classes=labels), ['a good film'])
    # [CLS], three words, [SEP].
    return decode([np.eye(len(labels))[[0, *found, 0]]])[0]
  return tag_text


@pytest.mark.parametrize('labels, classes, wanted', [
    # Names of parts of speech that entities could have, and no others here.
    (('B', 'E', 'NOUN', 'S', 'V'), [1, 3, 1], []),
    (('B-X', 'NOUN', 'S'), [0, 2, 0], []),
    (('B', 'I', 'O'), [0, 1, 2], [('_', 'a good')]),
    (('B-PER', 'I-PER', 'O'), [2, 0, 1], [('PER', 'good film')]),
    # A tag from elsewhere is outside, whatever else is in the sentence.
    (('B-PER', 'O', '[PAD]'), [0, 2, 0], [('PER', 'a'), ('PER', 'film')])])
def test_the_tags_of_the_adapter_decide_on_entities(
    tag, labels, classes, wanted):
  found = tag(labels, classes)
  assert found.tags == tuple(labels[number] for number in classes)
  assert [(one.type, one.text) for one in found.entities] == wanted
