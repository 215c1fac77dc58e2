"""Sentence embeddings: trained on pairs, scored by retrieval or by cosines.

Pairs without scores are queries and documents: each dev query ranks the
documents of dev and test, and some of training. For pairs with scores, these
are correlated with the cosines.
"""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.data import batching
from adapters_jax.data import bucketing
from adapters_jax.data import pair_examples
from adapters_jax.data import pair_files
from adapters_jax.data import pairs as pairs_lib
from adapters_jax.data import retrieval
from adapters_jax.data import tasks
from adapters_jax.data import token_cache
from adapters_jax.model import heads
from adapters_jax.model import pooling
from adapters_jax.model import pretrained
from adapters_jax.model import sentence_files
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import cut_inputs
from adapters_jax.runs import pair_losses
from adapters_jax.runs import presets
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import shared_data
from adapters_jax.runs import task_checks
from adapters_jax.runs.kinds import kind
from adapters_jax.training import steps
from adapters_jax.training import sharding

STS = 'stsb_pairs'  # Not 'stsb', for regression on both texts at once.


@dataclasses.dataclass(frozen=True)
class PairSetup(setup_lib.Setup):
  """Setup of a run, with the texts of its evaluation.

  Attributes:
    evaluation: Texts to embed, and the pairs among them.
  """
  evaluation: pair_examples.Evaluation


def _find(name: str) -> tasks.Task:
  """Returns a task of scored pairs; UserError for any other."""
  if name != STS:
    raise errors.UserError(
        f'`task={name}`: sentence embeddings are trained on pairs; give '
        f'`train_file`, or `task={STS}`')
  return dataclasses.replace(tasks.find('stsb'), name=name)


def _load(config: config_lib.Config) -> dict[str, pairs_lib.Pairs]:
  """Returns {split: pairs}."""
  if config.files:
    return pair_files.load(
        config.files, config.columns, config.label_column,
        config.negative_column, config.dev_fraction, config.test_fraction)
  task = _find(config.task)
  return {name: pairs_lib.Pairs(
      list(split.texts), split.labels, f'{config.task}, {name}')
          for name, split in tasks.load(task, config.data_dir).items()
          if split.labelled}


def _check(config: config_lib.Config) -> None:
  """Raises UserError for settings of other kinds of tasks."""
  kind.check_no_cls_head(config)
  kind.check_file_task(config, 'pairs', 'sentence embeddings')
  if config.tune == 'head':
    raise errors.UserError(
        '`tune=head`: sentence embeddings have no head; `tune=none` scores '
        'the base as it is')
  pair_losses.dims_of(config, pretrained.config_of(config.checkpoint).dim)


def prepare(
    config: config_lib.Config, mesh: jax.sharding.Mesh | None = None, *,
    data: Mapping[str, pairs_lib.Pairs] | None = None,
) -> PairSetup:
  """Loads pairs and base, and initialises the new leaves.

  Args:
    config: Settings.
    mesh: Devices; the first one alone when None.
    data: {split: pairs}; those that the settings name when None.

  Raises:
    errors.UserError: a setting for other tasks, or a fault of the data.
  """
  _check(config)
  task, train, encoded, evaluation, notes, facts = shared_data.of(
      config, _made, data, None if data or config.files else _find(config.task),
      sentence_files.of_checkpoint(
          config.checkpoint, known=bool(config.pooling)))
  pair_losses.check(config, train)  # Again, as other runs may share the data.
  setup = setup_lib.assemble(
      config, pretrained.resolve(config.checkpoint),
      task_checks.checked(config, task), encoded, notes, mesh, facts, outputs=1,
      head=pooling_head(config))
  return PairSetup(**vars(setup), evaluation=evaluation)


