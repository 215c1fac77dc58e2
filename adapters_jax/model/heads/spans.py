"""The head of question answering: ends of a span (Devlin et al., 2019, 4.2)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from adapters_jax.model import layer
from adapters_jax.model.heads import head


class SpanSelector(head.Model):
  """BERT with a linear head on every position (Devlin et al., 2019, 4.2)."""

  @nn.compact
  def __call__(
      self,
      tokens: jax.Array,
      segments: jax.Array,
      mask: jax.Array,
      *,
      train: bool = False,
  ) -> jax.Array:
    """Scores each position as the start and as the end of the answer.

    Args:
      tokens: [batch, length] int32 word pieces.
      segments: [batch, length] int32, 0 in the question, 1 in the paragraph.
      mask: [batch, length] bool, False at padding.
      train: Whether to drop out; needs the 'dropout' rng.

    Returns:
      [batch, length, 2] float32 logits, -1e9 at padding, without the positions
      of a prompt.
    """
    hidden = self.text_states(tokens, segments, mask, train)
    logits = layer.dense(
        layer.outside_encoder(self.config), 2, 'head')(hidden)
    # Finite, so that the loss of filler (padding alone) is not NaN.
    return jnp.where(mask[..., None], logits.astype(jnp.float32), -1e9)


def span_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns the cross-entropy of the first and last token of an answer.

  Args:
    logits: [batch, length, 2] Logits of first and last tokens.
    labels: [batch, 2] int, positions of the answer's ends.

  Returns:
    [batch] Means over the two ends (Devlin et al., 2019, section 4.2).
  """
  ends = optax.softmax_cross_entropy_with_integer_labels(
      logits, labels, axis=1)  # [batch, 2]
  return ends.mean(-1)


SPANS = head.Head(
    'tokens', lambda config, outputs: SpanSelector(config),
    lambda outputs: span_loss, per_token=True, least_classes=None, outputs=2,
    task='question_answering', texts=('question', 'context'), max_length=384,
    adapterhub=(head.Layout('question_answering'),),
    transformers='QuestionAnswering', peft_task='QUESTION_ANS',
    hub_task='question-answering', layer='qa_outputs')
