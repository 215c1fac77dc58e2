"""Answers as spans of the input: the loss, and a run's pieces."""

from collections.abc import Callable, Iterable
import dataclasses

import jax
import numpy as np
import optax

from adapters_jax.data import batching
from adapters_jax.data import metrics
from adapters_jax.data import squad
from adapters_jax.data import tokenization
from adapters_jax import errors
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import run
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import steps
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees


def span_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns [batch] losses of logits [batch, length, 2], labels [batch, 2]."""
  losses = optax.softmax_cross_entropy_with_integer_labels(
      logits, labels, axis=1)  # [batch, 2]
  return losses.mean(-1)


@dataclasses.dataclass(frozen=True)
class SpanSetup(setup_lib.Setup):
  """A run's pieces, and what answers are read out with.

  Attributes:
    questions: {split: questions}.
    windows: {split: the windows that its examples are}.
  """
  questions: dict[str, list[squad.Question]]
  windows: dict[str, list[squad.Window]]


def prepare(
    config: config_lib.Config, mesh: jax.sharding.Mesh | None = None
) -> SpanSetup:
  """Loads the questions and the checkpoint, and initialises what is new."""
  if config.head_input != 'cls':
    raise errors.UserError(
        '--head_input: spans have a head on every position; leave it out')
  if config.cache_frozen:
    raise errors.UserError(
        '--cache_frozen: is for tasks with a head on [CLS]; leave it out')
  notes = []
  if config.files:
    questions = {name: squad.read_json(path)
                 for name, path in config.files.items()}
  else:
    questions = squad.read_tfds(config.data_dir)
  train = questions['train']
  if rows := setup_lib.subset(config, len(train)):
    questions['train'] = [train[row] for row in rows]
    notes.append(f'trained on {len(rows)} of {len(train)} examples')
  folder = pretrained.resolve(config.checkpoint)
  tokenizer = tokenization.load(folder)
  splits, windows = {}, {}
  for name, asked in questions.items():
    splits[name], windows[name] = squad.cut(
        tokenizer, asked, config.max_length)

  def model_of(shape):
    return heads.SpanSelector(setup_lib.make_model(config, shape, 2).config)

  setup = setup_lib.assemble(
      config, folder, squad.TASK, splits, notes, model_of, mesh)
  return SpanSetup(**vars(setup), questions=questions, windows=windows)


def window_logits(
    eval_step: Callable[..., jax.Array], base: trees.Tree, tuned: trees.Tree,
    batches: Iterable[tuple[np.ndarray, steps_lib.Batch]], windows: int,
) -> list[np.ndarray]:
  """Returns [length, 2] logits of each window; arguments as `predict`'s."""
  logits = [None] * windows
  for rows, batch in batches:
    for row, one in zip(rows, np.asarray(eval_step(base, tuned, batch))):
      logits[row] = one
  return logits


def make_score(setup: SpanSetup, batch_size: int) -> run.Score:
  """Returns score(tuned, split) -> (F1 and exact match, answers)."""
  eval_step = steps.make_eval(setup, batch_size)

  def score(tuned, split):
    examples, asked = setup.splits[split], setup.questions[split]
    logits = window_logits(
        eval_step, setup.base, tuned, batching.eval_batches(
            examples, setup.schedule.buckets, batch_size,
            setup.schedule.local_rows), len(examples))
    found = squad.answers(logits, setup.windows[split], asked)
    right = [[text for text, _ in question.answers] for question in asked]
    return metrics.squad(right, found), np.array(found, object)

  return score


def loss_of(setup: SpanSetup) -> steps.Loss:
  """Returns the loss of a run."""
  del setup
  return span_loss


KIND = run.Kind(squad.find, prepare, make_score, loss_of)
