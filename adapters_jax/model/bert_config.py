"""The shape of an encoder, and how to compute it."""

import dataclasses
from typing import Any

import jax

from adapters_jax.methods import base
from adapters_jax.methods import values


@dataclasses.dataclass(frozen=True)
class BertConfig:
  """Sizes of an encoder, its adapters, and how to compute it.

  The defaults are BERT's; other families differ in some fields.

  Attributes:
    vocab_size: Number of word pieces.
    dim: Width of the hidden states.
    layers: Number of Transformer layers.
    heads: Number of attention heads, each of width dim / heads.
    ffn_dim: Width of the feed-forward sublayers.
    positions: Rows of the table of positions, or positions without a table.
    segments: Number of segment (token type) embeddings; 0 for none. If there is
      one, all tokens use it.
    activation: Activation of the feed-forward sublayers, a key of
      activations.ACTIVATIONS.
    dropout: Rate at the embeddings, the sublayer outputs and the head.
    attention_dropout: Rate at the attention weights.
    norm_epsilon: Addend to the variance in layer norms.
    family: Key of families.FAMILIES, which names the tensors of checkpoints.
    first_position: Row of the table for the first token. If above 0, rows count
      tokens by the mask, and padding gets the row before the first.
    embedding_dim: Width of the embeddings, where a linear layer maps them to
      `dim`; None for `dim`.
    relative_bias: Whether a learned bias of the distance, shared by all layers,
      is added to the attention scores; see `relative`.
    distance_buckets: Buckets of a direction for the distances of disentangled
      attention, which replaces the table of positions; see `deberta`. 0 for
      other attention.
    pre_norm: Whether a sublayer's norm is before it, and the skip connection
      last, as in `modernbert`; no norm is before the first attention, and one
      is after the last layer.
    attention_bias: Whether the linear layers of the attention have biases.
    ffn_bias: Whether those of the feed-forward sublayers have.
    norm_bias: Whether layer norms have a bias next to their scale.
    rotary: Bases of the rotary positions, (in global layers, in local ones);
      None for a table of positions.
    local_layers: Layers in which a token attends only to its neighbours.
    window: Largest distance of a neighbour, in tokens.
    classifier_pooling: Input of transformers' classifier of the checkpoint,
      'cls' or 'mean'; '' for a classifier that no head of this package
      computes.
    classifier_activation: Activation between the layers of that classifier,
      as config.json names it; '' where the family determines it.
    adapters: Method configs, applied in this order at each site.
    composition: Tree over the adapters from `setups.over_methods`; None to
      apply them in order.
    adapted_from: Lowest layer with adapters; those below have none.
    dtype: Type of the computation; parameters keep their own.
    products: Type of the operands of the encoder's matrix products: 'float32'
      for the operands as they are, or 'bfloat16' with float32 results.
    attention: Implementation of attention without dropout of its weights:
      'einsum', or one of jax.nn.dot_product_attention.
    remat: Whether to recompute a layer's inner values for the gradient instead
      of storing them; saves memory at the cost of a forward pass.
    scan: Whether to loop over all layers but the last, with parameters stacked
      at 'encoder/layers' [layers - 1, ...]. The program is then as small as
      that of two layers. Saved adapters and checkpoints have one path per layer
      and do not fit.
    batch_sharding: Sharding of hidden states [batch, ...] on several devices,
      None to leave it to the compiler. Necessary where weights are stored in
      slices, so that the compiler gathers weights instead of hidden states.
    first_layer: Lowest layer to compute. Above 0, the model reads hidden states
      instead of tokens. Not compatible with `scan`.
  """
  vocab_size: int = 30522
  dim: int = 768
  layers: int = 12
  heads: int = 12
  ffn_dim: int = 3072
  positions: int = 512
  segments: int = 2
  activation: str = 'gelu'
  dropout: float = 0.1
  attention_dropout: float = 0.1
  norm_epsilon: float = 1e-12
  family: str = 'bert'
  first_position: int = 0
  embedding_dim: int | None = None
  relative_bias: bool = False
  distance_buckets: int = 0
  pre_norm: bool = False
  attention_bias: bool = True
  ffn_bias: bool = True
  norm_bias: bool = True
  rotary: tuple[float, float] | None = None
  local_layers: tuple[int, ...] = ()
  window: int = 0
  classifier_pooling: str = 'cls'
  classifier_activation: str = ''
  adapters: tuple[Any, ...] = ()  # Hashable: models are static arguments.
  composition: Any = None
  adapted_from: int = 0
  dtype: str = 'float32'
  products: str = 'float32'
  attention: str = 'einsum'
  remat: bool = False
  scan: bool = False
  batch_sharding: jax.sharding.Sharding | None = None
  first_layer: int = 0

  def __post_init__(self):
    # Models are static arguments: neither lists nor arrays have a hash.
    for field in dataclasses.fields(self):
      object.__setattr__(
          self, field.name, values.scalar(getattr(self, field.name)))
    object.__setattr__(
        self, 'adapters', base.demand_methods(self.adapters, 'adapters'))

  @property
  def longest(self) -> int:
    """Length of the longest input in tokens."""
    return self.positions - self.first_position

  @property
  def head_dim(self) -> int:
    """Width of an attention head."""
    return self.dim // self.heads
