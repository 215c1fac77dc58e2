"""Tests of the names and the form of classes beside PEFT's files."""

import dataclasses
import json
import logging

import jax
import numpy as np
import pytest

from adapters_jax.adapters.formats import peft
from adapters_jax.adapters.formats import peft_labels
from tests.adapters.formats import format_cases

SHAPE = format_cases.SHAPE


def make(head_input='pooler', labels=('a', 'b', 'c')):
  return dataclasses.replace(
      format_cases.make('lora[r=2]', head_input=head_input), labels=labels)


@pytest.mark.parametrize('labels', [('a', 'b', 'c'), ()])
@pytest.mark.parametrize('head_input', ['multilabel_pooler', 'pooler', 'tags'])
def test_names_and_form_come_back(head_input, labels, tmp_path, caplog):
  adapter = make(head_input, labels)
  peft.write(str(tmp_path), adapter, SHAPE)
  found = peft.read(str(tmp_path), SHAPE)
  assert (found.head_input, found.labels) == (head_input, labels)
  jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
  bare = peft.read(str(tmp_path), SHAPE, head=False)
  assert (bare.head_input, bare.labels) == ('cls', ())
  several = head_input.startswith('multilabel')
  path = tmp_path / peft_labels.NAME
  assert path.exists() == bool(several or labels)
  if several:
    assert json.loads(path.read_text())['problem_type'] == (
        'multi_label_classification')
  assert not caplog.records


def test_one_label_is_no_score(tmp_path):
  adapter = make('multilabel_pooler', ('a',))
  adapter.tuned['head'] = {
      'kernel': np.ones((32, 1), np.float32), 'bias': np.ones(1, np.float32)}
  peft.write(str(tmp_path), adapter, SHAPE)
  found = peft.read(str(tmp_path), SHAPE)
  assert (found.head_input, found.labels) == ('multilabel_pooler', ('a',))


def test_a_later_export_replaces_the_form(tmp_path):
  peft.write(str(tmp_path), make('multilabel_pooler', ()), SHAPE)
  peft.write(str(tmp_path), make('pooler', ()), SHAPE)
  assert not (tmp_path / peft_labels.NAME).exists()
  assert peft.read(str(tmp_path), SHAPE).head_input == 'pooler'


@pytest.mark.parametrize('values', [
    ['a', 'b', 'c'], 'a', {'0': 'a', '1': 'b', '2': 'c'},
    {'a': 0, 'b': 1, 'c': 2}, {'id2label': ['a', 'b', 'c']}, {'id2label': {}},
    {'id2label': {'0': 'a', '1': 'b'}}, {'id2label': {'0': 0, '1': 1, '2': 2}},
    {'id2label': {'0': 'a', '1': 'a', '2': 'b'}}])
def test_a_file_of_another_program_is_left_out(values, tmp_path, caplog):
  adapter = make(labels=())
  peft.write(str(tmp_path), adapter, SHAPE)
  path = tmp_path / peft_labels.NAME
  path.write_text(json.dumps(values))
  with caplog.at_level(logging.WARNING):
    found = peft.read(str(tmp_path), SHAPE)
  assert (found.labels, found.head_input) == ((), 'pooler')
  record, = caplog.records
  assert 'the classes get no names' in record.getMessage()
