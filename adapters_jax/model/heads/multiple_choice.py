"""The head of multiple choice: a score for each choice, softmax over them."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from adapters_jax.model.heads import classification
from adapters_jax.model.heads import head


class ChoiceScorer(head.Model):
  """BERT with one score for a context and a choice, as in BERT's use for SWAG.

  Devlin et al. (2019), section 4.4: the logit of a choice is a vector's product
  with the last hidden state of [CLS] over the pair (context, choice).

  Attributes:
    head_input: Input of the head, 'cls' or 'pooler'; see `Classifier`.
  """
  head_input: str = 'cls'

  @nn.compact
  def __call__(
      self,
      tokens: jax.Array,
      segments: jax.Array,
      mask: jax.Array,
      *,
      train: bool = False,
  ) -> jax.Array:
    """Scores every choice of a batch.

    Args:
      tokens: [batch, choices, length] int32 word pieces; or [batch, length] of
        single choices.
      segments: int32 of the same shape, 0 in the context, 1 in the choice.
      mask: bool of the same shape, False at padding.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      [batch, choices] float32 logits; [batch, 1] of single choices.
    """
    classifier = classification.Classifier(self.config, 1, self.head_input)
    # The paths are those of a classifier.
    nn.share_scope(self, classifier)
    # [batch * choices, length] each
    rows = (array.reshape(-1, array.shape[-1])
            for array in (tokens, segments, mask))
    logits = classifier(*rows, train=train)  # [batch * choices, 1]
    return logits.reshape(len(tokens), -1)


def _row(
    head_input: str, layers: Mapping[str, int],
    values: Mapping[str, Any], **more: Any,
) -> head.Head:
  """Returns the row of a head.

  Args:
    head_input: 'cls' or 'pooler'.
    layers: Layers in the `adapters` library.
    values: Entries by which it differs from other heads there.
    **more: Further fields of the row.
  """
  return head.Head(
      head.name_of('multiple_choice', head_input),
      lambda config, outputs: ChoiceScorer(config, head_input),
      lambda outputs: classification.cross_entropy,
      classification.smoothed_cross_entropy, choices=True, least_classes=None,
      outputs=1, texts=('context', 'choices'), hub_task='multiple-choice',
      adapterhub=(head.Layout(
          'multiple_choice', layers, values, count='num_choices'),), **more)


CLS = _row('cls', {'head': 1}, {'layers': 1, 'use_pooler': False})
POOLER = _row(
    'pooler', {'pooler': 1, 'head': 4},
    {'layers': 2, 'activation_function': 'tanh', 'use_pooler': False},
    pooled=True, transformers='MultipleChoice', layer='classifier')
