"""Notes on parts of an adapter that files of other libraries do not hold."""

import logging

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapter_bert
from adapters_jax.downloads import paths
from adapters_jax.model import families
from adapters_jax.model import family_configs
from adapters_jax.model import heads
from adapters_jax.model import pooling as pooling_lib
from adapters_jax.model import sentence_files

_log = logging.getLogger(__name__)


def of(
    adapter: adapter_lib.Adapter, form: str, longest: int, checkpoint: str
) -> list[str]:
  """Returns notes on values that are lost when the files are loaded.

  Args:
    adapter: Adapter, as it is written.
    form: 'adapterhub', 'peft' or 'adapter_bert'.
    longest: Longest input of the base in tokens.
    checkpoint: Name or folder of the base, '' if unknown.
  """
  on_inputs = (_on_inputs(adapter, form, longest) if adapter.head.dense
               else _on_embeddings(adapter, longest, checkpoint))
  return [*on_inputs, *_on_activation(adapter, form)]


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


def _on_embeddings(
    adapter: adapter_lib.Adapter, longest: int, checkpoint: str
) -> list[str]:
  """Returns a note on settings of embeddings that the base does not have.

  A load gives an adapter without a head, whose embeddings are those of its
  base: `embedding_settings.pooling_of`.

  Args:
    adapter: Adapter trained for sentence embeddings.
    longest: Longest input of the base in tokens.
    checkpoint: Name or folder of the base, '' if unknown.
  """
  lost = {
      'pooling': adapter.head_input.removeprefix(heads.embedding.PREFIX),
      'normalize': True, 'max_length': adapter.max_length, 'dims': 0}
  base = _pooling_of(checkpoint) if checkpoint else None
  if base is not None:
    known = {
        'pooling': base.mode, 'normalize': base.normalize,
        'max_length': min(base.max_length or longest, longest),
        'dims': base.dims}
    lost = {name: value for name, value in lost.items()
            if value != known[name]}
  values = ', '.join(f'`{name}={value}`' for name, value in lost.items())
  return [f'the files do not state {values}: give '
          f'{"them" if len(lost) > 1 else "it"} to `aj.encode`, or export as '
          'sentence_transformers'] if lost else []


def _pooling_of(checkpoint: str) -> pooling_lib.Pooling | None:
  """Returns the settings of a base; None if its files do not tell them."""
  try:
    return sentence_files.of_checkpoint(checkpoint)
  except errors.UserError:  # Of damaged modules, or no network.
    return None


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
      families.FAMILIES[adapter.family].activation, own).items()
  return [f'the files do not state the activation of the base: load it with '
          f'{entry}={value!r}']
