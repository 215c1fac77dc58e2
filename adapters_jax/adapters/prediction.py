"""Predicts with adapters: texts in; classes, scores or answers out."""

from collections.abc import Mapping, Sequence
import typing
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import compiled
from adapters_jax.adapters import composing
from adapters_jax.adapters import every
from adapters_jax.adapters import mixed
from adapters_jax.adapters import readings
from adapters_jax.adapters import resident
from adapters_jax.data import batching
from adapters_jax.data import sequences
from adapters_jax.model import base as base_lib
from adapters_jax.model import composition
from adapters_jax.model import pretrained
from adapters_jax.training import steps

Prediction = readings.Prediction
Texts = arguments.Texts


def load(
    folder: str, checkpoint: str = ''
) -> tuple[base_lib.Base, adapter_lib.Adapter]:
  """Loads an adapter and the base that it was trained on.

  Args:
    folder: Workdir of a run, or folder of an adapter.
    checkpoint: Name or folder of the base; by default the name that the adapter
      was trained with.

  Returns:
    (base in the precision of the training, adapter)

  Raises:
    errors.UserError: no adapter in the folder, another base, or an adapter that
      does not fit it, or predicts nothing.
  """
  adapter = adapter_lib.load(folder)
  base = base_of(adapter, folder, precision_of(adapter), checkpoint)
  compiled.check_adapter(base, adapter, f'the adapter in {folder}')
  return base, adapter


def precision_of(adapter: adapter_lib.Adapter) -> str:
  """Returns the precision of an adapter's training, 'float32' if unknown."""
  return adapter.settings.get('precision', 'float32')


def base_of(
    adapter: adapter_lib.Adapter, folder: str, precision: str,
    checkpoint: str = '',
) -> base_lib.Base:
  """Loads the base that an adapter was trained on.

  Args:
    adapter: Adapter.
    folder: Its folder, for messages.
    precision: Precision of the base.
    checkpoint: As for `load`.

  Raises:
    errors.UserError: an unknown base, or another one.
  """
  compiled.check_not_folded(adapter, f'the adapter in {folder}')
  checkpoint = checkpoint or base_lib.name_of(adapter.base)
  if not checkpoint and adapter.base:
    raise errors.UserError(
        f'`checkpoint`: the adapter in {folder} was trained on the folder '
        f'{base_lib.title_of(adapter.base)}; name it')
  if not checkpoint:
    raise errors.UserError(
        f'`checkpoint`: the adapter in {folder} does not name its base; name '
        'it')
  pretrained.config_of(checkpoint)  # Raises for an unknown name.
  compiled.check_base(
      base_lib.identity(checkpoint), adapter, f'the adapter in {folder}')
  compiled.warn_of_files(checkpoint, adapter, f'the adapter in {folder}')
  return base_lib.load(checkpoint, precision)


@typing.overload
def predict(
    base: base_lib.Base, adapter: adapter_lib.Adapter,
    texts: Texts | None = None, adapters: None = None, batch_size: int = 32, *,
    setup: None = None,
) -> list[Prediction]:
  ...


@typing.overload
def predict(
    base: base_lib.Base, adapter: Mapping[str, adapter_lib.Adapter],
    texts: Texts | None = None, adapters: Sequence[str] | None = None,
    batch_size: int = 32, *, setup: composition.Setup | None = None,
) -> list[Any]:
  ...


def predict(
    base: base_lib.Base,
    adapter: adapter_lib.Adapter | Mapping[str, adapter_lib.Adapter],
    texts: Texts | None = None,
    adapters: Sequence[str] | None = None, batch_size: int = 32, *,
    setup: composition.Setup | None = None,
) -> list[Any]:
  """Predicts with an adapter, or with a bank: one per text, all, or a setup.

  Adapters of any methods, sizes and heads share batches. Compiled programs are
  kept for later calls. A text longer than the `max_length` of its adapter is
  cut, which is logged and marked in its prediction.

  >>> aj.predict(base, film, ['A joy from start to end.'])
  [Prediction(label=..., probabilities={'negative': ..., 'positive': ...})]
  >>> bank = {'film': film, 'food': food}
  >>> len(aj.predict(base, bank, ['A joy.', 'Dull.'], ['film', 'food']))
  2
  >>> list(aj.predict(base, bank, ['A joy.'])[0])
  ['film', 'food']
  >>> aj.predict(base, bank, ['A joy.'], setup=aj.Parallel('film', 'food'))
  [{'film': Prediction(label=..., ...), 'food': Prediction(label=..., ...)}]

  Args:
    base: Pretrained encoder.
    adapter: Adapter, or a bank {name: adapter} of any methods.
    texts: Texts, or pairs for adapters that read two; (context, choices) for
      multiple choice. Taggers take lists of words too, and split texts at
      whitespace and punctuation.
    adapters: With a bank, the name of the adapter for each text; None for all
      adapters on every text, which computes once what they share.
    batch_size: Inputs a step.
    setup: With a bank, a setup such as Stack('lang', 'task'), or its text,
      for all texts.

  Returns:
    A prediction for each text, in order; with all adapters of a bank, or with a
    `Parallel`, {name: prediction} for each text.

  Raises:
    errors.UserError: an adapter of another base, without a head, or not in the
      bank; texts of another form; outputs that are NaN.
  """
  # First: a call without `texts` often lacks the base, which this explains.
  arguments.check_types(base, adapter, batch_size)
  batch_size = int(batch_size)  # Perhaps of NumPy or JAX.
  if texts is None:
    raise errors.UserError('`texts`: give a list of texts')
  rows = sequences.as_list('texts', texts)
  if setup is not None:
    if adapters is not None or not isinstance(adapter, Mapping):
      raise errors.UserError(
          '`setup`: is for a bank {name: adapter}, and without `adapters`')
    return _by_setup(base, adapter, setup, rows, batch_size)
  if isinstance(adapter, Mapping) and adapters is None:
    return _by_all(base, adapter, rows, batch_size)
  bank, names = arguments.named(adapter, adapters, len(rows))
  found, cut = values(base, bank, names, rows, batch_size)
  readings.log_cut(len(cut), len(rows))
  return [readings.prediction_of(bank[name], value, row in cut)
          for row, (name, value) in enumerate(zip(names, found, strict=True))]


