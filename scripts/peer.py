"""The library a user would pick instead: `adapters` on torch, for comparison.

The same weights, data, sizes and optimizer settings as here: bottleneck
adapters at both sublayers, layer norms and head trained, AdamW, clip at 1,
dropout on.
"""

from collections.abc import Callable, Iterator

import adapters
import numpy as np
import torch

from adapters_jax.data import batching

Batch = dict[str, torch.Tensor]


def make_model(folder: str, tune: str, size: int) -> torch.nn.Module:
  """Returns the peer's BERT with a linear head on [CLS].

  Args:
    folder: Of a Hugging Face checkpoint.
    tune: 'adapters' or 'full'.
    size: Of the adapters.
  """
  model = adapters.AutoAdapterModel.from_pretrained(folder)
  model.add_classification_head('task', num_labels=2, layers=1)
  if tune == 'adapters':
    model.add_adapter('task', config=adapters.DoubleSeqBnConfig(
        reduction_factor=model.config.hidden_size / size,
        non_linearity='gelu', init_weights='houlsby'))
    model.train_adapter('task')
    for name, parameter in model.named_parameters():
      if 'LayerNorm' in name:
        parameter.requires_grad_(True)
  model.active_head = 'task'
  return model


def trained_parameters(model: torch.nn.Module) -> int:
  """Returns how many parameters have gradients."""
  return sum(p.numel() for p in model.parameters() if p.requires_grad)


def make_step(
    model: torch.nn.Module, rate: float = 1e-3
) -> tuple[Callable[[Batch], float], torch.optim.Optimizer]:
  """Returns (step(batch) -> loss, the optimizer)."""
  parameters = [p for p in model.parameters() if p.requires_grad]
  optimizer = torch.optim.AdamW(
      parameters, lr=rate, weight_decay=0.01, fused=True)
  model.train()

  def step(batch):
    out = model(input_ids=batch['tokens'], token_type_ids=batch['segments'],
                attention_mask=batch['mask'])
    loss = torch.nn.functional.cross_entropy(out.logits, batch['labels'])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()

  return step, optimizer


def make_forward(model: torch.nn.Module) -> Callable[[Batch], np.ndarray]:
  """Returns forward(batch) -> [batch, classes] logits, without dropout."""
  model.eval()

  def forward(batch):
    with torch.inference_mode():
      return model(
          input_ids=batch['tokens'], token_type_ids=batch['segments'],
          attention_mask=batch['mask']).logits.numpy()

  return forward


def to_torch(batch: dict[str, np.ndarray]) -> Batch:
  """Returns a batch of ours as the peer's tensors."""
  return {name: torch.from_numpy(np.asarray(value, np.int64))
          for name, value in batch.items() if name != 'weights'}


def batches(
    examples: batching.Examples, batch_size: int, length: int | None, seed: int
) -> Iterator[Batch]:
  """Yields one epoch of random batches.

  Args:
    examples: The training split.
    batch_size: Examples a batch.
    length: Pad every batch to it; None pads to the longest of each batch.
    seed: Of the order.
  """
  rows = np.random.default_rng(seed).permutation(len(examples))
  for start in range(0, len(rows), batch_size):
    chosen = rows[start:start + batch_size]
    longest = int(examples.lengths[chosen].max())
    plan = batching.Plan(chosen, length or longest)
    yield to_torch(batching.make_batch(examples, plan, len(chosen)))
