"""Prompt tuning (Lester et al., 2021): learned vectors beside the tokens'."""

from collections.abc import Callable
from collections.abc import Iterable
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax.methods import base
from adapters_jax import trees

COMBINE = ('prefix', 'prefix_after_bos', 'words')
INITS = ('random_uniform', 'from_string')


@dataclasses.dataclass(frozen=True)
class PromptTuning(base.Method):
  """Vectors inserted among the embedded tokens.

  After the embedding block (the `adapters` library), no position is added to
  them; before it ('words', PEFT), they are the first words of the text.

  With 'prefix' the vectors come first, so that a head on the first position
  reads what became of the first vector (as in the `adapters` library and PEFT).
  No vector attends to padding (in the `adapters` library the prompt's do, so
  that there the result depends on the batch).

  Attributes:
    prompt_length: Vectors.
    combine: 'prefix', before the text; 'prefix_after_bos', after [CLS]; or
      'words', before the text's words, ahead of positions and norm.
    scale: Initial values are uniform in [-scale, scale].
    prompt_init: 'random_uniform', or 'from_string' for the embedded words of
      `prompt_init_text`, again and again until the prompt is full; `embed`.
    prompt_init_text: That text.
  """
  prompt_length: int = 10
  combine: str = 'prefix'
  scale: float = 0.5
  prompt_init: str = 'random_uniform'
  prompt_init_text: str | None = None

  kind: ClassVar[str] = 'embedding'

  def __post_init__(self):
    base.demand(
        self.prompt_length >= 1, 'prompt_length', self.prompt_length,
        '1 or more')
    base.demand_choice('combine', self.combine, COMBINE)
    base.demand(self.scale >= 0, 'scale', self.scale, '0 or more')
    base.demand_choice('prompt_init', self.prompt_init, INITS)
    if (self.prompt_init == 'from_string') != bool(self.prompt_init_text):
      raise errors.UserError(
          "prompt_init: give both prompt_init=from_string and prompt_init_text="
          "'...', or neither")

  @property
  def positions_taken(self) -> int:
    return self.prompt_length if self.combine == 'words' else 0

  @property
  def first(self) -> int:
    """The position of the first vector."""
    return int(self.combine == 'prefix_after_bos')

  def moved(self, rows: np.ndarray) -> np.ndarray:
    """Returns where positions are once the vectors stand among them."""
    return np.where(rows < self.first, rows, rows + self.prompt_length)

  def applies(self, site: str, layer: int) -> bool:
    """Returns whether this method has a module at that place."""
    return site == ('words' if self.combine == 'words' else 'embedding')

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module at the embeddings."""
    return Insert(self, name=name)


class Insert(nn.Module):
  """Inserts the prompt into embedded texts."""
  config: PromptTuning

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Inserts the prompt.

    Args:
      x: [batch, length, dim] The embedded texts.
      mask: [batch, length] bool, False at padding.

    Returns:
      Both with prompt_length + length in place of length.
    """
    config = self.config
    length, batch = config.prompt_length, x.shape[0]

    def init(key, shape):
      return jax.random.uniform(
          key, shape, minval=-config.scale, maxval=config.scale)

    prompt = self.param('prompt', init, (length, x.shape[-1]))
    prompt = jnp.broadcast_to(prompt.astype(x.dtype), (batch, *prompt.shape))
    first = config.first
    x = jnp.concatenate([x[:, :first], prompt, x[:, first:]], axis=1)
    shown = jnp.ones((batch, length), mask.dtype)
    return x, jnp.concatenate([mask[:, :first], shown, mask[:, first:]], axis=1)


def embed(
    configs: Iterable[Any], params: trees.Tree,
    tokenize: Callable[[str], Iterable[int]],
) -> trees.Tree:
  """Returns the tree with the prompts that begin as a text's words.

  Args:
    configs: A model's methods, in order.
    params: The whole tree, initialised.
    tokenize: Gives a text's word pieces, [CLS] and [SEP] included.
  """
  for index, config in enumerate(configs):
    if getattr(config, 'prompt_init', '') != 'from_string':
      continue
    pieces = np.resize(
        list(tokenize(config.prompt_init_text)), config.prompt_length)
    prompt = {'prompt': jnp.asarray(
        params['embeddings']['words']['embedding'])[pieces]}
    path = (f'embeddings/adapter_words_{index}'
            if config.combine == 'words' else f'adapter_embedding_{index}')
    params = trees.overlay(params, trees.unflatten({path: prompt}))
  return params
