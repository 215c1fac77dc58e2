"""Scores of masked language modelling on raw texts in memory."""

from collections.abc import Sequence

import jax

from adapters_jax import errors
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import compiled
from adapters_jax.adapters import readings
from adapters_jax.data import masking as masking_lib
from adapters_jax.data import tokenization
from adapters_jax.model import base as base_lib
from adapters_jax.model import heads
from adapters_jax.runs import config as config_lib
from adapters_jax.runs.kinds import language_modeling
from adapters_jax.training import sharding


def of_texts(
    base: base_lib.Base, adapter: adapter_lib.Adapter, texts: Sequence[str],
    batch_size: int,
) -> dict[str, float]:
  """Scores an adapter on masked pieces of texts.

  The share of masked pieces is the one used in training. Masks depend only on
  the position of a text in the list, as on dev and test.

  Args:
    base: Pretrained encoder.
    adapter: Adapter.
    texts: Texts; longer ones than the adapter's limit become several.
    batch_size: Texts a step.

  Returns:
    {metric: value}, of data.metrics.OF_LANGUAGE.

  Raises:
    errors.UserError: an adapter of another base or with a head of labels,
      texts without a known piece, or outputs that are NaN.
  """
  if not adapter.head.pretrained:
    raise errors.UserError(
        '`data`: raw texts need an adapter of masked language modelling; give '
        'labelled Examples for others')
  compiled.check_base(base.identity, adapter, 'the adapter')
  model = heads.make(
      compiled.encoder_config(base, adapter.hidden_activation),
      adapter.methods, 1, adapter.head_input, adapter.composition)
  params = compiled.params_of(base, adapter)
  compiled.check_leaves(params, adapter.tuned, model, 'the adapter')
  tokenizer = tokenization.load(base.folder, base.config.vocab_size)
  known = adapter.settings
  masking = masking_lib.Masking(
      known.get('mask_rate', config_lib.Config.mask_rate),
      known.get('whole_words', config_lib.Config.whole_words),
      masking_lib.mask_id(tokenizer), tokenizer.get_vocab_size())
  examples = masking_lib.encode_words(
      tokenizer, texts, compiled.max_length(base, adapter))
  if not len(examples):
    raise errors.UserError(
        '`data`: no text has a piece that the tokenizer knows')
  step = language_modeling.eval_step(model, sharding.one_device())
  tuned = jax.device_put(adapter.tuned)

  def outputs():
    for rows, batch in masking_lib.masked_eval_batches(
        examples, readings.BUCKETS, batch_size, None, masking):
      yield rows, step(params, tuned, batch)

  with compiled.matmul_precision(base), sharding.without_context_mesh():
    found, _ = language_modeling.summary(outputs(), len(examples))
  return found
