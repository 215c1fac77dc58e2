"""The attention of AdapterFusion (Pfeiffer et al., 2021, section 3.2)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax import trees
from adapters_jax.layers import dense as dense_lib
from adapters_jax.layers import dropout
from adapters_jax.layers import parameters
from adapters_jax.model import composition

# Collection of the mean attention weights [batch, members] of each module,
# filled if the caller makes it mutable.
WEIGHTS = 'fusion_attention'


def _near_identity(key, shape, dtype=jnp.float32):
  """Returns the identity with 1e-6 off the diagonal, as AdapterHub's values."""
  del key
  return jnp.eye(*shape, dtype=dtype) * (1 - 1e-6) + 1e-6


class AdapterFusion(nn.Module):
  """A mix of the members' updates, with weights for each position.

  The score of an update v is q . (W v + b) with the query q. It is computed as
  (W' q) . v + q . b, and the value matrix maps the mix instead of each update.
  This gives the same result with 3 products by [dim, dim] matrices, instead of
  1 + 2 n for n members.

  Attributes:
    config: Block of the resolved tree.
  """
  config: composition.Fuse

  @nn.compact
  def __call__(
      self, query: jax.Array, updates: jax.Array, *, mask: jax.Array,
      train: bool,
  ) -> jax.Array:
    """Mixes updates.

    Args:
      query: [batch, length, dim] Input of the last member's adapter.
      updates: [batch, length, members, dim] Addends of the members.
      mask: [batch, length] bool, False at positions that the mean of the
        attention weights leaves out, such as padding.
      train: Whether to drop scores.

    Returns:
      [batch, length, dim]
    """
    config, dim, dtype = self.config, query.shape[-1], query.dtype
    init = nn.initializers.normal(0.02)
    if config.query:
      query = parameters.Dense(
          dim, name='query', kernel_init=init, dtype=dtype,
          dot_general=dense_lib.dot_general)(query)
    if config.key:
      kernel = _Key(dim, name='key')
      query, bias = kernel(query)  # [batch, length, dim], [batch, length, 1]
    else:
      bias = jnp.zeros((*query.shape[:-1], 1), dtype)
    # Scores are not divided by the root of dim.
    scores = jnp.einsum('bld,blnd->bln', query, updates) + bias
    scores = dropout.Dropout(config.dropout)(scores, train=train)
    weights = jax.nn.softmax(scores.astype(jnp.float32)).astype(dtype)
    if not train and self.is_mutable_collection(WEIGHTS):
      self.sow(WEIGHTS, 'weights', _mean(weights, mask),
               reduce_fn=lambda _, new: new, init_fn=lambda: None)
    mixed = jnp.einsum('bln,blnd->bld', weights, updates)
    if config.value:
      mixed = parameters.Dense(
          dim, use_bias=False, name='value', kernel_init=_near_identity,
          dtype=dtype, dot_general=dense_lib.dot_general)(mixed)
    return mixed


def _mean(weights: jax.Array, mask: jax.Array) -> jax.Array:
  """Returns the mean of [batch, length, members] over the positions of a mask.

  It is 0 for an example without any, such as filler of a batch.
  """
  shares = mask / jnp.maximum(mask.sum(1, keepdims=True), 1)
  return jnp.einsum('bl,bln->bn', shares, weights.astype(jnp.float32))


class _Key(parameters.Module):
  """The linear layer of the keys, applied to the queries from its other side.

  Attributes:
    dim: Width.
  """
  dim: int

  @nn.compact
  def __call__(self, query: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns (queries for unmapped keys, addend to all of their scores)."""
    kernel = self.param(
        'kernel', nn.initializers.normal(0.02), (self.dim, self.dim))
    bias = self.param('bias', nn.initializers.zeros, (self.dim,))
    # The addend shifts all scores alike; it matters where some are dropped.
    return (query @ kernel.T.astype(query.dtype),
            (query @ bias.astype(query.dtype))[..., None])


def start(path: str, shape: tuple[int, ...]) -> jax.Array | float:
  """Returns the initial value of a leaf, 0 where it is random.

  Args:
    path: Path of the leaf.
    shape: Shape of the leaf.
  """
  return jnp.eye(shape[0]) if path.endswith('/value/kernel') else 0.0


def penalty(tuned: trees.Tree, factors: tuple[float, ...]) -> jax.Array:
  """Returns the weighted squared distance of value matrices from the identity.

  The regularisation of AdapterHub's implementation, which keeps fused updates
  near those of the members.

  Args:
    tuned: Tuned tree.
    factors: Factor of each Fuse block, by its index.
  """
  total = jnp.zeros(())
  for path, leaf in trees.flatten(tuned).items():
    *_, module, layer, name = ('', '', '', *path.split('/'))
    if (module.startswith('adapter_fusion_') and layer == 'value'
        and name == 'kernel'):
      distance = jnp.sum((leaf - jnp.eye(len(leaf))) ** 2)
      total += factors[int(module.rpartition('_')[2])] * distance
  return total
