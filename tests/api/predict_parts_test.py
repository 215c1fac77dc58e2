"""Tests of `predict` on inputs that come in several parts."""

import dataclasses
import os
from unittest import mock

import pytest

from adapters_jax.adapters import prediction
from adapters_jax.adapters import resident
from adapters_jax.api import streams
from adapters_jax.api.commands import predict
from tests.adapters import bank_test
from tests.api import streams_test


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = str(tmp_path_factory.mktemp('adapter'))
  dataclasses.replace(
      bank_test.make(), texts=('sentence',), labels=('no', 'yes')).save(path)
  return path


def test_a_pipe_is_answered_while_its_writer_waits(
    folder, checkpoint, monkeypatch, capsys):
  monkeypatch.setattr(streams, '_LINES', 0)
  with streams_test.piped([b'good film\n', b'bad']) as (path, answered):
    real = prediction.values
    sizes = []

    def values(*args, **more):
      sizes.append(len(args[3]))
      answered.set()
      return real(*args, **more)

    monkeypatch.setattr(prediction, 'values', values)
    predict.main(predict.PredictConfig(
        folder, checkpoint=checkpoint, input=path))
  assert sizes == [1, 1]
  out, err = capsys.readouterr()
  assert 'labelled 1 inputs, ' in err and 'labelled 2 inputs, ' in err
  assert [line.split('\t')[-1] for line in out.splitlines()] == [
      'sentence', 'good film', 'bad']


@pytest.mark.parametrize('column', ['', 'by'])
def test_a_bank_is_placed_once_for_all_parts(
    folder, checkpoint, monkeypatch, capsys, column):
  monkeypatch.setattr(streams, 'PART', 1)
  monkeypatch.setattr(predict.inputs, 'read_texts', lambda *_: iter(
      [('good film', 'b')[:1 + bool(column)]] * 3))
  place = mock.Mock(side_effect=resident.place)
  monkeypatch.setattr(resident, 'place', place)
  predict.main(predict.PredictConfig(
      adapters=f'b={folder},c={folder}', adapter_column=column,
      checkpoint=checkpoint, input=os.devnull, format='jsonl'))
  first, *others = capsys.readouterr().out.splitlines()
  assert others == [first] * 2 and place.call_count == 1
