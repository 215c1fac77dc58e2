"""Worker of scripts.benchmark for the peer, `adapters` on torch.

Both sides have the same weights, data, sizes and optimizer settings: bottleneck
adapters at both sublayers, trained layer norms and head, AdamW (fused), a clip
at 1, dropout on.

  python -m scripts.benchmark.peer --task=cola --precision=bfloat16

As a command it trains an epoch, evaluates on dev and saves: a whole process.
"""

import argparse
import functools
import os
import resource
import tempfile
from typing import Any

import adapters
import numpy as np
import torch

from adapters_jax.data import batching
from adapters_jax.data import bucketing
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import tasks
from adapters_jax.data import tokenization
from adapters_jax.downloads import pinned
from scripts.benchmark import batches
from scripts.benchmark import torch_training
from scripts.benchmark import workers

_MAX_LENGTH = 128
_SIZE = 64  # Width of the adapters.


def make_model(folder: str, tune: str) -> torch.nn.Module:
  """Returns the peer's BERT with a linear head on [CLS].

  Args:
    folder: Folder of a Hugging Face checkpoint.
    tune: 'adapters' or 'full'.
  """
  model = adapters.AutoAdapterModel.from_pretrained(
      folder, attn_implementation='sdpa')
  model.add_classification_head('task', num_labels=2, layers=1)
  if tune == 'adapters':
    model.add_adapter('task', config=adapters.DoubleSeqBnConfig(
        # The library knows no sizes, only factors.
        reduction_factor=model.config.hidden_size / _SIZE,
        non_linearity='gelu', init_weights='houlsby'))
    model.train_adapter('task')
    # `train_adapter` freezes them; this project trains them too.
    for name, parameter in model.named_parameters():
      if 'LayerNorm' in name:
        parameter.requires_grad_(True)
  model.active_head = 'task'
  return model


def padded(
    examples: examples_lib.Examples, rows: np.ndarray, length: int | None = None
) -> torch_training.Batch:
  """Returns a batch of examples.

  Args:
    examples: Tokenised split.
    rows: [batch] int, the examples of the batch.
    length: Length to pad to; that of the longest example when None.
  """
  plan = bucketing.Plan(rows, length or int(examples.lengths[rows].max()))
  return torch_training.to_torch(batching.make_batch(examples, plan, len(rows)))


