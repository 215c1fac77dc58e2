"""Worker of scripts.benchmark.mpnet: transformers' MPNet on torch.

No library has adapters for MPNet, so they are placed by hand: Houlsby's
bottlenecks after the dropout of both sublayers, trained with the layer norms
and a linear head on [CLS]. AdamW is fused; threads keep torch's defaults.
"""

import contextlib
import functools
import importlib.metadata
from typing import Any

import numpy as np
import torch
import transformers

from adapters_jax.downloads import pinned
from scripts.benchmark import workers

# {setting: context of the forward pass}
SETTINGS = {
    'float32': contextlib.nullcontext,
    'bfloat16': functools.partial(torch.autocast, 'cpu', torch.bfloat16),
}


_BATCH = 32


@functools.cache
def random_batch(length: int) -> dict[str, torch.Tensor]:
  """Returns a full batch of random words without padding."""
  rng = np.random.default_rng(0)
  return {
      'tokens': torch.from_numpy(rng.integers(1000, 30000, (_BATCH, length))),
      'mask': torch.ones(_BATCH, length, dtype=torch.long),
      'labels': torch.from_numpy(rng.integers(0, 2, _BATCH))}


class Adapter(torch.nn.Module):
  """y + up(gelu(down(y))), Houlsby et al. (2019), figure 2."""

  def __init__(self, dim: int, size: int):
    """Starts close to the identity.

    Args:
      dim: Width of the sublayer.
      size: Width of the bottleneck.
    """
    super().__init__()
    self.down = torch.nn.Linear(dim, size)
    self.up = torch.nn.Linear(size, dim)
    for linear in (self.down, self.up):
      torch.nn.init.trunc_normal_(linear.weight, std=1e-2)
      torch.nn.init.zeros_(linear.bias)

  def forward(self, y: torch.Tensor) -> torch.Tensor:
    """Adapts y [batch, length, dim]."""
    return y + self.up(torch.nn.functional.gelu(self.down(y)))


def place_adapters(encoder: torch.nn.Module, size: int) -> None:
  """Adds adapters to all sublayers, and freezes all but them and the norms.

  Args:
    encoder: transformers' MPNetModel.
    size: Width of the adapters.
  """
  for name, parameter in encoder.named_parameters():
    parameter.requires_grad_('LayerNorm' in name)
  for layer in encoder.encoder.layer:
    for sublayer in (layer.attention, layer.output):
      # Residual sum and norm follow the dropout in both.
      sublayer.dropout = torch.nn.Sequential(
          sublayer.dropout, Adapter(encoder.config.hidden_size, size))


class Model(torch.nn.Module):
  """MPNet with a linear head on [CLS]."""

  def __init__(self, encoder: torch.nn.Module, size: int):
    """Places adapters and a head of two classes.

    Args:
      encoder: transformers' MPNetModel without a pooler.
      size: Width of the adapters.
    """
    super().__init__()
    place_adapters(encoder, size)
    self.encoder = encoder
    self.dropout = torch.nn.Dropout(encoder.config.hidden_dropout_prob)
    self.head = torch.nn.Linear(encoder.config.hidden_size, 2)

  def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Returns logits [batch, 2] of tokens and mask [batch, length]."""
    hidden = self.encoder(input_ids=tokens, attention_mask=mask)[0]
    return self.head(self.dropout(hidden[:, 0]))


class Side:
  """A training of the peer, a call at a time."""

  def begin(self, setting: str, size: int) -> None:
    """Makes model and optimizer.

    Args:
      setting: Key of SETTINGS.
      size: Width of the adapters.
    """
    encoder = transformers.AutoModel.from_pretrained(
        pinned.fetch('mpnet-base'), add_pooling_layer=False)
    self.model = Model(encoder, size).train()
    self.context = SETTINGS[setting]
    self.parameters = [p for p in self.model.parameters() if p.requires_grad]
    self.optimizer = torch.optim.AdamW(
        self.parameters, lr=1e-3, weight_decay=0.01, fused=True)

  def trained(self) -> int:
    """Returns the number of trained parameters."""
    return sum(p.numel() for p in self.parameters)

  def about(self) -> dict[str, Any]:
    """Returns versions and the number of torch's threads."""
    return {**{name: importlib.metadata.version(name)
               for name in ('torch', 'transformers')},
            'threads': torch.get_num_threads()}

  def step(self, length: int, steps: int = 1) -> float:
    """Takes steps on random words, and returns the last loss.

    Args:
      length: Words of each of the 32 inputs.
      steps: Number of steps.
    """
    batch = random_batch(length)
    for _ in range(steps):
      with self.context():
        logits = self.model(batch['tokens'], batch['mask'])
      loss = torch.nn.functional.cross_entropy(logits.float(), batch['labels'])
      loss.backward()
      torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
      self.optimizer.step()
      self.optimizer.zero_grad(set_to_none=True)
    return loss.item()


if __name__ == '__main__':
  workers.serve(Side())
