"""Answers of the demo: adapters alone or composed, some layers switched off."""

import collections
from collections.abc import Mapping, Sequence
import dataclasses
import time
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import composing
from adapters_jax.adapters import prediction
from adapters_jax.adapters import readings
from adapters_jax.adapters import switching
from adapters_jax.api import bodies
from adapters_jax.data import tokenization
from adapters_jax.model import base as base_lib
from adapters_jax.model import composition

BLOCKS = ('stack', 'average')
_COMPOSED = '(composed)'
_KEPT = 8  # Composed adapters that stay on the device.


@dataclasses.dataclass(frozen=True)
class Question:
  """A question of a user of the demo.

  Attributes:
    texts: One text, or two for adapters that read pairs; choices are the lines
      of the second.
    adapters: Names of the adapters that answer.
    off: Layers without adapters.
    restore_norms: Whether their layer norms are the pretrained ones.
    block: 'stack' or 'average' to compose the adapters, '' otherwise.
    norms: Layer norms of the composed adapter, see `composition.Block`.
    head: Name of the adapter whose head the composed one uses; '' for the last.
    each_layer: Whether to answer also without each layer in turn.
  """
  texts: tuple[str, ...]
  adapters: tuple[str, ...]
  off: frozenset[int] = frozenset()
  restore_norms: bool = False
  block: str = ''
  norms: str = 'last'
  head: str = ''
  each_layer: bool = False


def parse(
    values: Any, bank: Mapping[str, adapter_lib.Adapter], layers: int
) -> Question:
  """Parses a question from a JSON object with its fields.

  Args:
    values: JSON value.
    bank: Adapters.
    layers: Layers of the base.

  Raises:
    errors.UserError: a missing or unknown field, or one of a wrong type.
  """
  if not isinstance(values, dict):
    raise errors.UserError('give a JSON object')
  fields = {field.name: field for field in dataclasses.fields(Question)}
  found: dict[str, Any] = {}
  for name, value in values.items():
    if name not in fields:
      raise errors.unknown('field', name, fields)
    wanted = fields[name].type
    if wanted in (bool, str):
      if not isinstance(value, wanted):
        raise errors.UserError(f'`{name}`: give a {wanted.__name__}')
      found[name] = value
      continue
    kind = int if name == 'off' else str
    if not isinstance(value, list) or any(type(v) is not kind for v in value):
      raise errors.UserError(f'`{name}`: give a list of {kind.__name__}')
    found[name] = frozenset(value) if name == 'off' else tuple(value)
  question = Question(**{'texts': (), 'adapters': (), **found})
  if len(question.texts) not in (1, 2):
    raise errors.UserError('`texts`: give one text or two')
  if len({*question.adapters}) < len(question.adapters):
    raise errors.UserError('`adapters`: give each name once')
  for name in (*question.adapters, *filter(None, [question.head])):
    if name not in bank:
      raise errors.unknown('adapter', name, bank)
  if not question.off <= set(range(layers)):
    raise errors.UserError(f'`off`: give layers from 0 to {layers - 1}')
  if question.block not in ('', *BLOCKS):
    raise errors.unknown('`block`', question.block, BLOCKS)
  if question.norms not in composition.NORMS[1:]:
    raise errors.unknown('`norms`', question.norms, composition.NORMS[1:])
  return question


