"""Folders of sentence-transformers: an encoder with an adapter folded in."""

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import embedding_settings
from adapters_jax.adapters.formats import folded
from adapters_jax.model import sentence_files


def write(
    folder: str, adapter: adapter_lib.Adapter, checkpoint: str
) -> list[str]:
  """Writes a folder for `SentenceTransformer(folder)`.

  Args:
    folder: Folder, created if absent.
    adapter: Adapter whose methods are changes of weights, or fine-tuned leaves.
    checkpoint: Name or folder of its base.

  Returns:
    Notes for the user.

  Raises:
    errors.UserError: an adapter that cannot be folded into its base.
  """
  encoder = folded.fold(folder, adapter, checkpoint)
  folded.write(folder, encoder, encoder.tensors, encoder.values)
  sentence_files.write(
      folder, embedding_settings.pooling_of(checkpoint, adapter),
      encoder.shape.dim, encoder.shape.longest,
      sentence_files.prompts_of(checkpoint))
  return _notes(adapter)


def _notes(adapter: adapter_lib.Adapter) -> list[str]:
  """Returns a note on a head, which a folder for embeddings does not hold."""
  if adapter.outputs is None:
    return []
  values = {'labels': adapter.labels, 'threshold': adapter.threshold}
  lost = ''.join(
      f', `{name}={value}`' for name, value in values.items() if value)
  return [f'the head is left out{lost}: the folder holds an encoder for '
          'embeddings']
