"""Tests of sentence embeddings: data, losses, metrics and runs."""

import dataclasses
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.data import batching
from adapters_jax.data import bucketing
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import pair_files
from adapters_jax.data import retrieval
from adapters_jax.model import heads
from adapters_jax.model import pooling
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import run
from adapters_jax.runs.kinds import embeddings
from tests import tiny

losses = heads.embedding


def unit(rows):
  rows = np.asarray(rows, np.float32)
  return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_multiple_negatives_by_hand():
  vectors = unit(np.random.default_rng(0).standard_normal((4, 3, 5)))
  # Texts 0 and 2 are equal; so are partners 1 and 3.
  labels = np.array([[0, 1, 9], [2, 3, 8], [0, 4, 7], [5, 3, 6]])
  vectors[2, 0], vectors[3, 1] = vectors[0, 0], vectors[1, 1]
  cosines = 20 * vectors[:, 0] @ np.concatenate(
      [vectors[:, 1], vectors[:, 2]]).T
  counted = {0: [0, 1, 4, 5, 6, 7], 1: [0, 1, 2, 4, 5, 6, 7],
             2: [2, 1, 4, 5, 6, 7], 3: [0, 2, 3, 4, 5, 6, 7]}
  wanted = [np.log(np.exp(cosines[row, chosen]).sum()) - cosines[row, row]
            for row, chosen in counted.items()]
  loss = jax.jit(losses.make_loss('multiple_negatives'))
  found = loss(jnp.array(vectors), labels)
  np.testing.assert_allclose(found, wanted, rtol=1e-4)
  # Filler repeats labels and has zero vectors: it changes nothing.
  filled = np.concatenate([vectors, np.zeros((2, 3, 5), np.float32)])
  more = np.concatenate([labels, labels[:1], labels[:1]])
  again = loss(jnp.array(filled), more)
  np.testing.assert_allclose(again[:4], wanted, rtol=1e-4)
  gradient = jax.jit(jax.grad(lambda v: loss(v, more)[:4].sum()))(
      jnp.array(filled))
  assert np.isfinite(gradient).all()


def test_losses_of_scores_by_hand():
  vectors = unit(np.random.default_rng(1).standard_normal((3, 2, 5)))
  scores = np.array([0.5, 2.0, 0.5], np.float32)
  c = (vectors[:, 0] * vectors[:, 1]).sum(-1)
  wanted = np.log(1 + np.exp(20 * (c[0] - c[1])) + np.exp(20 * (c[2] - c[1])))
  cosent = jax.jit(losses.make_loss('cosent'))
  found = cosent(jnp.array(vectors), scores)
  np.testing.assert_allclose(found, [wanted] * 3, rtol=1e-4)
  filled = np.concatenate([vectors, np.zeros((1, 2, 5), np.float32)])
  again = cosent(
      jnp.array(filled), np.append(scores, 0.5).astype(np.float32))
  np.testing.assert_allclose(again[:3], found, rtol=1e-5)
  square = jax.jit(losses.make_loss('cosine'))(jnp.array(vectors), scores)
  np.testing.assert_allclose(square, (c - scores)**2, rtol=1e-4)
  # Leading dimensions are embeddings of their own.
  short = unit(vectors[..., :2])
  both = jax.jit(losses.make_loss('cosine', 20.0, (5, 2)))(
      jnp.array(vectors), scores)
  np.testing.assert_allclose(
      both, (c - scores)**2 + ((short[:, 0] * short[:, 1]).sum(-1) - scores)**2,
      rtol=1e-4)


@pytest.mark.parametrize('mode', pooling.MODES)
@pytest.mark.parametrize('name', (
    'multiple_negatives', pytest.param('cosent', marks=pytest.mark.slow)))
def test_filler_of_a_batch_changes_no_loss(mode, name):
  pool = jax.jit(pooling.pool, static_argnums=2)
  rng = np.random.default_rng(2)
  hidden = rng.standard_normal((5, 2, 3, 7), np.float32)
  mask = np.arange(3) < rng.integers(1, 4, (5, 2, 1))
  mask[3:] = False  # Filler, whose hidden states are any.
  labels = (np.array([0.5, 2.0, 1.0, 0.0, 3.0]) if name == 'cosent'
            else np.arange(10).reshape(5, 2))
  vectors = np.stack([
      pool(hidden[:, side], mask[:, side], mode)
      for side in range(2)], axis=1)
  assert vectors[:3].all() and not vectors[3:].any()
  loss = jax.jit(losses.make_loss(name))
  np.testing.assert_allclose(
      loss(vectors, labels)[:3], loss(vectors[:3], labels[:3]), rtol=1e-5)


