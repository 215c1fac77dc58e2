"""BERT with bottleneck adapters in plain PyTorch, with this project's weights.

The same computation as `model.heads.Classifier` with `methods.bottleneck`, for
comparisons of speed on a GPU: no library but torch is needed.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

Weights = dict[str, np.ndarray]  # {path of this project: array}


def _linear(weights: Weights, path: str) -> nn.Linear:
  """Returns a linear layer; torch's kernels are [out, in]."""
  kernel = torch.tensor(weights[f'{path}/kernel'].T.copy())
  layer = nn.Linear(kernel.shape[1], kernel.shape[0])
  layer.weight = nn.Parameter(kernel)
  layer.bias = nn.Parameter(torch.tensor(weights[f'{path}/bias']))
  return layer


def _norm(weights: Weights, path: str, epsilon: float) -> nn.LayerNorm:
  scale = torch.tensor(weights[f'{path}/scale'])
  layer = nn.LayerNorm(len(scale), eps=epsilon)
  layer.weight = nn.Parameter(scale)
  layer.bias = nn.Parameter(torch.tensor(weights[f'{path}/bias']))
  return layer


class Adapter(nn.Module):
  """x + up(gelu(down(x))) (Houlsby et al., 2019, section 2.1)."""

  def __init__(self, weights: Weights, path: str):
    super().__init__()
    self.down = _linear(weights, f'{path}/down')
    self.up = _linear(weights, f'{path}/up')

  def forward(self, x):
    return x + self.up(nn.functional.gelu(self.down(x)))


class Layer(nn.Module):
  """A post-norm layer, with adapters where the weights have them."""

  def __init__(self, weights: Weights, path: str, config: Any):
    super().__init__()
    self.heads, self.rate = config.heads, config.attention_dropout
    for name in ('query', 'key', 'value', 'output'):
      setattr(self, name, _linear(weights, f'{path}/attention/{name}'))
    self.inner = _linear(weights, f'{path}/ffn_intermediate')
    self.outer = _linear(weights, f'{path}/ffn_output')
    self.attention_norm = _norm(
        weights, f'{path}/attention_norm', config.norm_epsilon)
    self.ffn_norm = _norm(weights, f'{path}/ffn_norm', config.norm_epsilon)
    self.drop = nn.Dropout(config.dropout)
    self.adapters = nn.ModuleList()
    for site in ('attention_output', 'ffn_output'):
      found = [name.rpartition('/down/')[0] for name in weights
               if name.startswith(f'{path}/') and site in name
               and name.endswith('/down/kernel')]
      self.adapters.append(
          Adapter(weights, found[0]) if found else nn.Identity())

  def forward(self, x, bias):
    def split(y):
      return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    mixed = nn.functional.scaled_dot_product_attention(
        split(self.query(x)), split(self.key(x)), split(self.value(x)),
        attn_mask=bias, dropout_p=self.rate if self.training else 0.0)
    update = self.drop(self.output(mixed.transpose(1, 2).flatten(2)))
    x = self.attention_norm(x + self.adapters[0](update))
    update = self.drop(self.outer(nn.functional.gelu(self.inner(x))))
    return self.ffn_norm(x + self.adapters[1](update))


class Classifier(nn.Module):
  """Encoder with a linear head on the first position."""

  def __init__(self, weights: Weights, config: Any):
    """Copies weights.

    Args:
      weights: {path: array} of a whole tree of `heads.Classifier`.
      config: Its `BertConfig`, of BERT's family.
    """
    super().__init__()
    self.words, self.positions, self.segments = (
        nn.Embedding.from_pretrained(
            torch.tensor(weights[f'embeddings/{name}/embedding']), freeze=False)
        for name in ('words', 'positions', 'segments'))
    self.norm = _norm(weights, 'embeddings/norm', config.norm_epsilon)
    self.drop = nn.Dropout(config.dropout)
    self.layers = nn.ModuleList(
        Layer(weights, f'encoder/layer_{i}', config)
        for i in range(config.layers))
    self.head = _linear(weights, 'head')

  def forward(self, tokens, segments, mask):
    """Returns [batch, outputs] logits.

    Args:
      tokens: [batch, length] int64.
      segments: [batch, length] int64.
      mask: [batch, length] bool, False at padding.
    """
    length = tokens.shape[1]
    x = self.words(tokens) + self.segments(segments) + self.positions(
        torch.arange(length, device=tokens.device))[None]
    x = self.drop(self.norm(x))
    bias = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill(
        ~mask, -1e9)[:, None, None, :]
    for layer in self.layers:
      x = layer(x, bias)
    return self.head(self.drop(x[:, 0]))


def freeze(model: Classifier, tune: str) -> list[nn.Parameter]:
  """Freezes the parameters that `tune` does not train; returns the others.

  Args:
    model: Classifier.
    tune: 'adapters', with norms and head as in this project, or 'full'.
  """
  for name, parameter in model.named_parameters():
    parameter.requires_grad_(tune == 'full' or any(
        part in name for part in ('adapters', 'norm', 'head')))
  return [p for p in model.parameters() if p.requires_grad]
