"""Tests of runs with several labels a text, and of multiple choice."""

import dataclasses
import json
from unittest import mock

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import prediction
from adapters_jax.analysis import predictions
from adapters_jax.api.commands import predict
from adapters_jax.data import label_metrics
from adapters_jax.data import tasks
from adapters_jax.runs import compact
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import own_data
from adapters_jax.runs import run
from adapters_jax.runs import session
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import vmapped
from tests import tiny

# {label: the words that give it}
LABELS = {'film': tiny.WORDS[7], 'fine': tiny.WORDS[1], 'poor': tiny.WORDS[4]}
NAMES = tuple(LABELS)


def write_labels(folder, examples=48):
  """Writes TSV files whose labels are the words that occur."""
  rng, paths = np.random.default_rng(0), {}
  for split, count in (('train', examples), ('dev', 20), ('test', 12)):
    lines = ['sentence\tlabels']
    for _ in range(count):
      words = list(rng.choice(tiny.WORDS[:11], rng.integers(2, 6)))
      found = [name for name, word in LABELS.items() if word in words]
      lines.append(f'{" ".join(words)}\t{"|".join(found)}')
    paths[f'{split}_file'] = str(folder / f'{split}.tsv')
    (folder / f'{split}.tsv').write_text('\n'.join(lines) + '\n')
  return paths


def write_choices(folder, examples=48):
  """Writes JSONL files whose right choice repeats the context's word."""
  rng, paths = np.random.default_rng(0), {}
  for split, count in (('train', examples), ('dev', 20), ('test', 12)):
    lines = []
    for _ in range(count):
      words = rng.permutation(tiny.WORDS[:6])[:3].tolist()
      answer = int(rng.integers(3))
      lines.append(json.dumps({
          'context': f'the {words[answer]}', 'choices': [
              f'{word} film' for word in words], 'answer': answer}))
    paths[f'{split}_file'] = str(folder / f'{split}.jsonl')
    (folder / f'{split}.jsonl').write_text('\n'.join(lines) + '\n')
  return paths


FORMS = {
    'multilabel': (write_labels, {
        'label_column': 'labels', 'label_separator': '|',
        'metric': 'macro_f1'}, {'class_weights': 'balanced', 'seed': 1}),
    'multiple_choice': (write_choices, {}, {'seed': 1, 'learning_rate': 3e-3}),
}


@dataclasses.dataclass
class Trained:
  """A group of two runs of a form, the second of them with other settings."""
  form: str
  configs: list[config_lib.Config]
  found: list
  files: dict[str, str]
  checkpoint: str


@pytest.fixture(scope='module', params=list(FORMS))
def trained(request, checkpoint, tmp_path_factory):
  write, settings, change = FORMS[request.param]
  folder = tmp_path_factory.mktemp(request.param)
  files = write(folder)
  configs = [
      tiny.run_config(checkpoint, files, str(folder / name), **{
          'file_task': request.param, 'max_length': 16, 'buckets': 0,
          'max_steps': 24, 'eval_every': 12, 'seed': 0, **settings, **more})
      for name, more in (('first', {}), ('second', change))]
  with mock.patch.object(session, 'enable_compilation_cache'):
    found = vmapped.run_unit(configs, 'glue', classification.KIND)
  return Trained(request.param, configs, found, files, checkpoint)


@pytest.mark.slow
def test_a_grouped_run_equals_a_resumed_one(trained, tmp_path):
  config = dataclasses.replace(
      trained.configs[1], workdir=str(tmp_path / 'work'))
  with tiny.at_step(15, mock.Mock(side_effect=KeyboardInterrupt)):
    with pytest.raises(KeyboardInterrupt):
      run.run(config, 'glue')
  alone = run.run(dataclasses.replace(config, resume=True), 'glue')
  record = trained.found[1]
  assert (record.metrics, record.last, record.best_step) == (
      alone.metrics, alone.last, alone.best_step)
  assert record.notes[1:] == alone.notes
  np.testing.assert_allclose(
      [entry['loss'] for entry in record.history],
      [entry['loss'] for entry in alone.history], rtol=1e-4)
  losses = [entry['loss'] for entry in trained.found[0].history]
  assert losses[1] < losses[0]