def _by_all(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter],
    rows: Sequence[Any], batch_size: int,
) -> list[dict[str, Prediction]]:
  """Returns the predictions of all adapters of a bank for each input."""
  outputs, longer = every.by_adapter(base, bank, rows, batch_size)
  return [{name: readings.prediction_of(
      bank[name], some[row], row in longer[name])
           for name, some in outputs.items()} for row in range(len(rows))]


def _by_setup(
    base: base_lib.Base, whole: Mapping[str, adapter_lib.Adapter],
    setup: composition.Setup, rows: Sequence[Any], batch_size: int,
) -> list[Any]:
  """Returns the predictions of a setup.

  Args:
    base: Pretrained encoder.
    whole: Bank with the members of the setup.
    setup: Setup, or its text.
    rows: Inputs.
    batch_size: Inputs a step.
  """
  # (bank, name for each input), one for each member of a `Parallel`.
  columns = composing.segments(whole, setup, len(rows))
  (bank, names), *others = columns
  if not others:
    return predict(base, bank, rows, names, batch_size)
  if all(len({*names}) == 1 for _, names in columns):
    # Every member reads all texts, so that they can share computation.
    members = {names[0]: bank[names[0]] for bank, names in columns}
    if len(members) == len(columns):
      return predict(base, members, rows, batch_size=batch_size)
  found = [(names, predict(base, bank, rows, names, batch_size))
           for bank, names in columns]
  return [{names[row]: some[row] for names, some in found}
          for row in range(len(rows))]


def values(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter],
    names: Sequence[str], rows: Sequence[Any], batch_size: int = 32,
    placed: resident.Resident | None = None, first: int = 0,
) -> tuple[list[Any], set[int]]:
  """Computes logits, answers or tags of each input with the adapter it names.

  Args:
    base: Pretrained encoder.
    bank: Adapters.
    names: Name of the adapter for each input.
    rows: Inputs, as for `predict`.
    batch_size: Inputs a step.
    placed: The bank on the device; None to place the adapters in use.
    first: Number of the first input in messages.

  Returns:
    ([outputs] logits or an answer for each input, numbers of the inputs that
    are cut to the limit of their adapter).

  Raises:
    errors.UserError: as for `predict`.
  """
  chosen: dict[str, list[int]] = {name: [] for name in names}
  for row, name in enumerate(names):
    chosen[name].append(row)
  found: list[Any] = [None] * len(rows)
  if not rows:
    return found, set()
  read = {
      name: readings.read(base, bank[name], [rows[row] for row in some],
                          [first + row for row in some])
      for name, some in chosen.items()}
  owners = [chosen[name][row] for name, one in read.items()
            for row in one.owners]
  try:
    outputs = _outputs(
        base, {name: bank[name] for name in read}, read, batch_size, placed)
  except steps.NotFinite as error:  # Its row counts inputs of the model.
    raise steps.not_finite(first + owners[error.row], 'text') from error
  start = 0
  for name, one in read.items():
    end = start + len(one.examples)
    for row, value in zip(
        chosen[name], one.decode(outputs[start:end]), strict=True):
      found[row] = value
    start = end
  return found, {chosen[name][number] for name, one in read.items()
                 for number in one.cut}


def _outputs(
    base: base_lib.Base, bank: Mapping[str, adapter_lib.Adapter],
    read: Mapping[str, readings.Reading], batch_size: int,
    placed: resident.Resident | None,
) -> list[np.ndarray]:
  """Returns the outputs of all inputs, adapter by adapter.

  Args:
    base: Pretrained encoder.
    bank: Adapters in use.
    read: Inputs of each.
    batch_size: Inputs a step.
    placed: The bank on the device, or None.
  """
  if placed or len(bank) > 1:
    names = [name for name, one in read.items() for _ in one.owners]
    examples = readings.joined([one.examples for one in read.values()])
    return mixed.forward(
        placed or resident.place(base, bank), names, examples, batch_size)
  (name, adapter), = bank.items()
  compiled.check_adapter(base, adapter, f'adapter {name!r}' if name
                         else 'the adapter')
  examples = read[name].examples
  batches = batching.eval_batches(
      examples, readings.BUCKETS, resident.fitting(len(examples), batch_size))
  with compiled.matmul_precision(base):
    return steps.predict_ragged(
        compiled.eval_step(compiled.model_of(base, adapter)),
        compiled.params_of(base, adapter), jax.device_put(adapter.tuned),
        batches, len(examples))
