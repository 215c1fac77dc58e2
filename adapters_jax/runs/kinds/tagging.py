"""Tagging: a tag for every word, such as named entities or parts of speech."""

from collections.abc import Mapping, Sequence
import dataclasses
import logging
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.data import conll
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import fingerprint
from adapters_jax.data import held_out
from adapters_jax.data import metrics
from adapters_jax.data import tags as tags_lib
from adapters_jax.data import tasks
from adapters_jax.data import words as words_lib
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import console
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import shared_data
from adapters_jax.runs.kinds import kind
from adapters_jax.training import steps

_log = logging.getLogger(__name__)

Sentences = Sequence[conll.Sentence]


@dataclasses.dataclass(frozen=True)
class TagSetup(setup_lib.Setup):
  """Setup of a run, with the words that are tagged.

  Attributes:
    sentences: {split: sentences}.
    windows: {split: sentence and words of each tokenised input}.
  """
  sentences: dict[str, Sentences]
  windows: dict[str, words_lib.Windows]


def _find(name: str) -> tasks.Task:
  """Raises UserError: no tagged data have a name, all are files."""
  raise errors.UserError(
      f'`train_file`: tagging has no data named {name!r}; give files with a '
      'word and its tag on each line')


def _read(config: config_lib.Config) -> dict[str, Sentences]:
  """Returns {split: sentences} of the user's files.

  Args:
    config: Settings.

  Raises:
    errors.UserError: a fault of the files.
  """
  found: dict[str, Sentences] = {
      split: conll.read(path, config.text_columns, config.label_column)
      for split, path in config.files.items()}
  if config.dev_fraction:
    if len(found['train']) < 2 + bool(config.test_fraction):
      fewest = 'three' if config.test_fraction else 'two'
      raise errors.UserError(
          f'`dev_fraction`: {fewest} sentences or more are needed')
    return held_out.of_train(
        found, config.dev_fraction, config.test_fraction,
        lambda one: one.words)
  return found


def task_of_sentences(
    name: str, sentences: Mapping[str, Sentences],
    places: Mapping[str, str] | None = None,
) -> tasks.Task:
  """Returns the task of some sentences, with the tags of the training data.

  Args:
    name: Name of the task.
    sentences: {'train', 'dev' and perhaps others: sentences}.
    places: {split: file} for messages; None for the argument `data`.

  Raises:
    errors.UserError: fewer than two tags, or a split with none of them.
  """
  def all_of(split):
    return {tag for one in sentences[split] for tag in one.tags}

  def near(split, tag):
    line = next(one for one in sentences[split] if tag in one.tags).line
    return f'near line {line}' if places else f'in sentence {line}'

  known = all_of('train')
  where = {split: split for split in sentences} | dict(
      places or {'train': '`data`'})
  odd = tags_lib.without_prefix(known)
  with errors.within(
      f'{where["train"]}, {near("train", odd)}' if odd else where['train']):
    labels = tags_lib.with_all_prefixes(known)
    marked = tags_lib.of_entities(known)
  if len(labels) < 2:
    raise errors.UserError(
        f'{where["train"]}: all words have the tag {labels[0]!r}; two tags or '
        'more are needed')
  for split in sentences:
    missing = sorted(all_of(split) - set(labels))
    if missing and not all_of(split) & known:
      way = ('name the column with `label_column`' if places
             else 'give the same tags')
      raise errors.UserError(
          f'{where[split]}: its tags, such as {missing[0]!r}, are none of '
          f'those in training, such as {labels[0]!r}; {way}')
    if missing:  # They count as errors of the model, which cannot predict them.
      _log.warning(
          '%s: %d tags do not occur in training, such as %r %s',
          where[split], len(missing), missing[0], near(split, missing[0]))
  return tasks.Task(
      name=name, source='', texts=('words',), labels=labels,
      metrics=tags_lib.OF_ENTITIES if marked else tags_lib.OF_TAGS,
      target='tags')


def prepare(
    config: config_lib.Config, mesh: jax.sharding.Mesh | None = None, *,
    data: Mapping[str, Sentences] | None = None,
) -> TagSetup:
  """Loads sentences and base, and initialises the new leaves.

  Args:
    config: Settings.
    mesh: Devices; the first one alone when None.
    data: {split: sentences}; those of the files when None.

  Raises:
    errors.UserError: a setting for heads on [CLS], or a fault of the data.
  """
  _check(config)
  task, found, splits, windows, notes, facts = shared_data.of(
      config, _made, data, None)
  task = metrics.with_first(task, config.metric)
  setup = setup_lib.assemble(
      config, pretrained.resolve(config.checkpoint), task, splits, notes, mesh,
      facts, outputs=task.outputs, head=heads.tagging.TAGS)
  # A shallow copy: `dataclasses.asdict` would copy every array.
  return TagSetup(**vars(setup), sentences=found, windows=windows)