def _made(
    config: config_lib.Config, data: Mapping[str, pairs_lib.Pairs] | None,
    settings: sentence_files.Pooling,
) -> tuple[Any, ...]:
  """Returns (task, all training pairs, splits, evaluation, remarks, facts).

  Args:
    config: Settings.
    data: As for `prepare`.
    settings: Settings of the base, whose prompts are part of the texts.
  """
  whole = data or _load(config)
  pairs_lib.check_scored_alike(whole, 'test')
  pair_losses.check(config, whole['train'])
  splits, notes = setup_lib.drawn(
      config, whole, left_out=len(whole['train'].left_out))
  task = _task_of(config, splits, data is not None)
  task_checks.checked(config, task)  # Raises before the texts are tokenised.
  _, tokenizer = setup_lib.tokenizer_of(config)

  def encode(texts, split=''):
    rows = [(settings.text(text),) for text in texts]
    tokens, _, cut = token_cache.encode(tokenizer, rows, config.max_length)
    if split:
      cut_inputs.log(config, split, cut, len(rows))
    return tokens

  encoded = {name: pair_examples.examples_of(
      split, functools.partial(encode, split=name))
             for name, split in splits.items()}
  return (task, whole['train'], encoded,
          pair_examples.evaluation_of(whole, encode), notes,
          {name: pair_examples.fingerprint_of(split)
           for name, split in splits.items()})


def _task_of(
    config: config_lib.Config, splits: dict[str, pairs_lib.Pairs],
    in_memory: bool,
) -> tasks.Task:
  """Returns the task of the splits."""
  squad = config.train_file.endswith('.json')
  texts = pair_files.SQUAD_TEXTS if squad else config.columns
  if in_memory:
    texts = ('anchor', 'positive')
  elif not config.files:
    texts = _find(config.task).texts
  return tasks.Task(
      config.task_name, '', texts, (),
      retrieval.METRICS if splits['dev'].scores is None
      else ('spearman', 'pearson'))


def _has_scores(setup: PairSetup, split: str) -> bool:
  """Returns whether the pairs of a split have scores."""
  return setup.splits[split].labels.ndim == 1


def _eval_batches(
    setup: PairSetup, split: str, batch_size: int
) -> compiled.Batches:
  """Returns the batches of all texts, which every split embeds."""
  del split
  texts = setup.evaluation.texts
  return [*batching.eval_batches(
      texts, bucketing.bucket_lengths(
          texts.lengths, len(setup.schedule.buckets),
          compiled.shapes_of(setup).multiple),
      batch_size, **sharding.of_evaluation(setup.mesh, batch_size))]


def make_score(setup: PairSetup, batch_size: int) -> kind.Score:
  """Returns score(tuned, split) -> (metrics, NDCG of each query or cosines).

  Args:
    setup: Setup of the run.
    batch_size: Texts per batch, over all hosts.
  """
  eval_step = compiled.make_eval(setup, batch_size)
  # All splits share them.
  batches = _eval_batches(setup, 'dev', batch_size)

  def score(tuned, split):
    vectors = np.array(pooling.normalized(steps.example_logits(
        eval_step, setup.base, tuned, batches, len(setup.evaluation.texts))))
    labels = setup.splits[split].labels
    return pair_examples.scores(
        setup.task.metrics, vectors, setup.evaluation, split,
        labels if _has_scores(setup, split) else None)

  return score


def pooling_head(config: config_lib.Config) -> heads.Head:
  """Returns the head that pools as the settings, or the base, say."""
  return heads.embedding.ROWS[
      config.pooling or sentence_files.of_checkpoint(config.checkpoint).mode]


def _outcomes(
    setup: PairSetup, split: str, predictions: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns the first metric of each query, or correct scores and cosines."""
  if _has_scores(setup, split):
    return kind.labelled(setup, split, predictions)
  return {setup.task.metrics[0]: predictions}


class _Kind(kind.Kind):
  """Sentence embeddings, whose loss is a setting."""

  def check_data(self, config):
    if config.files:
      pair_losses.check(config, self.load(config)['train'])

  def loss_of(self, config, setup):
    return heads.embedding.make_loss(
        pair_losses.name_of(config, _has_scores(setup, 'train')),
        config.similarity_scale,
        pair_losses.dims_of(config, setup.model.config.dim))


KIND = _Kind(_find, _load, pair_examples.fingerprint_of, prepare, make_score,
             pooling_head, _outcomes,
             usage='embed texts in Python: aj.encode(base, texts, '
             'aj.load_adapter({folder!r}))',
             reads=('embeddings',), defaults=presets.EMBEDDINGS,
             eval_batches=_eval_batches)
