"""Notes on parts of an adapter that files of other libraries do not hold."""

import logging

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapter_bert
from adapters_jax.downloads import paths
from adapters_jax.model import family_configs

_log = logging.getLogger(__name__)


def of(adapter: adapter_lib.Adapter, form: str, longest: int) -> list[str]:
  """Returns notes on values that are lost when the files are loaded.

  Args:
    adapter: Adapter, as it is written.
    form: 'adapterhub', 'peft' or 'adapter_bert'.
    longest: Longest input of the base in tokens.
  """
  return [*_on_inputs(adapter, form, longest), *_on_activation(adapter, form)]


def logged(notes: list[str], place: paths.Path) -> list[str]:
  """Returns notes after logging each as a warning, for calls in Python.

  Args:
    notes: Notes on the files of an adapter.
    place: Where these files are.
  """
  for note in notes:
    _log.warning('%s: %s', place, note)
  return notes


def _on_inputs(
    adapter: adapter_lib.Adapter, form: str, longest: int
) -> list[str]:
  """Returns notes on values that `exchange.read` derives from the head."""
  row, lost = adapter.head, {}
  if adapter.max_length != min(row.max_length, longest):
    lost['max_length'] = adapter.max_length
  if adapter.outputs is not None:
    if adapter.threshold is not None:
      lost['threshold'] = adapter.threshold
    if adapter.texts != row.texts:
      lost['texts'] = adapter.texts
    if adapter.labels and form == 'adapter_bert':
      lost['labels'] = adapter.labels
  return [f'the files do not state `{name}={value}`: set it in the other '
          'program, and here with dataclasses.replace'
          for name, value in lost.items()]


def _on_activation(adapter: adapter_lib.Adapter, form: str) -> list[str]:
  """Returns notes on an activation of the base that a file does not state."""
  own = adapter.hidden_activation
  if form == 'adapter_bert':
    return [] if own == adapter_bert.HIDDEN_ACTIVATION else [
        "adapter-bert's BERT has the tanh form of GELU; train with "
        f'`hidden_activation={adapter_bert.HIDDEN_ACTIVATION}` for equal '
        'outputs']
  if not own:
    return []
  (entry, value), = family_configs.activation_entry(
      adapter.family, own).items()
  return [f'the files do not state the activation of the base: load it with '
          f'{entry}={value!r}']
