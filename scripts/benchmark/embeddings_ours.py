"""Worker of scripts.benchmark.embeddings for this project."""

from typing import Any

from adapters_jax.adapters import embedding
from adapters_jax.data import pairs as pairs_lib
from adapters_jax.model import base as base_lib
from adapters_jax.runs import results
from adapters_jax.runs.kinds import embeddings
from scripts.benchmark import ours
from scripts.benchmark import sentences
from scripts.benchmark import workers


class Side(ours.Side):
  """A training on pairs, a call at a time."""

  def begin(
      self, precision: str, pairs: int, checkpoint: str = 'minilm-l6',
      **settings: Any,
  ) -> None:
    """Prepares a run with LoRA, its batches and the base to embed with.

    Args:
      precision: Name in model.precision.PRECISIONS.
      pairs: Pairs of an epoch.
      checkpoint: Base, a name or folder.
      **settings: Further settings of the run.
    """
    some = pairs_lib.Pairs(sentences.pairs(pairs))
    self.kind = embeddings.KIND.of_data(
        {'train': some, 'dev': some.take([0, 1])})
    super().begin(
        'sentences', 'adapters', '', file_task='pairs', precision=precision,
        tune_norms=False, adapter_config='lora[r=8]', checkpoint=checkpoint,
        batch_size=sentences.BATCH_SIZE, **settings)
    self.texts = sentences.texts(2 * pairs)
    self.base = base_lib.load(checkpoint, precision=precision)
    schedule = self.setup.schedule
    self.batches = [self._place(schedule.batch(step))
                    for step in range(schedule.steps_per_epoch)]
    self.adapter = results.make_adapter(  # As it is before the training.
        self.config, self.setup, self.kind, self.progress.state.tuned, {})

  def train(self) -> float:
    """Trains an epoch of the same batches, and returns the last loss."""
    return [self._take(batch) for batch in self.batches][-1]

  def encode(self) -> int:
    """Embeds all texts with the adapter, and returns their number."""
    return len(embedding.encode(self.base, self.texts, self.adapter))


if __name__ == '__main__':
  workers.serve(Side())
