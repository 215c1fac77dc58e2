"""Tests of data.held_out: texts that are in training too."""

import pytest

from adapters_jax.data import conll
from adapters_jax.data import held_out
from adapters_jax.data import memory
from adapters_jax.data import memory_tasks
from adapters_jax.data import questions
from adapters_jax.data import raw_text
from adapters_jax.data import tables
from adapters_jax.data import tagged
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.kinds import tagging

CHOICES = ('an end', 'no end')
LABELS = ['x', 'y'] * 10


def write(path, rows):
  path.write_text('\n'.join(rows) + '\n')
  return str(path)


def hold_out(kind, texts, folder):
  """Holds dev examples out of 20 with these texts; some kinds also test ones.
  """
  if kind == 'texts':
    memory_tasks.to_task(memory.Examples(texts, LABELS))
  elif kind == 'pairs':
    memory_tasks.to_task(memory.Examples([[one, 'b'] for one in texts], LABELS))
  elif kind == 'choices':
    memory_tasks.to_task(memory.Examples(
        [(one, list(CHOICES)) for one in texts], [0, 1] * 10))
  elif kind == 'raw':
    raw_text.splits(raw_text.Texts(texts))
  elif kind == 'raw file':
    raw_text.load(
        {'train': write(folder / 'a.txt', texts)}, 'text', 0.1, 0.2)
  elif kind == 'table':
    tables.with_dev({'train': tables.Table(
        'a.tsv', [(one,) for one in texts], LABELS, [*range(20)], 'y')},
        0.1, 0.2)
  elif kind == 'words':
    tagged.splits(tagged.TaggedExamples(
        [one.split() for one in texts], [['B', 'O']] * 20))
  else:
    path = write(folder / 'a.conll', [
        ''.join(f'{word}\t{tag}\n' for word, tag in zip(one.split(), 'BO'))
        for one in texts])
    tagging._read(config_lib.Config(
        train_file=path, dev_fraction=0.1, test_fraction=0.2))


@pytest.mark.parametrize('kind', [
    'texts', 'pairs', 'choices', 'raw', 'raw file', 'table', 'words', 'conll'])
def test_held_out_texts_that_are_in_training_are_counted(
    kind, caplog, tmp_path):
  hold_out(kind, [f'text {row}' for row in range(20)], tmp_path)
  assert not caplog.records
  hold_out(kind, ['same text'] * 20, tmp_path)
  count = 6 if kind in ('raw file', 'table', 'conll') else 2
  assert [one.levelname for one in caplog.records] == ['WARNING']
  assert f'{count} of the {count} texts held out' in caplog.text


def test_only_known_texts_count(caplog):
  held_out.warn_of_known(iter('abc'), 'ad', iter('bbe'))
  assert "3 of the 5 texts held out of training are in it too, such as 'a'" in (
      caplog.text)


@pytest.mark.parametrize('text, shown', [
    (('good film',), "such as 'good film', and"),
    (('good', 'film'), "such as 'good film', and"),
    (('Who?', ('Ann', 'Bob')), "such as 'Who?', and"),
    ('a' * 60, f"such as '{'a' * 60}', and"),
    (('a' * 61,), f"such as '{'a' * 57}...', and")])
def test_the_warning_shows_the_beginning_of_a_text(text, shown, caplog):
  held_out.warn_of_known([text], [text])
  assert shown in caplog.text


def test_no_warning_where_dev_is_given_or_texts_stay_together(caplog):
  some = memory.Examples(['a'] * 4, ['x', 'y'] * 2)
  memory_tasks.to_task(some, some)
  sentences = tagged.TaggedExamples([['a']] * 4, [['B']] * 4)
  assert isinstance(
      tagged.splits(sentences, sentences)['dev'][0], conll.Sentence)
  questions.splits(questions.Questions(
      ['Who?'] * 20, ['Ann', 'Bob'] * 10, ['Ann', 'Bob'] * 10))
  assert not caplog.records


@pytest.mark.parametrize('count, share, wanted', [
    (2, 0.9, 1), (3, 0.99, 2), (5, 0.01, 1), (10, 0.25, 2), (20, 0.1, 2)])
def test_at_least_one_row_is_drawn_and_one_kept(count, share, wanted):
  kept, held = held_out.draw(count, share)
  assert len(held) == wanted and sorted(kept + held) == [*range(count)]


def test_splits_of_files_are_in_order_and_a_given_test_stays():
  train = [*'abcdefghij']
  found = held_out.of_train({'train': train, 'test': ['k']}, 0.2, 0.0, str)
  assert [(name, len(some)) for name, some in found.items()] == [
      ('train', 8), ('dev', 2), ('test', 1)]
  assert found['test'] == ['k']
  drawn = held_out.of_train({'train': train}, 0.2, 0.3, str)
  assert [*drawn] == ['train', 'dev', 'test']
  assert drawn['dev'] == found['dev'] and len(drawn['test']) == 3
  assert sorted(sum(drawn.values(), [])) == train
