"""Prompt tuning (Lester et al., 2021): learned vectors among the tokens."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.layers import parameters
from adapters_jax.methods import base
from adapters_jax.methods import codec
from adapters_jax.methods import values as values_lib

COMBINE = ('prefix', 'prefix_after_bos', 'words')
INITS = ('random_uniform', 'from_string')


@dataclasses.dataclass(frozen=True)
class PromptTuning(base.Method):
  """Learned vectors inserted among the embedded tokens.

  Inserted after the embedding block (AdapterHub), they get no position.
  Inserted before it ('words', PEFT), they are the first words of the text.

  With 'prefix' the vectors come first, so that a head on the first position
  reads the state of the first vector, as in AdapterHub and PEFT. No vector
  attends to padding; in AdapterHub they do, so that its result depends on the
  batch.

  Attributes:
    prompt_length: Number of vectors.
    combine: 'prefix', before the text; 'prefix_after_bos', after [CLS]; or
      'words', before the words of the text, ahead of positions and norm.
    scale: Bound of the initial values, uniform in [-scale, scale].
    prompt_init: 'random_uniform', or 'from_string' for the embedded words of
      `prompt_init_text`, repeated until the prompt is full.
    prompt_init_text: Text of 'from_string'.
  """
  prompt_length: int = 10
  combine: str = 'prefix'
  scale: float = 0.5
  prompt_init: str = 'random_uniform'
  prompt_init_text: str | None = None

  kind: ClassVar[str] = 'embedding'
  choices = {'combine': COMBINE, 'prompt_init': INITS}
  training_fields = ('scale', 'prompt_init', 'prompt_init_text')
  adapterhub_architecture = 'prompt_tuning'
  adapterhub_fields = (
      'prompt_length', 'combine', 'prompt_init', 'prompt_init_text')
  # An attribute of AdapterHub's class, absent from its files.
  adapterhub_words = {'random_uniform_scale': 'scale'}
  adapterhub_stem = 'prompt_tuning.prompt_tunings.{name}'
  adapterhub_names = ((r'^prompt$', 'prompt_embedding.weight'),)
  # Files of P_TUNING hold the output of its network, which is a prompt.
  peft_types = ('PROMPT_TUNING', 'P_TUNING')
  peft_names = {'prompt': 'prompt_embeddings'}

  def __post_init__(self):
    super().__post_init__()
    base.demand(
        self.prompt_length >= 1, 'prompt_length', self.prompt_length,
        '1 or more')
    base.demand(self.scale >= 0, 'scale', self.scale, '0 or more')
    if (self.prompt_init == 'from_string') != bool(self.prompt_init_text):
      raise errors.UserError(
          "`prompt_init`: give both prompt_init=from_string and "
          "prompt_init_text='...', or neither")

  @property
  def sites(self) -> tuple[str, ...]:
    return ('words' if self.combine == 'words' else 'embedding',)

  @property
  def positions_taken(self) -> int:
    # After the embedding block, vectors have no position.
    return self.prompt_length if self.combine == 'words' else 0

  @property
  def first(self) -> int:
    """Position of the first vector."""
    return int(self.combine == 'prefix_after_bos')

  def moved(self, rows: np.ndarray) -> np.ndarray:
    """Returns the new indices of positions after the vectors are inserted."""
    return np.where(rows < self.first, rows, rows + self.prompt_length)

  def make(self, name: str, layer: int) -> nn.Module:
    """Returns the module at the embeddings.

    Args:
      name: Name of the module in the parameter tree.
      layer: Unused.
    """
    del layer
    return Insert(self, name=name)

  def adapterhub_on_padding(self) -> str:
    """Returns how AdapterHub's result depends on padding."""
    return ('`adapters` lets a prompt attend to padding: outputs there are '
            'those of this package for batches without padding alone')

  def to_adapterhub(self, shape: Any) -> dict[str, Any]:
    """Returns the config of AdapterHub."""
    if self.combine == 'words':
      raise errors.UserError(
          "`combine='words'`: the adapters library has no such prompt; train "
          'with combine=prefix for it')
    return super().to_adapterhub(shape)

  @classmethod
  def from_peft(
      cls, values: Mapping[str, Any], sites: Any, layers: int
  ) -> list['PromptTuning']:
    """Returns the method of PEFT's config.

    Args:
      values: Config as JSON has it.
      sites: Unused.
      layers: Unused.
    """
    del sites, layers
    config = cls(values_lib.needed(values, 'num_virtual_tokens'), 'words')
    text = values.get('prompt_tuning_init_text')
    if values.get('prompt_tuning_init') == 'TEXT' and text:
      config = config.with_fields(
          prompt_init='from_string', prompt_init_text=text)
    return [config]

  def to_peft(self, shape: Any) -> dict[str, Any]:
    """Returns PEFT's options."""
    if self.combine != 'words':
      return super().to_peft(shape)  # Raises UserError.
    return {**codec.prompt_entries(shape), 'peft_type': 'PROMPT_TUNING',
            'num_virtual_tokens': self.prompt_length,
            'token_dim': shape.embedding_dim or shape.dim}

  def initial_leaves(
      self, index: int, params: trees.Tree,
      tokenize: Callable[[str], Iterable[int]],
  ) -> trees.Tree:
    """Returns the embedded words of `prompt_init_text` as the prompt.

    Args:
      index: Index of the method in the model's configs.
      params: Whole tree, initialised.
      tokenize: (text) -> token ids, with [CLS] and [SEP].
    """
    if self.prompt_init != 'from_string':
      return {}
    if self.combine != 'words' and 'project' in params['embeddings']:
      raise errors.UserError(
          '`prompt_init=from_string`: the words of this base are narrower than '
          'its layers, where the prompt begins; give combine=words or '
          'prompt_init=random_uniform')
    # `np.resize` repeats the pieces, unlike the method of an array.
    pieces = np.resize(
        list(tokenize(self.prompt_init_text)), self.prompt_length)
    prompt = jnp.asarray(params['embeddings']['words']['embedding'])[pieces]
    # The scope of the caller: `Embeddings`, or `Bert` itself.
    place = (f'embeddings/adapter_words_{index}' if self.combine == 'words'
             else f'adapter_embedding_{index}')
    return trees.unflatten({f'{place}/prompt': prompt})


