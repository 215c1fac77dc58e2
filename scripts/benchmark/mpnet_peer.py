"""Worker of scripts.benchmark.mpnet: transformers' MPNet on torch.

No library has adapters for MPNet, so they are placed by hand: Houlsby's
bottlenecks after the dropout of both sublayers, trained with the layer norms
and a linear head on [CLS].
"""

import torch
import transformers

from adapters_jax.downloads import pinned
from scripts.benchmark import torch_training
from scripts.benchmark import workers


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


class Side(torch_training.Side):
  """A training of the peer, a call at a time."""

  def begin(self, precision: str, size: int) -> None:
    """Makes model and optimizer.

    Args:
      precision: 'float32', or 'bfloat16' for autocast.
      size: Width of the adapters.
    """
    encoder = transformers.AutoModel.from_pretrained(
        pinned.fetch('mpnet-base'), add_pooling_layer=False)
    self.prepare(Model(encoder, size), precision, 1e-3)

  def forward(self, batch: torch_training.Batch) -> torch.Tensor:
    """Returns the logits [batch, 2] of a batch."""
    return self.model(batch['tokens'], batch['mask'])


if __name__ == '__main__':
  workers.serve(Side())