def test_metrics_by_hand():
  documents = np.eye(12, dtype=np.float32)
  queries = np.zeros((3, 12), np.float32)
  queries[0] = -np.arange(12) / 20
  queries[0, [2, 5]] = 0.9, 0.5  # Ranks: 2, 5, then 0, 1, 3, ...
  queries[1] = np.arange(12)[::-1] / 20  # Ranks in order.
  queries[2, 0] = 1.0
  found = retrieval.per_query(queries, documents, [[5, 0], [11], [0]])
  ideal = 1 + 1 / np.log2(3)
  np.testing.assert_allclose(
      found['ndcg@10'], [(1 / np.log2(3) + 1 / 2) / ideal, 0, 1])
  np.testing.assert_allclose(found['mrr@10'], [0.5, 0, 1])
  np.testing.assert_array_equal(found['accuracy@1'], [0, 0, 1])
  # The first query is document 2, the third its own answer.
  found = retrieval.per_query(
      queries, documents, [[5, 0], [11], [0]], [[2], [], []])
  np.testing.assert_allclose(found['mrr@10'], [1, 0, 1])


def test_columns_have_lengths_of_their_own():
  def texts(*lengths):
    return [np.full(n, 7, np.int32) for n in lengths]
  examples = examples_lib.Examples(
      texts(2, 3, 9, 2), texts(2, 3, 9, 2), np.zeros((4, 2), np.int32),
      columns=(texts(5, 4, 2, 8),))
  np.testing.assert_array_equal(
      examples.lengths, [[2, 5], [3, 4], [9, 2], [2, 8]])
  np.testing.assert_array_equal(examples.pieces, [7, 7, 11, 10])
  assert examples.padded((4, 6)) == 10
  batch = batching.make_batch(
      examples, bucketing.Plan(np.array([1, 0]), (4, 6)), 3)
  assert {name: value.shape for name, value in batch.items()} == {
      'tokens': (3, 4), 'segments': (3, 4), 'mask': (3, 4),
      'tokens_1': (3, 6), 'segments_1': (3, 6), 'mask_1': (3, 6),
      'labels': (3, 2), 'weights': (3,)}
  np.testing.assert_array_equal(batch['mask'].sum(1), [3, 2, 0])
  np.testing.assert_array_equal(batch['mask_1'].sum(1), [4, 5, 0])


def write_pairs(folder, scored=False, count=24):
  """Writes pairs whose texts share a word; a tiny model can learn them."""
  rng = np.random.default_rng(3)
  path = os.path.join(str(folder), 'scored.jsonl' if scored else 'pairs.tsv')
  with open(path, 'w') as file:
    if not scored:
      file.write('anchor\tpositive\n')
    for _ in range(count):
      a, b = (' '.join(rng.choice(tiny.WORDS[:11], n)) for n in (2, 4))
      good = sum(word in tiny.WORDS[:3] for word in f'{a} {b}'.split())
      file.write(json.dumps({'anchor': a, 'positive': b, 'label': good}) + '\n'
                 if scored else f'{a}\t{b} {a}\n')
  return path


@pytest.fixture
def config(checkpoint, tmp_path):
  return config_lib.Config(
      checkpoint=checkpoint, adapter_size=3, batch_size=8, learning_rate=1e-2,
      buckets=0, max_length=12, max_steps=12, eval_every=6, dropout=0.0,
      text_columns='anchor,positive', file_task='pairs', dev_fraction=0.25,
      test_fraction=0.2,
      train_file=write_pairs(tmp_path), workdir=str(tmp_path / 'run'))


@pytest.mark.slow
def test_a_run_is_saved_and_encodes(config):
  record = run.run(config, 'embeddings', embeddings.KIND)
  assert list(record.metrics['test']) == ['ndcg@10', 'mrr@10', 'accuracy@1']
  entries = [entry['loss'] for entry in record.history]
  assert entries[-1] < entries[0]
  assert 'dev is 6 of the 24 examples of train_file' in record.notes
  base = aj.load_base(config.checkpoint)
  adapter = aj.load_adapter(config.workdir)
  assert adapter.head_input == 'embedding_mean' and adapter.outputs is None
  # The scores follow from the embeddings.
  split = pair_files.load(
      config.files, config.columns, 'label', '', 0.25, 0.2)
  documents = list(dict.fromkeys(
      pair[1] for name in ('dev', 'test', 'train') for pair in
      split[name].texts))
  queries = list(dict.fromkeys(pair[0] for pair in split['dev'].texts))
  relevant = [[documents.index(pair[1]) for pair in split['dev'].texts
               if pair[0] == query] for query in queries]
  found = retrieval.means(retrieval.per_query(
      aj.encode(base, queries, adapter), aj.encode(base, documents, adapter),
      relevant))
  assert found['ndcg@10'] == pytest.approx(record.metrics['dev']['ndcg@10'])
  # It is of use elsewhere: as an own folder, and in AdapterHub's.
  assert aj.export(adapter, config.workdir + '/own') == []
  again = aj.load_adapter(config.workdir + '/own')
  np.testing.assert_array_equal(
      aj.encode(base, queries, again), aj.encode(base, queries, adapter))
  with pytest.raises(errors.UserError, match='embed'):
    aj.predict(base, adapter, ['a film'])


