"""Tests of the writer of an adapter's predictions."""

import csv
import types

import numpy as np
import pytest

from adapters_jax.analysis import predictions


@pytest.mark.parametrize('settings, cell', [
    ({'label_separator': '|'}, 'ham|spam, eggs'), ({}, 'ham,"spam, eggs"')])
def test_labels_are_joined_as_the_training_file_has_them(settings, cell):
  adapter = types.SimpleNamespace(
      texts=('text',), classes=('ham', 'spam, eggs'), head_input='cls',
      head=types.SimpleNamespace(
          multilabel=True, choices=False, reads_words=False),
      threshold=0.5, settings=settings)
  writer = predictions.writer_of(adapter, 'tsv')
  line = writer.line(['a'], np.array([0.9, 0.8]))
  assert next(csv.reader([line], delimiter='\t'))[0] == cell
