"""Masked language modelling: adapters of a language or a domain (MAD-X)."""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.data import fingerprint
from adapters_jax.data import masking as masking_lib
from adapters_jax.data import metrics
from adapters_jax.data import progress
from adapters_jax.data import raw_text
from adapters_jax.data import tasks
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import presets
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import shared_data
from adapters_jax.runs import task_checks
from adapters_jax.runs.kinds import kind
from adapters_jax.training import sharding
from adapters_jax.training import steps

END = '_texts'  # Suffix of a task's name that stands for its texts.
HEAD = heads.masked_lm.MASKED_LM
_LARGEST = 700.0  # Bound on a mean loss, below the overflow of exp in float64.


@dataclasses.dataclass(frozen=True)
class TextSetup(setup_lib.Setup):
  """Setup of a run, with its masking.

  Attributes:
    masking: How texts are masked.
  """
  masking: masking_lib.Masking


def names() -> list[str]:
  """Returns the names of the tasks: single-text tasks, followed by '_texts'.
  """
  return [task.name + END for task in tasks.TASKS.values()
          if len(task.texts) == 1]


def _find(name: str) -> tasks.Task:
  """Returns the task of modelling the texts of a single-text task.

  Args:
    name: Name of a task of data.tasks, followed by '_texts'.

  Raises:
    errors.UserError: another name.
  """
  if name not in names():
    raise errors.UserError(
        f'`task={name}`: language modelling reads raw text; give `train_file`, '
        f'or `task` as one of {", ".join(names())}')
  found = tasks.find(name.removesuffix(END))
  return dataclasses.replace(
      found, name=name, labels=(), metrics=metrics.OF_LANGUAGE,
      positive_above=None)


def _load(config: config_lib.Config) -> dict[str, list[str]]:
  """Returns {split: texts}."""
  if config.files:
    if len(config.columns) != 1:
      raise errors.UserError('`text_columns`: name the one column of the text')
    return raw_text.load(config.files, config.columns[0], config.dev_fraction,
                         config.test_fraction)
  task = tasks.find(_find(config.task).name.removesuffix(END))
  return {name: [texts[0] for texts in split.texts]
          for name, split in tasks.load(task, config.data_dir).items()}


def prepare(
    config: config_lib.Config, mesh: jax.sharding.Mesh | None = None, *,
    data: Mapping[str, list[str]] | None = None,
) -> TextSetup:
  """Loads texts and base, and initialises the new leaves.

  Args:
    config: Settings.
    mesh: Devices; the first one alone when None.
    data: {split: texts}; those that the settings name when None.

  Raises:
    errors.UserError: a setting for other tasks, or a fault of the data.
  """
  kind.check_no_cls_head(config)
  kind.check_file_task(config, 'text', 'language modelling')
  named = None if data or config.files else _find(config.task)
  task = task_checks.checked(config, named or tasks.Task(
      config.task_name, '', ('text',), (), metrics.OF_LANGUAGE))
  encoded, mask, vocabulary, remarks, facts = shared_data.of(
      config, _made, data, named)
  notes = [*remarks]  # A copy, as other runs may share them.
  folder = pretrained.resolve(config.checkpoint)
  masking = masking_lib.Masking(
      config.mask_rate, config.whole_words, mask, vocabulary)
  if not pretrained.has_masked_lm(folder):
    notes.append('the head of masked language modelling is new: the '
                 'checkpoint holds none')
  setup = setup_lib.assemble(
      config, folder, task, encoded, notes, mesh, facts, outputs=1, head=HEAD)
  # Not `vars`, which would include cached properties.
  fields = {field.name: getattr(setup.schedule, field.name)
            for field in dataclasses.fields(setup.schedule)}
  setup = dataclasses.replace(
      setup, schedule=masking_lib.MaskedSchedule(**fields, masking=masking))
  return TextSetup(**vars(setup), masking=masking)


def _made(
    config: config_lib.Config, data: Mapping[str, list[str]] | None
) -> tuple[Any, ...]:
  """Returns (tokenised splits, mask, size of vocabulary, remarks, facts)."""
  splits, notes = setup_lib.drawn(config, data or _load(config))
  _, tokenizer = setup_lib.tokenizer_of(config)
  mask = masking_lib.mask_id(tokenizer)
  encoded = {name: masking_lib.encode_words(tokenizer, texts, config.max_length)
             for name, texts in splits.items()}
  for name, examples in encoded.items():
    if not len(examples):
      raise errors.UserError(
          f'{name}: no text has a piece that the tokenizer knows')
  return encoded, mask, tokenizer.get_vocab_size(), notes, {
      name: fingerprint.of_rows(texts) for name, texts in splits.items()}


