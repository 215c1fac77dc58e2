"""Tests of data.squad, spans and experiments.squad."""

import dataclasses
import json
import os

from absl.testing import parameterized
import jax
import numpy as np
import pytest
import tokenizers

from adapters_jax.adapters import prediction
from adapters_jax.api.commands import predict
from adapters_jax.api import experiments
from adapters_jax.api import written
from adapters_jax.data import metrics
from adapters_jax.data import questions as questions_lib
from adapters_jax.data import rows
from adapters_jax.data import squad
from adapters_jax.data import squad_files
from adapters_jax.data import tokenization
from adapters_jax import errors
from adapters_jax.methods import strings
from adapters_jax.model import heads
from adapters_jax.model import sites
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.kinds import chosen_kind
from adapters_jax.runs.kinds import question_answering
from adapters_jax.runs import records
from adapters_jax.runs import run
from adapters_jax.sweeps import grid
from tests import tiny

# No articles: an answer of these alone scores 0 by SQuAD's own script.
WORDS = [word for word in tiny.WORDS[:11] if word not in ('a', 'the')]


def make_questions(count, words=40, seed=0):
  """Returns questions on long paragraphs, answers of 1 to 4 words anywhere."""
  rng = np.random.default_rng(seed)
  questions = []
  for n in range(count):
    text = [str(w) for w in rng.choice(WORDS, words)]
    text[words // 2] = 'Füm,'  # Characters are not bytes; unknown to the model.
    size = int(rng.integers(1, 5))
    first = int(rng.integers(0, words - size + 1))
    start = len(' '.join(text[:first])) + (first > 0)
    context = ' '.join(text)
    answer = ' '.join(text[first:first + size])
    assert context[start:start + len(answer)] == answer
    questions.append(squad.Question(
        f'q{n}', 'the plot very good', context, ((answer, start),)))
  return questions


def write_json(path, questions):
  with open(path, 'w', encoding='utf-8') as file:
    json.dump({'version': '1.1', 'data': [{'title': 't', 'paragraphs': [{
        'context': q.context, 'qas': [{
            'id': q.name, 'question': q.question, 'answers': [
                {'text': t, 'answer_start': s} for t, s in q.answers]}]}
        for q in questions]}]}, file)
  return str(path)


@pytest.fixture(scope='module')
def tokenizer(checkpoint) -> tokenizers.Tokenizer:
  return tokenization.load(checkpoint)


@pytest.mark.parametrize('max_length', [16, 20, 60])
def test_gold_spans_score_100_after_tokenisation_and_windows(
    tokenizer, max_length):
  questions = make_questions(30)
  examples, windows = squad.cut(tokenizer, questions, max_length)
  logits = []
  for tokens, (first, last) in zip(examples.tokens, examples.labels):
    one = np.zeros((len(tokens), 2))
    if first:
      one[first, 0] = one[last, 1] = 1.0
    logits.append(one)
  found = squad.best_answers(logits, windows, questions)
  right = [[text for text, _ in q.answers] for q in questions]
  assert found == [texts[0] for texts in right]
  assert metrics.squad(right, found) == {'f1': 1.0, 'exact_match': 1.0}


def test_windows_overlap_and_leave_nothing_out(tokenizer):
  questions = make_questions(2)
  examples, windows = squad.cut(tokenizer, questions, 20)
  assert max(map(len, examples.tokens)) == 20
  for row in range(2):
    seen = set()
    for window in windows:
      if window.row == row:
        pieces = {tuple(o) for o in window.offsets}
        assert not seen or seen & pieces
        seen |= pieces
    assert max(end for _, end in seen) == len(questions[row].context)
  first = examples.tokens[0]
  start, end = (tokenizer.token_to_id(n) for n in ('[CLS]', '[SEP]'))
  assert first[0] == start and first[-1] == end
  assert list(examples.segments[0]) == [0] * 6 + [1] * 14
  assert windows[0].prefix == 6  # [CLS], four words, [SEP].


def test_an_answer_in_no_window_points_at_cls(tokenizer):
  questions = make_questions(1)
  context = questions[0].context
  whole = dataclasses.replace(questions[0], answers=((context, 0),))
  examples, _ = squad.cut(tokenizer, [whole], 20)
  np.testing.assert_array_equal(examples.labels, 0)


def test_best_span_is_the_best_pair_in_order(monkeypatch):
  window = squad.Window(0, 2, np.array([[0, 3], [4, 7], [8, 9], [10, 12]]))
  logits = np.zeros((8, 2))
  logits[[5, 3], [0, 1]] = 9.0  # Start after the end: not an answer.
  logits[[3, 4], [0, 1]] = [4.0, 3.0]
  logits[1] = logits[6] = 50.0  # Outside of the paragraph.
  score, characters = squad.best_span(logits, window)
  assert (score, characters) == (4.0 + 9.0, (4, 7))
  monkeypatch.setattr(squad, '_LONGEST_ANSWER', 3)
  logits[3, 1] = 0.0
  assert squad.best_span(logits, window)[1] == (10, 12)
  logits[5, 0] = 0.0
  assert squad.best_span(logits, window) == (7.0, (4, 9))


def test_span_loss_by_hand():
  logits = np.zeros((2, 5, 2), np.float32)
  logits[1, 3, 0] = 2
  losses = jax.jit(heads.spans.span_loss)(logits, np.array([[0, 4], [3, 3]]))
  wanted = (np.log(4 + np.exp(2.0)) - 2.0 + np.log(5)) / 2
  np.testing.assert_allclose(losses, [np.log(5), wanted], rtol=1e-5)


def test_padding_is_never_an_answer_and_changes_nothing():
  model = heads.SpanSelector(tiny.CONFIG)
  batch = tiny.random_batch(batch=2, length=5)
  params = tiny.drawn(model)

  def apply(*inputs):
    return np.asarray(tiny.apply(model, params, *inputs))

  logits = apply(batch['tokens'], batch['segments'], batch['mask'])
  assert logits.shape == (2, 5, 2)
  other = np.where(batch['mask'], batch['tokens'], 7)
  again = apply(other, batch['segments'], batch['mask'])
  np.testing.assert_array_equal(logits[~batch['mask']], -1e9)
  np.testing.assert_allclose(
      again[batch['mask']], logits[batch['mask']], atol=1e-6)


class MetricsTest(parameterized.TestCase):

  @parameterized.parameters(
      ('The  Cat!', 'cat'), ('an apple, a day', 'apple day'),
      ('theatre', 'theatre'), ('U.S.', 'us'))
  def test_normalised(self, text, wanted):
    self.assertEqual(metrics.normalize_answer(text), wanted)

  def test_f1_and_exact_match_by_hand(self):
    # Two of three words found, one too many: 2 * 2 / (3 + 3).
    self.assertAlmostEqual(
        metrics.answer_f1('big red dog', 'red dog here'), 2 / 3)
    self.assertEqual(metrics.answer_f1('dog', 'cat'), 0.0)
    self.assertEqual(metrics.answer_f1('dog dog', 'dog'), 2 / 3)
    scores = metrics.squad(
        [['Paris', 'the city of Paris'], ['1999']], ['City of Paris', '1998'])
    self.assertEqual(scores, {'f1': 0.5, 'exact_match': 0.5})


def test_json_is_read_and_checked(tmp_path):
  questions = make_questions(3)
  path = write_json(tmp_path / 'a.json', questions)
  assert squad_files.read(path) == questions
  moved = dataclasses.replace(questions[1], answers=(('film', 10_000),))
  path = write_json(tmp_path / 'b.json', [questions[0], moved])
  with pytest.raises(errors.UserError, match='q1 is not at character 10000'):
    squad_files.read(path)
  (tmp_path / 'c.json').write_text('{"rows": []}')
  with pytest.raises(errors.UserError, match='c.json: not SQuAD v1.1'):
    squad_files.read(str(tmp_path / 'c.json'))


@pytest.fixture
def config(checkpoint, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  return config_lib.Config(
      task='squad', checkpoint=checkpoint, tune='full', learning_rate=0.01,
      batch_size=6, epochs=2.0, max_length=30, buckets=0, dropout=0.0,
      train_file=write_json(tmp_path / 'train.json', make_questions(12, 15)),
      dev_file=write_json(tmp_path / 'dev.json', make_questions(4, 15, 1)))


def test_a_run_through_the_one_training_loop(config):
  experiments.make_runs(
      'squad', [dataclasses.replace(config, metric='exact_match')],
      grid.Options(), written.Predictions(True, 'jsonl'))
  record, = records.read_all('runs/squad')
  assert list(record.metrics['dev']) == ['exact_match', 'f1']
  assert 0 <= record.metrics['dev']['exact_match'] <= 1
  assert record.experiment == 'squad'
  losses = [entry['loss'] for entry in record.history]
  assert losses[-1] < losses[0]
  folder, = os.listdir('runs/squad/train')  # Named after the file.
  folder = f'runs/squad/train/{folder}'
  assert os.path.exists(f'{folder}/adapter/tuned.safetensors')
  # The scores follow from the predictions.
  answered = [row for _, row in rows.read(f'{folder}/predictions/dev.jsonl')]
  asked = squad_files.read(config.dev_file)
  assert [row['texts'] for row in answered] == [
      [question.question, question.context] for question in asked]
  assert metrics.squad(
      [[text for text, _ in question.answers] for question in asked],
      [row['prediction'] for row in answered]) == pytest.approx(
          record.metrics['dev'])


def test_a_saved_adapter_answers_as_in_its_run(config, capsys):
  config = dataclasses.replace(
      config, tune='adapters', workdir='run',
      adapter_config='prompt_tuning[combine=prefix_after_bos,prompt_length=3]')
  run.run(config, 'squad', question_answering.KIND)
  setup = question_answering.prepare(config)
  asked = setup.questions['dev']
  loaded = prediction.load('run', config.checkpoint)
  assert loaded[1].task == 'train'  # Named after the file.
  _, wanted = question_answering.make_score(setup, 6)(
      loaded[1].tuned, 'dev')
  found = [one.answer for one in prediction.predict(
      *loaded, [(q.question, q.context) for q in asked])]
  assert found == list(wanted)
  with open('asked.txt', 'w', encoding='utf-8') as file:
    file.writelines(f'{q.question}\t{q.context}\n' for q in asked)
  capsys.readouterr()
  predict.main(predict.PredictConfig(
      'run', checkpoint=config.checkpoint, input='asked.txt'))
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == 'answer\tquestion\tcontext'
  assert [line.split('\t')[0] for line in lines[1:]] == found


@pytest.mark.parametrize('given, name', [
    (questions_lib.Questions(['a'] * 2, ['b', 'c'], ['b', 'c']), 'questions'),
    ('squad', 'squad')])
def test_the_task_is_named_after_the_data(
    checkpoint, monkeypatch, given, name):
  monkeypatch.setattr(squad_files, 'read_tfds', lambda data_dir: {
      split: make_questions(2, 15) for split in ('train', 'dev')})
  kind, chosen = chosen_kind.of_data(given)
  setup = kind.prepare(config_lib.Config(
      checkpoint=checkpoint, max_length=30, **chosen))
  assert setup.task.name == name


@pytest.mark.parametrize('text, wanted', [
    ('lora', [0, 1, 2, 3]), ('prompt_tuning[prompt_length=2]', [2, 3, 4, 5]),
    ('prompt_tuning[prompt_length=2,combine=prefix_after_bos]', [0, 3, 4, 5]),
    ('prompt_tuning[prompt_length=2]|prompt_tuning[prompt_length=5,'
     'combine=prefix_after_bos]', [7, 8, 9, 10])])
def test_where_a_text_is_beside_a_prompt(text, wanted):
  np.testing.assert_array_equal(
      sites.text_rows(strings.parse(text), 4), wanted)


@pytest.mark.parametrize('changed, message', [
    ({'task': 'cola', 'train_file': '', 'dev_file': ''}, "unknown 'cola'"),
    ({'head_input': 'pooler'}, '`head_input`'),
    ({'dev_file': '', 'dev_fraction': 0.5}, '`dev_fraction`: questions'),
    ({'file_task': 'regression'}, '`file_task=regression`: is not for quest'),
    ({'text_columns': 'a,b'}, '`text_columns=a,b`: is not for question answ'),
    ({'label_column': 'answer'}, '`label_column=answer`: is not for questio'),
    ({'metric': 'accuracy'}, '`metric=accuracy`: .* f1, exact_match'),
    ({'max_length': 41}, '`max_length=41`')])
def test_wrong_settings(config, changed, message):
  with pytest.raises(errors.UserError, match=message):
    experiments.make_runs('squad', [dataclasses.replace(config, **changed)],
                          grid.Options(), written.Predictions())
