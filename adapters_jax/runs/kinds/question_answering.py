"""Question answering: the answer is a span of the paragraph (SQuAD v1.1)."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.data import fingerprint
from adapters_jax.data import metrics
from adapters_jax.data import squad
from adapters_jax.data import squad_files
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import presets
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs import shared_data
from adapters_jax.runs import task_checks
from adapters_jax.runs.kinds import kind
from adapters_jax.training import steps


@dataclasses.dataclass(frozen=True)
class SpanSetup(setup_lib.Setup):
  """Setup of a run, with the texts from which answers are read.

  Attributes:
    questions: {split: questions}.
    windows: {split: part of a paragraph that each tokenised example covers}.
  """
  questions: dict[str, list[squad.Question]]
  windows: dict[str, list[squad.Window]]


def prepare(
    config: config_lib.Config, mesh: jax.sharding.Mesh | None = None, *,
    data: Mapping[str, list[squad.Question]] | None = None,
) -> SpanSetup:
  """Loads questions and base, and initialises the new leaves.

  Args:
    config: Settings.
    mesh: Devices; the first one alone when None.
    data: {split: questions}; those that the settings name when None.

  Raises:
    errors.UserError: a setting for heads on [CLS], or a fault of the data.
  """
  _check(config)
  task = metrics.with_first(
      dataclasses.replace(squad.TASK, name=config.task_name), config.metric)
  task_checks.check_classes(config, task)
  questions, splits, windows, notes, facts = shared_data.of(
      config, _made, data, None if config.files else squad.TASK)
  setup = setup_lib.assemble(
      config, pretrained.resolve(config.checkpoint), task, splits, notes, mesh,
      facts, outputs=2, head=heads.spans.SPANS)
  # A shallow copy: `dataclasses.asdict` would copy every array.
  return SpanSetup(**vars(setup), questions=questions, windows=windows)


def _made(
    config: config_lib.Config, data: Mapping[str, list[squad.Question]] | None
) -> tuple[Any, ...]:
  """Returns (questions, tokenised splits, windows, remarks, facts)."""
  # Questions are drawn before they are cut into windows.
  questions, notes = setup_lib.drawn(config, data or _questions(config))
  _, tokenizer = setup_lib.tokenizer_of(config)
  splits, windows = {}, {}
  for name, asked in questions.items():
    splits[name], windows[name] = squad.cut(
        tokenizer, asked, config.max_length)
  return questions, splits, windows, notes, {
      name: _fingerprint_of(asked) for name, asked in questions.items()}


def _check(config: config_lib.Config) -> None:
  """Raises UserError for settings of other heads or of other data."""
  kind.check_no_cls_head(config)
  kind.check_files_unread(
      config, ('file_task', 'text_columns', 'label_column'),
      'question answering')
  if config.dev_fraction:
    raise errors.UserError(
        '`dev_fraction`: questions of one article must stay together; give '
        '`dev_file`')


def _questions(config: config_lib.Config) -> dict[str, list[squad.Question]]:
  """Returns {split: questions}."""
  if config.files:
    return {name: squad_files.read(path) for name, path in config.files.items()}
  return squad_files.read_tfds(config.data_dir)


def make_score(setup: SpanSetup, batch_size: int) -> kind.Score:
  """Returns score(tuned, split) -> (F1 and exact match, answers).

  Args:
    setup: Setup of the run.
    batch_size: Number of windows a batch.
  """
  logits = compiled.outputs_of(setup, batch_size, steps.predict_ragged)

  def score(tuned, split):
    asked = setup.questions[split]
    found = squad.best_answers(
        logits(tuned, split), setup.windows[split], asked)
    right = [[text for text, _ in question.answers] for question in asked]
    # dtype object: one of str would pad every answer to the longest one.
    scores = metrics.squad(right, found)
    return ({name: scores[name] for name in setup.task.metrics},
            np.array(found, object))

  return score


def _outcomes(
    setup: SpanSetup, split: str, predictions: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns the F1 of each answer."""
  right = [[text for text, _ in question.answers]
           for question in setup.questions[split]]
  return {'f1': np.array([
      max(metrics.answer_f1(text, answer) for text in texts)
      for texts, answer in zip(right, predictions, strict=True)])}


def _inputs(config: config_lib.Config) -> kind.Inputs:
  """Returns {split: (questions with paragraphs, answers)} except train."""
  return {name: ([(one.question, one.context) for one in asked],
                 [one.answers[0][0] for one in asked])
          for name, asked in _questions(config).items() if name != 'train'}


def _fingerprint_of(asked: list[squad.Question]) -> dict[str, Any]:
  """Returns the number and the hash of questions."""
  return fingerprint.of_rows(map(dataclasses.astuple, asked))


class _Kind(kind.Kind):
  """Question answering, which reads fewer settings."""

  def check_data(self, config):
    _check(config)
    super().check_data(config)


KIND = _Kind(squad.load_task, _questions, _fingerprint_of, prepare, make_score,
             lambda config: heads.spans.SPANS, _outcomes, _inputs,
             defaults=presets.SQUAD)
