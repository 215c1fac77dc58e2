"""A saved adapter put to use: texts in; classes, scores or answers out."""

from collections.abc import Callable, Sequence
import dataclasses
import os
from typing import Any

import jax
import numpy as np
from scipy import special

from adapters_jax.adapters import storage
from adapters_jax.data import batching
from adapters_jax.data import squad
from adapters_jax.data import tokenization
from adapters_jax import errors
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.kinds import question_answering
from adapters_jax.runs import setup
from adapters_jax.training import steps
from adapters_jax import trees

# Lengths of which each is compiled once, whatever the texts.
BUCKETS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 192, 256, 384, 512)


@dataclasses.dataclass(frozen=True)
class Loaded:
  """An adapter on its base.

  Attributes:
    labels: Names of the classes, empty for regression.
    texts: Names of the one or two texts of an input.
    finds_spans: Whether it answers the first text with a part of the second;
      see `answers`.
    base: The pretrained tree.
    tuned: The adapter's tree; another of the same shapes may replace it.
    tokenizer: Of the checkpoint.
    max_length: Word pieces kept of an input, as in training.
    eval_step: (base, tuned, batch) -> [batch, outputs] logits, or for spans
      [batch, length, 2].
    settings: What was saved with the adapter.
  """
  labels: tuple[str, ...]
  texts: tuple[str, ...]
  finds_spans: bool
  base: trees.Tree
  tuned: trees.Tree
  tokenizer: Any
  max_length: int
  eval_step: Callable[..., jax.Array]
  settings: dict[str, Any]


def load(folder: str, checkpoint: str = '') -> Loaded:
  """Loads an adapter, and the checkpoint it was trained on.

  Args:
    folder: A run's workdir, or the folder of an adapter.
    checkpoint: Name or folder of the base; by default the name that the adapter
      was trained with.

  Raises:
    options.UserError: no adapter there, another base, or it does not fit.
  """
  inner = os.path.join(folder, 'adapter')
  folder = inner if os.path.isdir(inner) else folder
  tuned, settings = storage.load_tuned(folder)
  values = settings['config']
  trained_on = values['checkpoint']
  if not checkpoint and '@' in trained_on:
    raise errors.UserError(
        f'--checkpoint: the adapter in {folder} was trained on the folder '
        f'{trained_on.split("@")[0]}; name it')
  known = {f.name for f in dataclasses.fields(config_lib.Config)}
  config = config_lib.Config(**{
      **{k: v for k, v in values.items() if k in known},
      'checkpoint': checkpoint or trained_on})
  shape = pretrained.config_of(config.checkpoint)
  now = config_lib.portable(dataclasses.replace(
      config, train_file='', dev_file='', test_file=''))['checkpoint']
  if now.split('@')[-1] != trained_on.split('@')[-1]:
    raise errors.UserError(
        f'--checkpoint: {config.checkpoint} is not the base that the adapter '
        f'in {folder} was trained on ({trained_on})')
  base_folder = pretrained.resolve(config.checkpoint)
  labels = tuple(settings['labels'])
  model = setup.make_model(config, shape, len(labels) or 1)
  finds_spans = settings['task'] == squad.TASK.name
  if finds_spans:
    model = heads.SpanSelector(model.config)
  base = setup.cast_base(config, pretrained.load_base(
      base_folder, pooler=config.head_input == 'pooler'))
  wanted = setup.shapes(model)
  try:
    trees.check_same(
        trees.overlay(base, tuned), wanted, f'the adapter in {folder}')
  except ValueError as error:
    raise errors.UserError(str(error)) from error
  return Loaded(
      labels, tuple(settings['texts']), finds_spans, jax.device_put(base),
      jax.device_put(tuned),
      tokenization.load(base_folder), config.max_length,
      steps.make_eval_step(model), settings)


def logits(
    loaded: Loaded, texts: Sequence[tuple[str, ...]], batch_size: int = 32
) -> np.ndarray:
  """Returns [examples, outputs] float32 for texts of one or two parts each."""
  tokens, segments = tokenization.encode(
      loaded.tokenizer, texts, loaded.max_length)
  examples = batching.Examples(
      tokens, segments, np.zeros(len(tokens), np.int32))
  batches = batching.eval_batches(examples, BUCKETS, batch_size)
  return steps.predict(
      loaded.eval_step, loaded.base, loaded.tuned, batches, len(examples))


def answers(
    loaded: Loaded, texts: Sequence[tuple[str, str]], batch_size: int = 32
) -> list[str]:
  """Returns the best span of each paragraph, for (question, paragraph) pairs.

  Long paragraphs are read in windows, as in training.
  """
  asked = [squad.Question(str(row), question, paragraph, (('', 0),))
           for row, (question, paragraph) in enumerate(texts)]
  examples, windows = squad.cut(loaded.tokenizer, asked, loaded.max_length)
  batches = batching.eval_batches(examples, BUCKETS, batch_size)
  return squad.answers(
      question_answering.window_logits(
          loaded.eval_step, loaded.base, loaded.tuned, batches, len(examples)),
      windows, asked)


def probabilities(logits: np.ndarray) -> np.ndarray:
  """Returns the softmax over classes of [examples, classes]."""
  return special.softmax(logits, axis=-1)