@pytest.mark.slow
def test_predictions_are_those_of_the_scores_and_of_the_command(
    trained, capsys):
  config, record = trained.configs[0], trained.found[0]
  base, adapter = prediction.load(config.workdir, trained.checkpoint)
  _, splits, _ = classification.setup_lib.load_data(config)
  texts, labels = splits['test'].texts, splits['test'].labels
  found = aj.predict(base, adapter, texts)
  capsys.readouterr()
  predict.main(predict.PredictConfig(
      config.workdir, checkpoint=trained.checkpoint,
      input=trained.files['test_file'], format='jsonl'))
  printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
  if trained.form == 'multiple_choice':
    assert [one['choice'] for one in printed] == [one.choice for one in found]
    assert np.mean([one.choice for one in found] == labels) == (
        record.metrics['test']['accuracy'])
    shares = found[0].probabilities
    assert list(shares) == [0, 1, 2]
    np.testing.assert_allclose(sum(shares.values()), 1, rtol=1e-5)
    # Choices are computed by themselves: any number will do.
    more = aj.predict(base, adapter, [(texts[0][0], [*texts[0][1], 'dull'])])
    assert len(more[0].probabilities) == 4
  else:
    assert [tuple(one['labels']) for one in printed] == [
        one.labels for one in found]
    assert f'the threshold {adapter.threshold} is' in record.notes[-1]
    shares = np.array([list(one.probabilities.values()) for one in found])
    assert record.metrics['test'] == label_metrics.compute_at_threshold(
        list(record.metrics['test']), labels, shares, adapter.threshold)
    sets = compact.to_array(record.predictions['test']['predicted_sets'])
    assert compact.to_array(
        record.predictions['test']['label_count']) == [len(NAMES)]
    assert sets.tolist() == [
        sum(1 << NAMES.index(name) for name in one.labels) for one in found]
    for one in found:
      assert one.labels == tuple(
          name for name, share in one.probabilities.items()
          if share >= adapter.threshold)