@pytest.mark.slow
def test_scores_negatives_and_the_base_as_it_is(config, tmp_path):
  scored = dataclasses.replace(
      config, train_file=write_pairs(tmp_path, scored=True), pooling='cls',
      matryoshka_dims='12, 4', workdir='', tune='none')
  adapter = run.train(scored, embeddings.KIND)
  assert list(adapter.scores['test']) == ['spearman', 'pearson']
  assert not adapter.tuned and adapter.head_input == 'embedding_cls'
  base = aj.load_base(config.checkpoint)
  np.testing.assert_array_equal(
      aj.encode(base, ['a film'], adapter),
      aj.encode(base, ['a film'], pooling='cls'))
  setup = embeddings.prepare(scored)
  loss = embeddings.KIND.loss_of(scored, setup)
  batch = setup.schedule.batch(0)
  vectors = tiny.apply(setup.model, setup.base, **{
      name: value for name, value in batch.items()
      if name not in ('labels', 'weights')})
  assert vectors.shape == (8, 2, 12)
  assert np.isfinite(loss(vectors, batch['labels'])).all()


@pytest.mark.parametrize('changed, message', [
    ({'tune': 'head'}, 'embeddings have no head'),
    ({'head_input': 'pooler'}, '`head_input`: is for'),
    ({'matryoshka_dims': '13'}, 'numbers from 1 to 12'),
    ({'matryoshka_dims': '8,4,4'}, 'beyond 8 of 12 .*as in 12,8,4$'),
    ({'pair_loss': 'cosent'}, "has no column 'label'"),
    ({'accumulate': 2}, 'compares all pairs of a batch'),
    ({'text_columns': 'anchor'}, 'name the columns of the two texts'),
    ({'train_file': '', 'dev_fraction': 0.0, 'test_fraction': 0.0},
     '`task=movie_sentiment`: sentence embeddings')])
def test_wrong_settings(config, changed, message):
  with pytest.raises(errors.UserError, match=message):
    embeddings.prepare(dataclasses.replace(config, **changed))


def test_a_subset_ranks_the_documents_of_all(config):
  found, whole = (
      embeddings.prepare(dataclasses.replace(config, train_examples=count))
      for count in (4, 0))
  assert len(found.splits['train']) == 4 < len(whole.splits['train'])
  assert len(found.evaluation.texts) == len(whole.evaluation.texts)
  np.testing.assert_array_equal(
      found.evaluation.documents, whole.evaluation.documents)


def test_notes_count_the_pairs_that_training_leaves_out(config, tmp_path):
  path = tmp_path / 'both.tsv'
  path.write_text('anchor\tpositive\n' + ''.join(
      f'film {n}\tplot {n}\nplot {n}\tfilm {n}\n' for n in range(10)))
  found = embeddings.prepare(dataclasses.replace(
      config, train_file=str(path), test_fraction=0.0))
  assert len(found.splits['train']) < 15  # Of dev are 5.
  assert 'dev is 5 of the 20 examples of train_file' in found.notes


def test_faults_of_files_name_the_line(config, tmp_path):
  path = tmp_path / 'faulty.tsv'
  for rows, changed, message in (
      (['a film\t \t1'], {}, 'line 2, column .positive.: the text is empty'),
      (['a\tb\t1', 'c\td\tbest'], {}, "line 3, column 'label': 'best' is no"),
      (['a\tb\t1', 'c\td\t2', 'e\tf\t3'], {'pair_loss': 'cosine'},
       'line [34]: the score [23] is no cosine'),
      (['a\tb\t1', 'c\td\t2', 'e\tf\t3'], {'pair_loss': 'multiple_negatives'},
       'faulty.tsv has scores; leave the scores out')):
    path.write_text('anchor\tpositive\tlabel\n' + '\n'.join(rows) + '\n')
    with pytest.raises(errors.UserError, match=message):
      embeddings.prepare(dataclasses.replace(
          config, train_file=str(path), test_fraction=0.0, **changed))
