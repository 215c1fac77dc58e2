"""Tests of the command `predict`."""

import dataclasses
import io
import json
import os
import sys
from unittest import mock

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter
from adapters_jax.adapters import composing
from adapters_jax.adapters import prediction
from adapters_jax.adapters import readings
from adapters_jax.api import banks
from adapters_jax.api import streams
from adapters_jax.api.commands import predict
from adapters_jax.data import quoting
from adapters_jax.data import rows
from tests import outputs
from tests.adapters import bank_test

TEXTS = ['good film', 'a "dull" plot', 'very\nbad']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """An adapter that reads the column 'sentence', of at most 8 tokens."""
  path = str(tmp_path_factory.mktemp('adapter'))
  dataclasses.replace(
      bank_test.make(), texts=('sentence',), labels=('no', 'yes'),
      max_length=8).save(path)
  return path


def labelled(config, capsys):
  """Returns the rows of the output, and the messages."""
  capsys.readouterr()
  predict.main(config)
  out, err = capsys.readouterr()
  path = 'out.tsv'
  with open(path, 'w', encoding='utf-8', newline='') as file:
    file.write(out)
  return [row for _, row in rows.read(path)], err


def test_columns_of_a_table_are_labelled(
    folder, checkpoint, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(streams, 'PART', 2)
  cells = [quoting.quote_row([text, 'x']) for text in TEXTS]
  (tmp_path / 'a.tsv').write_text('\n'.join(['sentence\tlabel', *cells]))
  config = predict.PredictConfig(
      folder, checkpoint=checkpoint, input='a.tsv', batch_size=3)
  found, _ = labelled(config, capsys)
  assert [row['sentence'] for row in found] == TEXTS
  values = readings.probabilities(outputs.logits(
      *prediction.load(folder, checkpoint), TEXTS))
  np.testing.assert_allclose(
      [[float(row['p(no)']), float(row['p(yes)'])] for row in found], values,
      atol=1e-5)
  assert [row['label'] for row in found] == [
      ('no', 'yes')[value.argmax()] for value in values]
  other = dataclasses.replace(config, text_columns='label')
  assert [row['sentence'] for row in labelled(other, capsys)[0]] == ['x'] * 3


def test_a_failed_prediction_leaves_the_output_empty(
    folder, checkpoint, tmp_path, monkeypatch, capsys):
  path = tmp_path / 'texts.txt'
  path.write_text('good film\n')
  monkeypatch.setattr(prediction, 'values', mock.Mock(
      side_effect=errors.UserError('failed')))
  with pytest.raises(errors.UserError, match='failed'):
    predict.main(predict.PredictConfig(
        adapter=folder, checkpoint=checkpoint, input=str(path)))
  assert not capsys.readouterr().out


def test_cut_texts_are_counted(
    folder, checkpoint, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  lines = ['good', 'a ' * 6, 'a ' * 7, 'plots ' * 4]  # plot, ##s
  stdin = io.TextIOWrapper(io.BytesIO('\n'.join(lines).encode()))
  monkeypatch.setattr(sys, 'stdin', stdin)
  found, err = labelled(
      predict.PredictConfig(folder, checkpoint=checkpoint), capsys)
  assert [row['sentence'] for row in found] == lines
  assert '2 of 4 inputs were cut to the 8 tokens' in err
  (tmp_path / 'a.txt').write_text('\n'.join(lines))
  predict.main(predict.PredictConfig(
      folder, checkpoint=checkpoint, input='a.txt', format='jsonl'))
  shown = map(json.loads, capsys.readouterr().out.splitlines())
  assert ['truncated' in one for one in shown] == [False, False, True, True]


@pytest.mark.parametrize('changed, message', [
    ({'adapter': ''}, '`adapter`: name'),
    ({'adapter': 'none'}, '`adapter`: there is no folder none'),
    ({'format': 'csv'}, "`format`: unknown 'csv'"),
    ({'input_format': 'xls'}, "`input_format`: unknown 'xls'"),
    ({'batch_size': 0}, '`batch_size=0`: give 1 to'),
    ({'batch_size': 10**12}, '`batch_size=1000000000000`: give'),
    ({'input': 'none.tsv'}, '`input`: .*none.tsv'),
    ({'text_columns': 'a,b', 'input': os.devnull}, 'the adapter reads 1 .sent'),
])
def test_wrong_settings(folder, checkpoint, changed, message, capsys):
  config = predict.PredictConfig(**{
      'adapter': folder, 'checkpoint': checkpoint, **changed})
  with pytest.raises(errors.UserError, match=message):
    predict.main(config)
  assert not capsys.readouterr().out  # No header before a fault.


@pytest.fixture(scope='module')
def folders(folder, tmp_path_factory):
  """The flag of two adapters, of other methods and classes."""
  path = str(tmp_path_factory.mktemp('other'))
  dataclasses.replace(
      bank_test.make('lora[r=2]', 1), texts=('sentence',),
      labels=('dull', 'fine')).save(path)
  return f'ours={folder},other={path}'


def test_several_adapters_label_one_stream(
    folders, checkpoint, tmp_path, capsys):
  texts = [*TEXTS, 'a ' * 9]  # Longer than one of the two reads.
  path = tmp_path / 'a.jsonl'
  path.write_text('\n'.join(
      json.dumps({'sentence': text, 'by': name})
      for text, name in zip(texts, ('other', 'ours', 'other', 'ours'))))
  config = predict.PredictConfig(
      adapters=folders, checkpoint=checkpoint, input=str(path),
      format='jsonl')
  base, bank = banks.load(folders, checkpoint)
  wanted = prediction.predict(base, bank, texts)

  def printed(**changed):
    capsys.readouterr()
    predict.main(dataclasses.replace(config, **changed))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

  for row, one in zip(printed(), wanted, strict=True):
    labels = {name: found['label'] for name, found in row['adapters'].items()}
    assert labels == {name: found.label for name, found in one.items()}
    cut = {name: found.get('truncated')
           for name, found in row['adapters'].items()}
    assert cut == {name: found.truncated for name, found in one.items()}
  assert cut == {'ours': True, 'other': None}
  by_column = printed(adapter_column='by')
  assert [row['texts'] for row in by_column] == [[text] for text in texts]
  for row, one, name in zip(
      by_column, wanted, ('other', 'ours', 'other', 'ours'), strict=True):
    assert (row['adapter'], row['label']) == (name, one[name].label)
  assert [row.get('truncated') for row in by_column] == [None] * 3 + [True]
  with pytest.raises(errors.UserError, match=(
      "`adapter_column`, input 0: unknown 'good")):
    printed(adapter_column='sentence')


@pytest.mark.parametrize('changed, message', [
    ({'adapter': '.'}, 'give one of them'), ({'format': 'tsv'}, 'give jsonl'),
    ({'adapters': ''}, '`adapter`: name'),
    ({'adapters': 'a=none'}, 'no folder none'),
    ({'adapters': '', 'adapter': '.', 'adapter_column': 'a'},
     'is for `adapters`')])
def test_wrong_settings_of_several(changed, message):
  with pytest.raises(errors.UserError, match=message):
    predict.main(predict.PredictConfig(
        **{'adapters': '.', 'format': 'jsonl', **changed}))


def test_a_setup_of_adapters(
    folder, checkpoint, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  other = str(tmp_path / 'other')
  dataclasses.replace(
      bank_test.make('lora[r=2]', 1), texts=('sentence',), labels=('no', 'yes'),
      max_length=8).save(other)
  (tmp_path / 'a.txt').write_text('good film\nvery bad\n')
  config = predict.PredictConfig(
      adapters=f'one={folder},two={other}', input='a.txt',
      setup='stack(one, two, norms=last)', checkpoint=checkpoint)
  found, _ = labelled(config, capsys)
  base, _ = prediction.load(folder, checkpoint)
  whole = composing.compose(
      {'one': adapter.load(folder), 'two': adapter.load(other)}, config.setup)
  values = readings.probabilities(outputs.logits(
      base, whole, ['good film', 'very bad']))
  np.testing.assert_allclose(
      [[float(row['p(no)']), float(row['p(yes)'])] for row in found], values,
      atol=1e-5)
  for changed, message in (
      ({'adapters': '', 'adapter': folder}, '`setup`: is for `adapters`'),
      ({'setup': 'parallel(one, two)'}, 'give jsonl'),
      ({'setup': 'stack(one, tow)'}, "unknown 'tow'"),
      ({'setup': 'two'}, '`setup=two`: it leaves out one'),
      ({'setup': 'batch_split(one, two, batch_sizes=1)'},
       'number of texts; leave it out and give `adapter_column`')):
    with pytest.raises(errors.UserError, match=message):
      predict.main(dataclasses.replace(config, **changed))


def test_a_name_is_no_block(folder, checkpoint, tmp_path, capsys):
  path = tmp_path / 'a.txt'
  path.write_text('good film\n')
  config = predict.PredictConfig(
      adapters=f'Parallel={folder}', input=str(path), checkpoint=checkpoint,
      setup='Parallel')
  predict.main(config)
  alone = capsys.readouterr().out
  predict.main(dataclasses.replace(config, setup='stack(Parallel)'))
  assert capsys.readouterr().out == alone
  assert alone.splitlines()[1].endswith('\tgood film')
  with pytest.raises(errors.UserError, match='give jsonl'):
    predict.main(dataclasses.replace(
        config, setup='stack(Parallel, parallel(Parallel, Parallel))'))


@pytest.mark.parametrize('changed', [
    {}, {'adapters': 'b={folder},c={folder}'},
    {'adapters': 'b={folder},c={folder}', 'adapter_column': 'by'}])
def test_messages_count_all_inputs(
    changed, folder, checkpoint, monkeypatch):
  by = 'adapter_column' in changed
  monkeypatch.setattr(streams, 'PART', 2)
  monkeypatch.setattr(predict.inputs, 'read_texts', lambda *_: iter(
      (text, 'bc'[row % 2])[:1 + by]
      for row, text in enumerate([*TEXTS, 'a', 'b', '\ud800'])))
  config = predict.PredictConfig(
      **({'adapter': folder} if not changed else {}),
      **{name: text.format(folder=folder) for name, text in changed.items()},
      checkpoint=checkpoint, input=os.devnull, format='jsonl')
  with pytest.raises(errors.UserError, match='text 5: the tokenizer'):
    predict.main(config)


def test_an_unknown_adapter_of_a_later_input_is_numbered(
    folder, checkpoint, monkeypatch):
  monkeypatch.setattr(streams, 'PART', 2)
  monkeypatch.setattr(predict.inputs, 'read_texts', lambda *_: iter(
      (text, name) for text, name in zip(TEXTS, ('b', 'b', 'd'))))
  with pytest.raises(errors.UserError, match="column`, input 2: unknown 'd'"):
    predict.main(predict.PredictConfig(
        adapters=f'b={folder},c={folder}', adapter_column='by',
        checkpoint=checkpoint, input=os.devnull, format='jsonl'))


def test_a_task_stacked_on_a_language(folder, checkpoint, tmp_path, capsys):
  other = str(tmp_path / 'lang')
  made = bank_test.make('lora[r=2]')
  dataclasses.replace(made, head_input='masked_lm', tuned=trees.split(
      made.tuned, lambda path: trees.role(path) == 'adapter')[0]).save(other)
  path = tmp_path / 'a.txt'
  path.write_text('good film\n')
  config = predict.PredictConfig(
      adapters=f'lang={other},task={folder}', input=str(path),
      setup='stack(lang, task, norms=last)', checkpoint=checkpoint)
  predict.main(config)
  assert capsys.readouterr().out.splitlines()[1].endswith('\tgood film')
  for changed in ({'setup': ''}, {'setup': 'stack(task, lang, norms=last)'}):
    with pytest.raises(errors.UserError, match='predicts no labels'):
      predict.main(dataclasses.replace(config, format='jsonl', **changed))


def test_names_of_texts_agree_in_tables_alone():
  bank = {name: dataclasses.replace(bank_test.make(), texts=(name,))
          for name in ('sentence', 'review')}
  config = predict.PredictConfig(adapters='one,two')
  assert predict._texts_of(config, bank) == ('sentence',)  # Lines.
  table = dataclasses.replace(config, input='a.tsv')
  with pytest.raises(errors.UserError, match='review reads review, sentence'):
    predict._texts_of(table, bank)
  columns = dataclasses.replace(table, text_columns='body')
  assert predict._texts_of(columns, bank) == ('sentence',)