class Side(torch_training.Side):
  """A training of the peer, a call at a time."""
  LIBRARIES = ('torch', 'adapters', 'transformers')

  def begin(
      self, task: str, tune: str, data_dir: str, precision: str,
      examples: int = 0,
  ) -> None:
    """Loads and tokenises the data, and makes model and optimizer.

    Args:
      task: Name in data.tasks.TASKS.
      tune: 'adapters' or 'full'.
      data_dir: Folder of the TFDS files.
      precision: 'float32', or 'bfloat16' for autocast.
      examples: Number of training examples; 0 for all.
    """
    folder = pinned.fetch('minilm-l6')
    tokenizer = tokenization.load(folder)
    self.splits = {
        name: examples_lib.Examples(
            *tokenization.encode(tokenizer, split.texts, _MAX_LENGTH),
            split.labels)
        for name, split in tasks.load(tasks.find(task), data_dir).items()}
    order = np.random.default_rng(0).permutation(
        len(self.splits['train']))[:examples or None]
    self.batches = [order[start:start + batches.SIZE]
                    for start in range(0, len(order), batches.SIZE)]
    self.prepare(make_model(folder, tune), precision,
                 {'adapters': 1e-3, 'full': 1e-4}[tune])

  def gemm(
      self, rows: int, inner: int, columns: int, repeats: int, rounded: bool
  ) -> float:
    """Returns the seconds of the fastest of several linear layers.

    Args:
      rows: Rows of the input [rows, inner].
      inner: Inner dimension.
      columns: Columns of the output [rows, columns].
      repeats: Number of calls.
      rounded: Whether to compute in bfloat16.
    """
    product = _product(rows, inner, columns, rounded)
    with torch.inference_mode():
      return workers.best_seconds(product, repeats)

  def facts(self) -> dict[str, Any]:
    """Returns the steps and tokens of one epoch."""
    lengths = self.splits['train'].lengths[np.concatenate(self.batches)]
    all_lengths = self.splits['train'].lengths
    return {
        'steps': len(self.batches), 'real_tokens': int(lengths.sum()),
        'padded_tokens': sum(
            len(rows) * int(all_lengths[rows].max())
            for rows in self.batches),
        'padded_tokens_to_128': _MAX_LENGTH * len(lengths)}

  def epoch(self, first: int, last: int, length: int | None = None) -> None:
    """Trains on the batches [first, last) of an epoch in random order.

    Args:
      first: First batch.
      last: Batch after the last.
      length: Length to pad to; that of the longest in each batch when None.
    """
    for rows in self.batches[first:last]:
      self.train(padded(self.splits['train'], rows, length))

  def predict(self, batch_size: int, examples: int, ordered: bool) -> int:
    """Classifies the first dev sentences, and returns their number.

    Args:
      batch_size: Sentences a batch, padded to the longest of them.
      examples: Largest number of sentences.
      ordered: Whether they are sorted by length first.
    """
    dev = self.splits['dev']
    rows = np.arange(min(examples, len(dev)))
    if ordered:
      # `rows` counts from 0, so that its order is an index of dev.
      rows = np.argsort(dev.lengths[rows], kind='stable')
    # Without dropout; `train` sets it back.
    self.model.eval()
    with torch.inference_mode():
      logits = [self.logits(padded(dev, part)).numpy() for part in np.split(
          rows, range(batch_size, len(rows), batch_size))]
    return len(np.concatenate(logits))

  def memory(self) -> dict[str, int]:
    """Returns bytes of the process's peak, optimizer and saved files."""
    # Before saving, which needs memory too; Linux counts in KiB.
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
      if self.model.has_adapters():
        self.model.save_adapter(folder, 'task', with_head=True)
      else:
        self.model.save_pretrained(folder)
      saved = sum(os.path.getsize(os.path.join(folder, name))
                  for name in os.listdir(folder))
    return {
        'peak_bytes': peak,
        'optimizer_bytes': sum(
            value.nbytes for state in self.optimizer.state.values()
            for value in state.values() if value.ndim),  # No step counts.
        'saved_bytes': saved}

  def forward(self, batch: torch_training.Batch) -> torch.Tensor:
    """Returns the logits [batch, 2] of a batch."""
    return self.model(
        input_ids=batch['tokens'], token_type_ids=batch['segments'],
        attention_mask=batch['mask']).logits


@functools.cache
def _product(rows: int, inner: int, columns: int, rounded: bool) -> Any:
  """Returns a linear layer as a function without arguments."""
  dtype = torch.bfloat16 if rounded else torch.float32
  x = torch.ones(rows, inner, dtype=dtype)
  kernel = torch.ones(columns, inner, dtype=dtype)  # torch's layout
  return lambda: torch.nn.functional.linear(x, kernel)


def main() -> None:
  """Trains an epoch, evaluates and saves, if there are flags; else serves."""
  parser = argparse.ArgumentParser()
  parser.add_argument('--task')
  parser.add_argument('--precision', choices=('float32', 'bfloat16'))
  parser.add_argument('--data_dir', default='')
  parser.add_argument('--examples', type=int, default=0)
  given = parser.parse_args()
  side = Side()
  if not given.task:
    workers.serve(side)
    return
  side.begin(given.task, 'adapters', given.data_dir, given.precision,
             given.examples)
  side.epoch(0, len(side.batches))
  side.predict(batches.SIZE, len(side.splits['dev']), ordered=True)
  side.memory()  # Saves.


if __name__ == '__main__':
  main()