class Insert(parameters.Module):
  """Insertion of the prompt into embedded texts."""
  config: PromptTuning

  @nn.compact
  def __call__(
      self, x: jax.Array, mask: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Inserts the prompt.

    Args:
      x: [batch, length, dim] Embedded texts.
      mask: [batch, length] bool, False at padding.

    Returns:
      (x, mask), with prompt_length + length instead of length.
    """
    config = self.config
    length, batch = config.prompt_length, x.shape[0]

    def init(key, shape, dtype):
      return jax.random.uniform(
          key, shape, dtype, minval=-config.scale, maxval=config.scale)

    prompt = self.param('prompt', init, (length, x.shape[-1]))
    prompt = jnp.broadcast_to(prompt.astype(x.dtype), (batch, *prompt.shape))
    first = config.first
    x = jnp.concatenate([x[:, :first], prompt, x[:, first:]], axis=1)
    shown = jnp.ones((batch, length), mask.dtype)
    return x, jnp.concatenate([mask[:, :first], shown, mask[:, first:]], axis=1)


def embed(
    configs: Iterable[base.Method], params: trees.Tree,
    tokenize: Callable[[str], Iterable[int]],
) -> trees.Tree:
  """Replaces the leaves of a tree that are initialised from a text.

  Args:
    configs: Methods of a model, in order.
    params: Whole tree, initialised.
    tokenize: (text) -> token ids, with [CLS] and [SEP].
  """
  for index, config in enumerate(configs):
    params = trees.overlay(
        params, config.initial_leaves(index, params, tokenize))
  return params
