"""Remarks on dev examples that were drawn and say little about a step."""

import pytest

import adapters_jax as aj
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import drawn_dev
from adapters_jax.runs import group
from adapters_jax.runs.kinds import chosen_kind
from adapters_jax.runs.kinds import classification

TAGS = aj.TaggedExamples([['Ann', 'left']] * 8, [['B', 'O']] * 8)
START = 'dev: the best step is chosen on '


def examples(labels):
  return aj.Examples([f'text {row}' for row in range(len(labels))], labels)


def notes(base, data, dev=None, **settings):
  """Returns the notes of a run on examples in memory that begin with START."""
  kind, chosen = chosen_kind.of_data(data, dev)
  config = config_lib.Config(
      checkpoint=base.checkpoint, precision='float32', tune='norms',
      max_length=8, **chosen, **settings)
  return [note for note in group.make_group([config], kind).setup.notes
          if note.startswith(drawn_dev.START)]


@pytest.mark.parametrize('data, said', [
    (examples(['a', 'b'] * 4), "1 example, without 'b'; give `dev`"),
    (examples([0.5, 1.5] * 4), '1 example; give `dev`'),
    (examples([['a'], ['a', 'b']] * 4),
     "1 example, without 'b'; give `dev`"),
    (examples(['a'] * 195 + ['b'] * 5),
     "20 examples, without 'b'; give `dev`"),
    (examples(['a', 'b'] * 95), '19 examples; give `dev`'),
    (TAGS, '1 example; give `dev`')])
def test_few_drawn_examples(base, data, said):
  assert notes(base, data) == [START + said]


@pytest.mark.parametrize('data, settings', [
    (examples(['a', 'b'] * 100), {}),  # Enough of them.
    (examples(['a', 'b'] * 4), {'dev': examples(['a'])}),  # Given.
    (examples(['a', 'b'] * 4), {'epochs': 1})])  # A single evaluation.
def test_no_remark(base, data, settings):
  assert not notes(base, data, **settings)


def test_runs_on_files_note_it(base, tmp_path):
  path = tmp_path / 'a.tsv'
  path.write_text('sentence\tlabel\n' + ''.join(
      f'text {row}\t{"ab"[row % 2]}\n' for row in range(30)))
  config = config_lib.Config(
      checkpoint=base.checkpoint, precision='float32', train_file=str(path),
      dev_fraction=0.2, tune='norms')
  setup = group.make_group([config], classification.KIND).setup
  assert setup.notes == (
      'dev is 6 of the 30 examples of train_file',
      START + '6 examples; give `dev_file`')


def test_training_in_memory_warns(base, caplog):
  adapter = aj.train(base, examples(['a', 'b'] * 4), method='norms', buckets=0,
                     max_steps=2, eval_every=1)
  found, = [one for one in caplog.records if START in one.getMessage()]
  assert found.levelname == 'WARNING'
  # The only example says little: the first step is as good as the second.
  assert [entry.get('kept') for entry in adapter.history] == [True, None]