def _made(
    config: config_lib.Config, data: Mapping[str, Sentences] | None
) -> tuple[Any, ...]:
  """Returns (task, sentences, tokenised splits, windows, remarks, facts)."""
  whole = data or _read(config)
  task = task_of_sentences(config.task_name, whole, config.files)
  metrics.with_first(task, config.metric)  # Raises before the words are cut.
  found, notes = setup_lib.drawn(config, whole, 'sentences')
  _, tokenizer = setup_lib.tokenizer_of(config)
  numbered = {tag: number for number, tag in enumerate(task.labels)}
  splits, windows = {}, {}
  for name, some in found.items():
    splits[name], windows[name] = words_lib.cut_sentences(
        tokenizer, [one.words for one in some], config.max_length,
        [[numbered.get(tag, examples_lib.IGNORED) for tag in one.tags]
         for one in some])
  return task, found, splits, windows, notes, {
      name: _fingerprint_of(some) for name, some in found.items()}


def _check(config: config_lib.Config) -> None:
  """Raises UserError for settings of heads on [CLS] or of other data."""
  kind.check_no_cls_head(config)
  kind.check_files_unread(config, ['file_task'], 'tagging')
  for name in ('class_weights', 'threshold'):
    if getattr(config, name):
      raise errors.UserError(
          f'`{name}={getattr(config, name)}`: is for labels of texts; leave it '
          'out')


def make_score(setup: TagSetup, batch_size: int) -> kind.Score:
  """Returns score(tuned, split) -> (metrics, tags of all words [words]).

  Args:
    setup: Setup of the run.
    batch_size: Number of inputs a batch.
  """
  logits = compiled.outputs_of(setup, batch_size, steps.predict_ragged)
  labels = setup.task.labels
  missing = tags_lib.default_class(labels)

  def score(tuned, split):
    sentences = setup.sentences[split]
    found = words_lib.read_outputs(
        logits(tuned, split), setup.windows[split],
        [len(one.words) for one in sentences], missing)
    return tags_lib.tagging_scores(
        [one.tags for one in sentences],
        [[labels[tag] for tag in one] for one in found],
        setup.task.metrics), np.concatenate(found)

  return score


def _pairs(
    setup: TagSetup, split: str, predictions: np.ndarray
) -> tuple[Sequence[Sequence[str]], Sequence[Sequence[str]], bool]:
  """Returns (correct tags, predicted tags, whether they mark entities)."""
  right = [one.tags for one in setup.sentences[split]]
  ends = np.cumsum([len(one) for one in right])
  found = [[setup.task.labels[tag] for tag in one]
           for one in np.split(predictions, ends[:-1])]
  return right, found, 'entity_f1' in setup.task.metrics


def _outcomes(
    setup: TagSetup, split: str, predictions: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns {'correct', 'predicted', 'true': [sentences]} of `tags.counts`."""
  return tags_lib.counts(*_pairs(setup, split, predictions))


def _report(setup: TagSetup, split: str, predictions: np.ndarray) -> str:
  """Returns the table of a split's types of entities, or of its tags."""
  counted = tags_lib.by_type(*_pairs(setup, split, predictions))
  return console.rows_table(
      tags_lib.entity_rows(counted), f'{split} by type') if counted else ''


def _inputs(config: config_lib.Config) -> kind.Inputs:
  """Returns {split: (words of each sentence, their tags)} except train."""
  return {name: ([one.words for one in some], [one.tags for one in some])
          for name, some in _read(config).items() if name != 'train'}


def _fingerprint_of(sentences: Sentences) -> dict[str, Any]:
  """Returns the number and the hash of sentences with their tags."""
  return fingerprint.of_rows([*one.words, *one.tags] for one in sentences)


class _Kind(kind.Kind):
  """Tagging, which reads fewer settings, and files alone."""

  def check_data(self, config):
    _check(config)
    metrics.with_first(
        task_of_sentences(config.task_name, self.load(config), config.files),
        config.metric)


KIND = _Kind(_find, _read, _fingerprint_of, prepare, make_score,
             lambda config: heads.tagging.TAGS, _outcomes, _inputs,
             report=_report)


def of_sentences(sentences: Mapping[str, Sentences]) -> kind.Kind:
  """Returns the kind of tagged sentences in memory.

  Args:
    sentences: {'train', 'dev' and perhaps 'test': sentences}.
  """
  return dataclasses.replace(
      KIND.of_data(sentences),
      find=lambda name: task_of_sentences(name, sentences))
