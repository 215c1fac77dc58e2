"""Heads, one file each: module, loss, and names in other libraries' files.

To add a head, write its module, its loss and a row `head.Head`, and list the
row in HEADS. Metrics are in `data.metrics`, hooks of runs in `runs.kinds`.
Public: HEADS, `make`, `of_form`, Head, Model, Classifier, SpanSelector,
`cross_entropy`.
"""

import dataclasses
from typing import Any

from adapters_jax import errors
from adapters_jax.model import encoder as encoder_lib
from adapters_jax.model.heads import classification
from adapters_jax.model.heads import embedding
from adapters_jax.model.heads import head
from adapters_jax.model.heads import masked_lm
from adapters_jax.model.heads import multilabel
from adapters_jax.model.heads import multiple_choice
from adapters_jax.model.heads import spans
from adapters_jax.model.heads import tagging

# {name in saved adapters, their `head_input`: head}
HEADS = {row.name: row for row in (
    classification.CLS, classification.POOLER, classification.CLS_GELU,
    classification.CLS_RELU, classification.CLS_NORM, classification.MEAN_NORM,
    spans.SPANS, tagging.TAGS, *multilabel.ROWS,
    multiple_choice.CLS, multiple_choice.POOLER, masked_lm.MASKED_LM,
    *embedding.ROWS.values())}

Head = head.Head
Model = head.Model
Classifier = classification.Classifier
SpanSelector = spans.SpanSelector
cross_entropy = classification.cross_entropy


def of_form(form: str, head_input: str) -> Head:
  """Returns the head on a text for a form of labels.

  Args:
    form: 'single', 'multilabel' or 'multiple_choice'.
    head_input: One of `runs.checks.CHOICES`, such as 'cls' or 'pooler'.

  Raises:
    errors.UserError: multiple choice has no such head.
  """
  name = head.name_of(form, head_input)
  if name not in HEADS:
    raise errors.UserError(
        f'`head_input={head_input}`: is not for {form}; give cls or pooler')
  return HEADS[name]


def make(
    shape: encoder_lib.BertConfig, configs: tuple[Any, ...], outputs: int,
    head_input: str, composition: Any = None,
) -> Model:
  """Makes the model of a base with adapters and a head.

  Args:
    shape: Config of the base.
    configs: Method configs of the adapters.
    outputs: Number of outputs of the head.
    head_input: Key of HEADS.
    composition: Tree over the methods from `setups.over_methods`, if any.
  """
  return HEADS[head_input].make(
      dataclasses.replace(shape, adapters=configs, composition=composition),
      outputs)