class Answers:
  """A bank on the device, and its composed adapters.

  Attributes:
    base: Pretrained encoder.
    bank: {name: adapter}.
  """

  def __init__(
      self, base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter]
  ):
    """Places the bank.

    Args:
      base: Pretrained encoder.
      bank: Adapters.

    Raises:
      errors.UserError: an adapter that does not fit the base.
    """
    self.base, self.bank = base, dict(bank)
    self._switches = switching.place(base, self.bank)
    self._composed: collections.OrderedDict[Any, switching.Switches] = (
        collections.OrderedDict())

  def about(self) -> dict[str, Any]:
    """Returns the base and the adapters as a JSON value."""
    return {
        'base': base_lib.title_of(self.base.identity),
        'layers': self.base.config.layers, 'adapters': [{
            'name': name, 'method': adapter.method, 'task': adapter.task,
            'texts': list(adapter.texts), 'classes': list(adapter.classes),
            'head': adapter.head.name,
            'choices': bool(adapter.head.choices),
            'parameters': adapter.trained_params,
            'fixed': self._switches.fixed.get(name, '')}
                      for name, adapter in self.bank.items()]}

  def answer(self, question: Question) -> dict[str, Any]:
    """Returns the answers as a JSON value.

    Args:
      question: Question about adapters of the bank.

    Returns:
      {'answers': [answer of each adapter], 'composed': answer or None,
      'milliseconds': processor time}. An answer has its adapter's 'name', and
      either an 'error' or a 'prediction', with all layers in 'whole', and in
      'layers' the support of the predicted class without each single layer.
    """
    start = time.process_time()
    found = self._answers(self._switches, question.adapters, question)
    composed = None
    if question.block and len(question.adapters) > 1:
      composed = self._composition(question)
    return {'answers': found, 'composed': composed, 'milliseconds': round(
        1000 * (time.process_time() - start), 1)}

  def _composition(self, question: Question) -> dict[str, Any]:
    """Returns the answer of the composed adapters."""
    setup = composition.BLOCKS[question.block](
        *question.adapters, norms=question.norms)
    try:
      key = (str(setup), question.head)
      if key not in self._composed:
        whole = composing.compose(self.bank, setup, head=question.head)
        self._composed[key] = switching.place(self.base, {_COMPOSED: whole})
        while len(self._composed) > _KEPT:
          self._composed.popitem(last=False)
      self._composed.move_to_end(key)
      found, = self._answers(self._composed[key], [_COMPOSED], question)
    except errors.UserError as error:
      found = {'error': errors.as_flags(str(error), ())}
    head = question.head or question.adapters[-1]
    return {**found, 'name': str(setup), 'head': head}

  def _answers(
      self, switches: switching.Switches, names: Sequence[str],
      question: Question,
  ) -> list[dict[str, Any]]:
    """Returns the answer of each adapter.

    Args:
      switches: Adapters.
      names: Names of those that answer.
      question: Question.
    """
    bank = switches.on.bank
    found: dict[str, dict[str, Any]] = {}
    rows: dict[str, Any] = {}
    for name in names:
      try:
        row = _row(bank[name], question.texts)
        readings.check(bank[name], 0, row)
        # Only rows that pass: a refused one would prevent all other answers.
        found[name], rows[name] = {'name': name}, row
      except tokenization.Unreadable:
        raise  # No adapter can read such a text.
      except errors.UserError as error:
        found[name] = {'name': name, 'error': errors.as_flags(str(error), ())}

    def values(off):
      return self._predict(switches, rows, off, question.restore_norms)

    shown = values(question.off)
    for name, one in shown.items():
      found[name]['prediction'] = bodies.entries(one)
    if question.off:
      for name, one in values(()).items():
        found[name]['whole'] = bodies.entries(one)
    # Answers and tags have no single number to compare.
    rows = {name: row for name, row in rows.items()
            if _support(shown[name], shown[name]) is not None}
    for layer in range(self.base.config.layers if question.each_layer else 0):
      for name, one in values({*question.off, layer}).items():
        found[name].setdefault('layers', []).append(
            _support(one, shown[name]))
    return list(found.values())

  def _predict(
      self, switches: switching.Switches, rows: Mapping[str, Any], off: Any,
      restore_norms: bool,
  ) -> dict[str, readings.Prediction]:
    """Returns {name: prediction}."""
    placed = switches.without(off, restore_norms)
    found = {}
    for name, row in rows.items():
      # Batches of one input, so that only the padded length causes compiling.
      (value,), cut = prediction.values(
          self.base, placed.bank, [name], [row], 1, placed)
      found[name] = readings.prediction_of(
          placed.bank[name], value, bool(cut))
    return found


def _row(adapter: adapter_lib.Adapter, texts: Sequence[str]) -> Any:
  """Returns the input of an adapter.

  Args:
    adapter: Adapter.
    texts: One text or two.

  Raises:
    errors.UserError: the second text is missing.
  """
  if len(adapter.texts) == 1 and not adapter.head.choices:
    return texts[0]
  if len(texts) < 2 or not texts[1].strip():
    raise errors.UserError(
        f'it reads two texts, {" and ".join(adapter.texts)}')
  if adapter.head.choices:
    return texts[0], tuple(filter(None, map(str.strip, texts[1].split('\n'))))
  return tuple(texts)


def _support(
    one: readings.Prediction, shown: readings.Prediction
) -> float | None:
  """Returns the probability of the shown class, or the score.

  Args:
    one: Prediction with some layers off.
    shown: Prediction on the page; its most probable class is the one measured.
  """
  if not shown.probabilities or not one.probabilities:
    return one.score
  best = max(shown.probabilities, key=shown.probabilities.__getitem__)
  return one.probabilities[best]