@pytest.mark.slow
def test_adapters_mix_in_a_batch(trained):
  bank = {name: adapter_lib.load(config.workdir) for name, config in zip(
      'ab', trained.configs, strict=True)}
  base = aj.load_base(trained.checkpoint)
  _, splits, _ = classification.setup_lib.load_data(trained.configs[0])
  texts, names = splits['test'].texts[:6], ['a', 'b'] * 3
  mixed = aj.predict(base, bank, texts, names)
  for name, text, one in zip(names, texts, mixed, strict=True):
    alone, = aj.predict(base, bank[name], [text])
    np.testing.assert_allclose(
        list(one.probabilities.values()), list(alone.probabilities.values()),
        atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('form', ['tsv', 'jsonl'])
def test_files_of_predictions(trained, form):
  config = trained.configs[0]
  path = predictions._write_run(
      config, classification.KIND, config.workdir, form)[1]
  with open(path) as file:
    lines = file.read().splitlines()
  if form == 'jsonl':
    first = json.loads(lines[0])
    assert len(lines) == 12
    assert {'texts', 'prediction', 'probabilities', 'label'} == first.keys()
    return
  header = ('prediction\tprobability\tlabel\tcontext\tchosen' if (
      trained.form == 'multiple_choice') else
            'prediction\tp(film)\tp(fine)\tp(poor)\tlabel\tsentence')
  assert lines[0] == header
  assert len(lines) == 13


@pytest.mark.slow
def test_files_and_memory_give_the_same_adapter(trained, checkpoint):
  config = trained.configs[0]
  _, splits, _ = classification.setup_lib.load_data(config)

  def examples(split):
    labels = split.labels.tolist()
    if trained.form == 'multilabel':
      labels = [[name for name, one in zip(NAMES, row) if one]
                for row in labels]
    texts = [text if trained.form == 'multiple_choice' else text[0]
             for text in split.texts]
    return aj.Examples(texts, labels)

  found = aj.train(
      aj.load_base(checkpoint), examples(splits['train']),
      f'houlsby[size={config.adapter_size}]', dev=examples(splits['dev']),
      test=examples(splits['test']), **{
          name: getattr(config, name) for name in (
              'max_length', 'buckets', 'max_steps', 'eval_every', 'seed',
              'batch_size', 'learning_rate', 'metric')})
  saved = adapter_lib.load(config.workdir)
  assert found.scores['dev'] == pytest.approx(saved.scores['dev'], abs=0.05)
  assert (found.head_input, found.labels) == (saved.head_input, saved.labels)
  assert found.threshold == pytest.approx(saved.threshold, abs=0.1)


@pytest.mark.slow
def test_batches_of_choices(trained):
  if trained.form == 'multilabel':
    weights = classification.KIND.prepare(
        trained.configs[1]).schedule.batch(0)['labels']
    assert set(np.unique(weights)) > {0}
    assert np.all(weights[weights > 0] > 1)  # Every label is rarer than not.
    return
  setup = classification.KIND.prepare(trained.configs[0])
  batch = setup.schedule.batch(0)
  assert batch['tokens'].shape[:2] == batch['mask'].shape[:2] == (16, 3)
  assert batch['labels'].shape == (16,)
  padded, real = setup.schedule.tokens(0, 1)
  assert padded == batch['tokens'].size
  assert real == batch['mask'].sum()


@pytest.mark.parametrize('texts, labels, message', [
    ([('a', ['b', 'c'])], [2], r"labels\[0\]: 2 is none of the 2 choices"),
    ([('a', ['b', 'c']), ('a', ['b'])], [0, 0], r'`texts\[1\]`: give'),
    ([('a', ['b', 'c']), ('a', ['b', 'c', 'd'])], [0, 0],
     r'`texts\[1\]`: there are 3 choices'),
    (['a', 'b'], [['x'], 'y'], r"`labels\[1\]`: 'y' beside"),
])
def test_wrong_examples_in_memory(checkpoint, texts, labels, message):
  with pytest.raises(errors.UserError, match=message):
    examples = aj.Examples(texts * 2, labels * 2)
    aj.train(aj.load_base(checkpoint), examples)


@pytest.mark.parametrize('changed, message', [
    ({'choice_columns': 'a,b'}, 'goes with `file_task=multiple_choice`'),
    ({'file_task': 'multiple_choice', 'train_file': 'a.tsv', 'dev_file': 'b',
      'text_columns': 'ctx'}, 'name the choices too'),
    ({'file_task': 'multilabel', 'train_file': 'a.tsv', 'dev_file': 'b',
      'label_column': 'joy,joy'}, 'name different columns')])
def test_settings_that_do_not_fit(changed, message):
  with pytest.raises(errors.UserError, match=message):
    config_lib.Config(**changed)


def test_a_task_of_the_table_has_no_form(tmp_path):
  config = config_lib.Config(file_task='multilabel', workdir=str(tmp_path))
  with pytest.raises(errors.UserError, match='own data; give `train_file`'):
    run.run(config, 'glue')


def test_the_answers_of_a_known_layout_in_another_column(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text(2 * (json.dumps(
      {'context': 'a', 'choices': ['b', 'c'], 'answer': 0, 'gold': 1}) + '\n'))
  config = config_lib.Config(
      train_file=str(path), dev_file=str(path), file_task='multiple_choice')
  for column, wanted in (('label', [0, 0]), ('gold', [1, 1])):
    _, splits = own_data.read(
        dataclasses.replace(config, label_column=column))
    assert splits['train'].labels.tolist() == wanted
  with pytest.raises(errors.UserError, match="no column 'right'.*label_colum"):
    own_data.read(dataclasses.replace(config, label_column='right'))


def test_a_threshold_of_zero_gives_every_label():
  task = tasks.Task(
      'x', '', ('text',), ('a', 'b'), ('micro_f1',), form='multilabel')
  labels, logits = np.ones((2, 2)), np.full((2, 2), -1.0)
  for threshold, wanted in ((0.0, 1.0), (None, 0.0)):
    assert classification.scores(
        task, ['subset_accuracy'], labels, logits, threshold) == {
            'subset_accuracy': wanted}
    assert classification.to_predictions(
        task, logits, threshold).all() == bool(wanted)
