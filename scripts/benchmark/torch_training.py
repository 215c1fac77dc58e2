"""Trainings on torch, for the workers of the peers."""

import abc
from collections.abc import Sequence
import functools
import importlib.metadata
from typing import Any

import numpy as np
import torch

from scripts.benchmark import batches

Batch = dict[str, torch.Tensor]


def to_torch(batch: dict[str, np.ndarray]) -> Batch:
  """Returns a batch of this project as torch tensors."""
  # No fillers in these batches, hence no weights.
  return {name: torch.from_numpy(np.asarray(value, np.int64))
          for name, value in batch.items() if name != 'weights'}


@functools.cache
def _random_batch(length: int) -> Batch:
  return to_torch(batches.random_batch(length))


def make_optimizer(
    parameters: Sequence[torch.nn.Parameter], rate: float
) -> torch.optim.Optimizer:
  """Returns AdamW in its fastest form.

  Args:
    parameters: Parameters to train.
    rate: Learning rate.
  """
  return torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, fused=True)


def update(
    loss: torch.Tensor, parameters: Sequence[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
  """Takes a step with gradients clipped at the norm 1.

  Args:
    loss: [] Mean loss of the batch.
    parameters: Trained parameters.
    optimizer: Their optimizer.
  """
  loss.backward()
  torch.nn.utils.clip_grad_norm_(parameters, 1.0)
  optimizer.step()
  optimizer.zero_grad(set_to_none=True)


class Side(abc.ABC):
  """A training on the CPU, a call at a time; subclasses compute the logits.

  Threads keep torch's defaults.
  """
  LIBRARIES: tuple[str, ...] = ('torch', 'transformers')

  def prepare(
      self, model: torch.nn.Module, precision: str, rate: float
  ) -> None:
    """Makes the optimizer.

    Args:
      model: Model with frozen and trained parameters.
      precision: 'float32', or 'bfloat16' for autocast.
      rate: Learning rate.
    """
    self.model, self.precision = model, precision
    self.parameters = [p for p in model.parameters() if p.requires_grad]
    self.optimizer = make_optimizer(self.parameters, rate)

  def trained(self) -> int:
    """Returns the number of trained parameters."""
    return sum(p.numel() for p in self.parameters)

  def about(self) -> dict[str, Any]:
    """Returns versions and the number of torch's threads."""
    return {**{name: importlib.metadata.version(name)
               for name in self.LIBRARIES},
            'threads': torch.get_num_threads()}

  def step(self, length: int, steps: int = 1) -> float:
    """Takes steps on random words, and returns the last loss.

    Args:
      length: Words of each of the 32 inputs.
      steps: Number of steps.
    """
    for _ in range(steps):
      loss = self.train(_random_batch(length))
    return loss

  def train(self, batch: Batch) -> float:
    """Takes a step, and returns the loss."""
    self.model.train()
    loss = torch.nn.functional.cross_entropy(
        self.logits(batch), batch['labels'])
    update(loss, self.parameters, self.optimizer)
    return loss.item()

  def logits(self, batch: Batch) -> torch.Tensor:
    """Returns the logits [batch, 2] of a batch in float32."""
    with torch.autocast('cpu', dtype=torch.bfloat16,
                        enabled=self.precision == 'bfloat16'):
      return self.forward(batch).float()

  @abc.abstractmethod
  def forward(self, batch: Batch) -> torch.Tensor:
    """Returns the logits [batch, 2] of a batch."""