@functools.lru_cache(maxsize=8)
def eval_step(model: Any, mesh: jax.sharding.Mesh) -> Callable[..., Any]:
  """Returns step(base, tuned, batch) -> (log-probabilities, hits, labelled).

  Args:
    model: Model with a head of masked language modelling.
    mesh: Devices.
  """

  @functools.partial(jax.jit, out_shardings=sharding.replicated(mesh))
  def step(base, tuned, batch):
    logits = model.apply(
        {'params': trees.overlay(base, tuned)}, **steps.inputs(batch))
    labels = jnp.maximum(batch['labels'], 0)
    chosen = jnp.take_along_axis(
        jax.nn.log_softmax(logits), labels[..., None], axis=-1)[..., 0]
    # With the results: a host sees all rows of those, but of the batch only its
    # own.
    return chosen, logits.argmax(-1) == labels, batch['labels'] >= 0

  return step


def _eval_batches(
    setup: TextSetup, split: str, batch_size: int
) -> compiled.Batches:
  """Returns the masked batches of a split; arguments of the hook."""
  examples: Any = setup.splits[split]  # `Texts`.
  return [*masking_lib.masked_eval_batches(
      examples, setup.schedule.buckets, batch_size,
      masking=setup.masking, **sharding.of_evaluation(setup.mesh, batch_size))]


def make_score(setup: TextSetup, batch_size: int) -> kind.Score:
  """Returns score(tuned, split) -> (metrics, log-probability of each text).

  Perplexity is exp of the mean cross-entropy over the masked pieces. The masks
  of a split never change, so that scores of different steps compare.

  Args:
    setup: Setup of the run.
    batch_size: Number of texts a batch.
  """
  step, batches = eval_step(setup.model, setup.mesh), {}

  def score(tuned, split):
    if split not in batches:
      batches[split] = _eval_batches(setup, split, batch_size)

    def outputs():
      for rows, batch in batches[split]:
        setup.between()
        placed = sharding.place_batch(setup.mesh, batch, batch_size)
        yield rows, step(setup.base, tuned, placed)

    values, means = summary(outputs(), len(setup.splits[split]))
    return {name: values[name] for name in setup.task.metrics}, means

  return score


def summary(
    outputs: Iterable[tuple[np.ndarray, Any]], count: int
) -> tuple[dict[str, float], np.ndarray]:
  """Returns the metrics over all masked texts, and a mean for each text.

  Args:
    outputs: (rows, results of `eval_step`) of each batch.
    count: Number of texts.

  Returns:
    ({metric: value}, [texts] mean log-probability of the masked pieces)

  Raises:
    errors.UserError: outputs that are NaN.
  """
  means = np.zeros(count)
  total = hits = predicted = 0.0
  for rows, results in progress.of_batches(outputs, count):
    found, right, counted = (np.asarray(one)[:len(rows)] for one in results)
    sums = np.where(counted, found, 0).sum(1)
    means[rows] = sums / np.maximum(counted.sum(1), 1)
    total += float(sums.sum())
    hits += float((right & counted).sum())
    predicted += float(counted.sum())
  bad = np.flatnonzero(~np.isfinite(means))
  if len(bad):
    raise steps.not_finite(int(bad[0]))
  mean = total / predicted
  values = {'token_probability': float(np.exp(mean)),
            # Clipped: a diverged run would overflow, and records demand finite
            # values.
            'perplexity': float(np.exp(min(-mean, _LARGEST))),
            'accuracy': hits / predicted}
  return {name: values[name] for name in metrics.OF_LANGUAGE}, means


KIND = kind.Kind(
    _find, _load, fingerprint.of_rows, prepare, make_score,
    lambda config: HEAD,
    lambda setup, split, predictions: {'log_probability': predictions},
    usage='train a task above it with: {below}',
    reads=('texts',), defaults=presets.LANGUAGE_MODELING,
    eval_batches=_eval_batches)
