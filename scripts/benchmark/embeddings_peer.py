"""Worker of scripts.benchmark.embeddings: sentence-transformers with PEFT."""

import contextlib
import importlib.metadata
from typing import Any

import peft
import sentence_transformers
from sentence_transformers.sentence_transformer import losses
import torch

from adapters_jax.model import pretrained
from scripts.benchmark import sentences
from scripts.benchmark import torch_training
from scripts.benchmark import workers


class Side:
  """A training on pairs, a call at a time."""

  def begin(
      self, precision: str, pairs: int, checkpoint: str = 'minilm-l6'
  ) -> None:
    """Loads the model, adds LoRA and tokenises the pairs.

    Args:
      precision: 'float32'; 'bfloat16' for autocast; 'bfloat16_weights' for a
        model whose weights are bfloat16, which only embeds.
      pairs: Pairs of an epoch.
      checkpoint: Base, a name or folder.
    """
    self.precision = precision
    self.model = sentence_transformers.SentenceTransformer(
        pretrained.resolve(checkpoint), device='cpu')
    self.model.add_adapter(peft.LoraConfig(
        r=8, lora_alpha=8, lora_dropout=0.0, bias='none',
        target_modules=['query', 'value'],
        task_type=peft.TaskType.FEATURE_EXTRACTION))
    if precision == 'bfloat16_weights':
      self.model.to(torch.bfloat16)
    self.parameters = [p for p in self.model.parameters() if p.requires_grad]
    self.optimizer = torch_training.make_optimizer(self.parameters, 1e-3)
    self.loss = losses.MultipleNegativesRankingLoss(self.model)
    some = sentences.pairs(pairs)
    self.batches = [
        [self.model.preprocess(list(column)) for column in
         zip(*some[start:start + sentences.BATCH_SIZE], strict=True)]
        for start in range(0, len(some), sentences.BATCH_SIZE)]
    self.texts = sentences.texts(2 * pairs)

  def trained(self) -> int:
    """Returns the number of trained parameters."""
    return sum(p.numel() for p in self.parameters)

  def about(self) -> dict[str, Any]:
    """Returns versions and the number of torch's threads."""
    return {**{name: importlib.metadata.version(name) for name in (
        'torch', 'transformers', 'sentence-transformers', 'peft')},
        'threads': torch.get_num_threads()}

  def train(self) -> float:
    """Trains an epoch of the same batches, and returns the last loss."""
    self.model.train()
    for columns in self.batches:
      # The model writes its results into the features.
      with self._autocast():
        loss = self.loss([dict(column) for column in columns], None)
      torch_training.update(loss, self.parameters, self.optimizer)
      value = loss.item()
    return value

  def encode(self) -> int:
    """Embeds all texts, and returns their number."""
    with self._autocast():
      return len(self.model.encode(
          self.texts, batch_size=sentences.BATCH_SIZE,
          show_progress_bar=False, convert_to_numpy=False))

  def _autocast(self) -> contextlib.AbstractContextManager[None]:
    return torch.autocast('cpu', dtype=torch.bfloat16,
                          enabled=self.precision == 'bfloat16')


if __name__ == '__main__':
  workers.serve(Side())
