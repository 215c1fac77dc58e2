"""Tests of experiments.tagging, and of tags in the library."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import prediction
from adapters_jax.analysis import cells
from adapters_jax.api.commands import predict
from adapters_jax.api import experiments
from adapters_jax.api import written
from adapters_jax.data import conll
from adapters_jax.data import tags as tags_lib
from adapters_jax.model import heads
from adapters_jax.runs import compact
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.kinds import tagging
from adapters_jax.runs import records
from adapters_jax.runs import run
from adapters_jax.sweeps import grid

NAMES = ('good', 'fine', 'great')


def make_sentences(count, seed=0):
  """Returns sentences whose names and following 'films' are entities."""
  rng = np.random.default_rng(seed)
  found = []
  for _ in range(count):
    words = [str(word) for word in rng.choice(
        ('a', 'the', 'plot', 'bad', *NAMES), rng.integers(3, 14))]
    tags = []
    for number, word in enumerate(words):
      tags.append(f'B-{word[0].upper()}' if word in NAMES else 'O')
      if number and tags[number - 1][0] == 'B' and words[number] == 'plot':
        words[number], tags[number] = 'plots', f'I-{tags[number - 1][2:]}'
    found.append(conll.Sentence(tuple(words), tuple(tags)))
  return found


def write(path, sentences):
  path.write_text('\n'.join(
      ''.join(f'{word}\t{tag}\n' for word, tag in zip(one.words, one.tags))
      for one in sentences))
  return str(path)


@pytest.fixture
def config(checkpoint, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  return config_lib.Config(
      task='names', checkpoint=checkpoint, adapter_config='lora[r=2]',
      learning_rate=0.03, batch_size=8, max_steps=40, eval_every=20,
      max_length=10, buckets=0, dropout=0.0,
      train_file=write(tmp_path / 'train.conll', make_sentences(60)),
      dev_file=write(tmp_path / 'dev.conll', make_sentences(20, 1)))


@pytest.mark.slow
def test_a_run_of_two_seeds_as_one_program(config, capsys):
  run.run_group([dataclasses.replace(config, seed=seed) for seed in (0, 1)],
                'tagging', tagging.KIND, names=['0', '1'])
  capsys.readouterr()
  # Finds both finished.
  experiments.make_runs('tagging', [config], grid.Options(seeds='0,1'),
                        written.Predictions(True, 'jsonl'))
  found = [*records.read_all('runs/tagging')]
  assert [record.config['seed'] for record in found] == [0, 1]
  record = max(found, key=records.primary)
  scores = record.metrics['dev']
  assert list(scores) == list(tags_lib.OF_ENTITIES)
  losses = [entry['loss'] for entry in record.history]
  assert losses[-1] < losses[0] and scores['entity_f1'] > 0.5
  # The scores follow from the counts of each sentence, and the predictions.
  counts = {name: compact.to_array(text).sum()
            for name, text in record.predictions['dev'].items()}
  assert tags_lib.precision_recall_f1(**counts)[2] == scores['entity_f1']
  estimate = cells.estimate(found, 'dev', 'entity_f1')
  assert estimate.bootstrap[0] < estimate.mean < estimate.bootstrap[1]
  path, = [line.split(': ')[1] for line in capsys.readouterr().out.splitlines()
           if line.startswith('predictions: ')]
  with open(path) as file:
    rows = [json.loads(line) for line in file]
  sentences = conll.read(config.dev_file)
  assert [tuple(row['words']) for row in rows] == [s.words for s in sentences]
  assert tags_lib.tagging_scores(
      [row['label'] for row in rows], [row['tags'] for row in rows],
      tags_lib.OF_ENTITIES) == scores


def test_a_saved_tagger_tags_as_in_its_run(config, capsys):
  config = dataclasses.replace(
      config, workdir='run', max_steps=20, metric='tag_accuracy',
      adapter_config='prompt_tuning[combine=prefix_after_bos,prompt_length=3]')
  run.run(config, 'tagging', tagging.KIND)
  setup = tagging.prepare(config)
  sentences = setup.sentences['dev']
  base, adapter = prediction.load('run', config.checkpoint)
  assert adapter.head.name == 'tags' and adapter.classes == setup.task.labels
  assert adapter.texts == ('words',)
  _, wanted = tagging.make_score(setup, 8)(adapter.tuned, 'dev')
  found = aj.predict(base, adapter, [one.words for one in sentences])
  names = [setup.task.labels[tag] for tag in wanted]
  assert [tag for one in found for tag in one.tags] == names
  assert found[0].words == sentences[0].words
  capsys.readouterr()
  options = predict.PredictConfig(
      'run', checkpoint=config.checkpoint, input=config.dev_file)
  predict.main(options)
  # Columns, which are read back.
  again = [*conll.of_lines(capsys.readouterr().out.splitlines(), 'out')]
  assert [tag for one in again for tag in one.tags] == names
  with open('texts.txt', 'w') as file:
    file.write('The great plots, a film.\n\n')
  predict.main(dataclasses.replace(options, input='texts.txt', format='jsonl'))
  row, empty = map(json.loads, capsys.readouterr().out.splitlines())
  assert row['words'] == ['The', 'great', 'plots', ',', 'a', 'film', '.']
  assert empty == {'words': [], 'tags': [], 'spans': []}
  for span in row['spans']:
    assert 'The great plots, a film.'[span['start']:span['stop']] == (
        span['text'])


@pytest.mark.slow
def test_taggers_in_memory_in_one_batch(checkpoint):
  base = aj.load_base(checkpoint)
  sentences = make_sentences(24)
  data = aj.TaggedExamples(words=[one.words for one in sentences],
                           tags=[one.tags for one in sentences])
  one = aj.train(base, data, 'norms', max_steps=2, max_length=10, buckets=0)
  assert one.task == 'tagging' and 'entity_f1' in one.scores['dev']
  bank = {'1': one, '2': dataclasses.replace(
      one, tuned=jax.tree.map(lambda leaf: leaf[::-1], one.tuned))}
  texts = ['great plots, bad a.', ['fine', 'plots'], *data.words]
  names = ['1', '2'] * 13
  mixed = aj.predict(base, bank, texts, names)
  for name in bank:
    alone = aj.predict(base, bank[name], texts)
    assert [one for one, chosen in zip(mixed, names) if chosen == name] == [
        one for one, chosen in zip(alone, names) if chosen == name]
  assert mixed[1].words == ('fine', 'plots')
  with pytest.raises(errors.UserError, match=r'texts\[1\].*its words'):
    aj.predict(base, bank['1'], ['a', ['a', 3]])


def test_tags_in_memory_that_training_lacks(caplog):
  def sentences(*tags):
    return aj.TaggedExamples([['a', 'b']], [list(tags)]).sentences()

  train = sentences('B-PER', 'O')
  with pytest.raises(aj.UserError, match="^dev: its tags, .*give the same tag"):
    tagging.task_of_sentences(
        'tags', {'train': train, 'dev': sentences('X', 'Y')})
  with pytest.raises(aj.UserError, match='`label_column`'):
    tagging.task_of_sentences(
        'tags', {'train': train, 'dev': sentences('X', 'Y')},
        {'train': 'a.conll', 'dev': 'b.conll'})
  with pytest.raises(aj.UserError, match='^`data`: all words have the tag'):
    tagging.task_of_sentences('tags', {'train': sentences('O', 'O')})
  mixed = [conll.Sentence(('a', 'b'), ('B-PER', 'O'), 7),
           conll.Sentence(('a', 'b'), ('LOC', 'O'), 10)]
  for places, start in ((None, '`data`, in sentence 10'),
                        ({'train': 'a.conll'}, 'a.conll, near line 10')):
    with pytest.raises(
        aj.UserError, match=f"^{start}: the tag 'LOC' .* of another column"):
      tagging.task_of_sentences('tags', {'train': mixed}, places)
  tagging.task_of_sentences(
      'tags', {'train': train, 'dev': sentences('X', 'O')})
  assert "such as 'X' in sentence 0" in caplog.text


def test_token_loss_by_hand():
  loss = jax.jit(heads.tagging.token_loss, static_argnums=2)
  logits = np.zeros((2, 3, 4), np.float32)
  logits[0, 0, 2] = 2
  labels = np.array([[2, -1, 0], [-1, -1, -1]])
  peak = np.log(3 + np.e**2) - 2
  np.testing.assert_allclose(
      loss(logits, labels), [(peak + np.log(4)) / 2, 0], rtol=1e-6)
  even = np.log(3 + np.e**2) - 0.5
  np.testing.assert_allclose(
      loss(logits, labels, 0.2)[0],
      (0.8 * peak + 0.2 * even + np.log(4)) / 2, rtol=1e-6)


@pytest.mark.parametrize('changed, message', [
    ({'train_file': '', 'dev_file': ''}, '`train_file`: tagging'),
    ({'head_input': 'pooler'}, '`head_input`'),
    ({'class_weights': 'balanced'}, '`class_weights=balanced`'),
    ({'file_task': 'regression'}, '`file_task=regression`: is not for tagging'),
    ({'metric': 'macro_f1'}, '`metric=macro_f1`: .* entity_f1'),
    ({'label_column': '1'}, 'line 1: column 1 holds words and tags'),
    ({'dev_file': 'all.conll'}, "all.conll: its tags, such as 'X'")])
def test_wrong_settings(config, changed, message):
  with open('all.conll', 'w') as file:
    file.write('a\tX\nb\tY\n')
  with pytest.raises(errors.UserError, match=message):
    experiments.make_runs('tagging', [dataclasses.replace(config, **changed)],
                          grid.Options(), written.Predictions())


def test_examples_held_out_of_the_training_file(config):
  config = dataclasses.replace(
      config, dev_file='', dev_fraction=0.25, test_fraction=0.1)
  setup = tagging.prepare(config)
  assert {split: len(some) for split, some in setup.sentences.items()} == {
      'train': 39, 'dev': 15, 'test': 6}
  assert [*setup.notes] == ['dev is 15 of the 60 sentences of train_file',
                            'test is 6 of the 60 sentences of train_file']
  lines = [one.line for some in setup.sentences.values() for one in some]
  assert len({*lines}) == 60
  # Those of dev do not depend on the share of test.
  alone = tagging._read(dataclasses.replace(config, test_fraction=0.0))
  assert alone.keys() == {'train', 'dev'}
  assert alone['dev'] == setup.sentences['dev']
  assert tagging._inputs(config).keys() == {'dev', 'test'}


@pytest.mark.parametrize('words, tags, message', [
    ([['a']], [['O'], ['O']], '`tags`: there are 2 for 1 sentences'),
    ([['a', 'b']], [['O']], r'`tags\[0\]`: there are 1 for 2 words'),
    ([['a', '']], [['O', 'O']], r'`words\[0\]`'),
    (['a b'], [['O', 'O']], r'`words\[0\]`'), ([], [], 'no sentence')])
def test_wrong_examples(words, tags, message):
  with pytest.raises(errors.UserError, match=message):
    aj.TaggedExamples(words, tags)
