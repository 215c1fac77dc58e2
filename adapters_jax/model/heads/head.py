"""Head: the row that describes a head to training, storage and file formats."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import flax.linen as nn
import jax

from adapters_jax.model import encoder as encoder_lib
from adapters_jax.model import sites

# (logits [batch, ...], labels [batch, ...]) -> losses [batch]
Loss = Callable[[jax.Array, jax.Array], jax.Array]


class Model(nn.Module):
  """An encoder with a head, whose dense layer is named 'head'.

  Attributes:
    config: The encoder's config.
  """
  config: encoder_lib.BertConfig

  @property
  def rows(self) -> int | None:
    """Number of leading positions that the head reads; None for all."""
    return None

  def text_states(
      self, tokens: jax.Array, segments: jax.Array, mask: jax.Array,
      train: bool,
  ) -> jax.Array:
    """Runs the encoder, in whose scope the head then is.

    Args:
      tokens: [batch, length] int32 word pieces.
      segments: [batch, length] int32, 0 or 1.
      mask: [batch, length] bool, False at padding.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      [batch, length, dim] Last hidden states, without those of a prompt.
    """
    encoder = encoder_lib.Bert(self.config)
    # Without a prefix, the encoder's paths are those of every base.
    nn.share_scope(self, encoder)
    hidden = encoder(tokens, segments, mask, train=train)[-1]
    return of_text(self.config, hidden, tokens.shape[1])


def of_text(
    config: encoder_lib.BertConfig, hidden: jax.Array, length: int
) -> jax.Array:
  """Returns the hidden states of a text, without those of a prompt.

  Args:
    config: The encoder's config.
    hidden: [batch, at least length, dim] Output of the encoder.
    length: Number of positions of the text.

  Returns:
    [batch, length, dim]
  """
  if hidden.shape[1] == length:
    return hidden
  return hidden[:, sites.text_rows(config.adapters, length)]


@dataclasses.dataclass(frozen=True)
class Layout:
  """A head of the `adapters` library that computes the same.

  Attributes:
    kind: Its 'head_type' in head_config.json.
    layers: {part of our tree: index of its linear layer in the head, a torch
      Sequential of dropout 0, dense 1, activation 2, dropout 3, dense 4}.
    values: Entries that distinguish it from other heads of the type. DEFAULTS
      has the values of absent ones.
    written: Further entries of an exported file.
    count: Entry with the number of labels or choices.
  """
  kind: str
  layers: Mapping[str, int] = dataclasses.field(
      default_factory=lambda: {'head': 1})
  values: Mapping[str, Any] = dataclasses.field(
      default_factory=lambda: {'layers': 1})
  written: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  count: str = 'num_labels'

  def matches(self, values: Mapping[str, Any]) -> bool:
    """Returns whether the 'config' of a head_config.json is of this layout."""
    return values.get('head_type') == self.kind and all(
        values.get(name, DEFAULTS.get(name)) == value
        for name, value in self.values.items())


# Values of entries that head_config.json may leave out.
DEFAULTS = {'layers': 1, 'use_pooler': False}


def name_of(form: str, head_input: str) -> str:
  """Returns the name of a head on a text, as saved adapters have it.

  Args:
    form: Form of the labels: 'single', 'multilabel' or 'multiple_choice'.
    head_input: Input of the head, such as 'cls', 'pooler' or 'cls_gelu'.
  """
  if form == 'single':
    return head_input
  return form if head_input == 'cls' else f'{form}_{head_input}'


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
  """A head: its module, its loss, and its names elsewhere.

  Attributes:
    name: Name in saved adapters, their `head_input`.
    make: (config of the encoder, number of outputs) -> module.
    make_loss: (number of outputs) -> loss of logits and labels.
    make_smoothed: (label smoothing) -> the same loss for smoothed labels; None
      for labels that cannot be.
    pooled: Whether it reads the tanh layer on [CLS], the pooler.
    per_token: Whether it has outputs on every position.
    multilabel: Whether an input may have several labels, or none.
    reads_words: Whether its inputs are the words of a sentence, not texts.
    choices: Whether it scores the choices of an input, each in a row of its
      own.
    least_classes: Minimum number of outputs that are named classes: 1, or 2 if
      a single output is a score. None if outputs never are classes.
    outputs: Number of outputs, if it is always the same.
    task: Task of an adapter from another library, whose files name none.
    texts: Names of its texts.
    max_length: Its longest input in tokens.
    adapterhub: Layouts in the `adapters` library; all are read, the first is
      written. () if it has none.
    transformers: Suffix of the name of transformers' class, as in
      'SequenceClassification'; '' if there is none.
    peft_task: PEFT's `task_type` of it; '' if it has none.
    hub_task: Name of its kind of task in the metadata of the hub.
    layer: Its linear layer in transformers' classes; '' for the last layer of
      the family's classifier of texts.
    dense: Whether it has parameters.
    pretrained: Whether checkpoints may hold its parameters.
  """
  name: str
  make: Callable[[encoder_lib.BertConfig, int], Model]
  make_loss: Callable[[int], Loss]
  make_smoothed: Callable[[float], Loss] | None = None
  pooled: bool = False
  per_token: bool = False
  multilabel: bool = False
  reads_words: bool = False
  choices: bool = False
  least_classes: int | None = 2
  outputs: int | None = None
  task: str = 'converted'
  texts: tuple[str, ...] = ('text',)
  max_length: int = 128
  adapterhub: tuple[Layout, ...] = ()
  transformers: str = ''
  peft_task: str = ''
  hub_task: str = 'text-classification'
  layer: str = ''
  dense: bool = True
  pretrained: bool = False

  def has_classes(self, outputs: int) -> bool:
    """Returns whether this number of outputs means classes, not a score."""
    return self.least_classes is not None and outputs >= self.least_classes

  def takes_threshold(self, outputs: int | None) -> bool:
    """Returns whether a threshold decides: of two classes, or several labels.

    Args:
      outputs: Number of outputs, None without a head.
    """
    if outputs is None or self.per_token:
      return False
    return self.multilabel or outputs == 2 and self.has_classes(2)
