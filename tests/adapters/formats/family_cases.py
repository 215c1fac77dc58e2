"""Adapters of every family, for the tests of files of other libraries."""

import dataclasses

import jax
import numpy as np

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import places
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax import trees
from tests import tiny_families

OUTPUTS = 3


def _cases(adapterhub: bool) -> tuple[str, ...]:
  """Returns the cases, but BERT's, of the families that a library has."""
  rows = {case: models.FOREIGN.get(values['model_type'])
          for case, values in tiny_families.VALUES.items()
          if values['model_type'] not in ('bert', *tiny_families.OTHER_LAYERS)
          and case not in tiny_families.REPEATED}
  return tuple(case for case, row in rows.items()
               if row and (row.in_adapterhub or not adapterhub))


ADAPTERHUB, PEFT = _cases(True), _cases(False)
# {case: head of transformers' classifiers, where it is not 'pooler'}
HEADS = {'distilbert': 'cls_relu', 'deberta': 'cls_gelu',
         'electra': 'cls_gelu', 'electra-small': 'cls_gelu'}
_TOKENS = 9


def make(
    case: str, text: str, head_input: str | None = 'pooler', norms: bool = False
) -> adapter_lib.Adapter:
  """Returns an adapter with random leaves.

  Args:
    case: Key of tiny_families.VALUES.
    text: Method string; '' for none.
    head_input: Input of the head, 'pooler' with a layer of the task's own;
      'peft' for that of transformers; None for no head.
    norms: Whether it has tuned norms in all layers.
  """
  shape = tiny_families.config(case)
  if head_input == 'peft':
    head_input = HEADS.get(case, 'pooler')
  configs = strings.parse(text) if text else ()
  rng = np.random.default_rng(5)

  def draw(*size):
    return 0.3 * rng.standard_normal(size, np.float32)

  flat = {path: draw(*leaf.shape)
          for path, leaf in places.leaf_shapes(configs, shape).items()}
  outputs = 2 if head_input == 'tokens' else OUTPUTS
  if head_input:
    flat |= {'head/kernel': draw(shape.dim, outputs),
             'head/bias': draw(outputs)}
  first = {'pooler': 'pooler', 'cls_relu': 'head_first',
           'cls_gelu': 'head_first', 'cls_norm': 'head_first',
           'mean_norm': 'head_first'}.get(head_input)
  if first:
    flat |= {f'{first}/kernel': draw(shape.dim, shape.dim)}
    if head_input not in heads.classification.NORMED:
      flat[f'{first}/bias'] = draw(shape.dim)
    else:
      flat['head_norm/scale'] = 1 + draw(shape.dim)
      if shape.norm_bias:
        flat['head_norm/bias'] = draw(shape.dim)
  if norms:
    flat |= {f'encoder/layer_{layer}/{name}/{leaf}': 1 + draw(shape.dim)
             for layer in range(shape.layers)
             for name in ('attention_norm', 'ffn_norm')
             for leaf in ('bias', 'scale')}
    if shape.distance_buckets:
      flat |= {f'encoder/relative_norm/{leaf}': 1 + draw(shape.dim)
               for leaf in ('bias', 'scale')}
  return adapter_lib.Adapter(
      configs, trees.unflatten(flat), head_input or 'cls',
      family=shape.family)


def batch(case: str, plain: bool = False) -> dict[str, np.ndarray]:
  """Returns tokens, segments and mask [3, 9], without padding.

  Args:
    case: Key of tiny_families.VALUES.
    plain: Whether all tokens have segment 0, in all families.
  """
  tokens = np.random.default_rng(4).integers(
      5, tiny_families.VALUES[case]['vocab_size'], (3, _TOKENS), np.int32)
  segments = np.zeros_like(tokens)
  if tiny_families.config(case).segments == 2 and not plain:
    segments[:, 4:] = 1
  return {'tokens': tokens, 'segments': segments,
          'mask': np.ones_like(tokens, bool)}


def outputs(
    case: str, adapter: adapter_lib.Adapter, plain: bool = False
) -> np.ndarray:
  """Returns our logits, or our last hidden states without a head."""
  shape = tiny_families.config(case)
  base = pretrained.from_hugging_face(tiny_families.tensors(case), shape.family)
  inputs = batch(case, plain)
  inputs = inputs['tokens'], inputs['segments'], inputs['mask']
  if adapter.outputs is None:
    model = encoder.Bert(dataclasses.replace(shape, adapters=adapter.methods))
  else:
    model = heads.make(
        shape, adapter.methods, adapter.outputs, adapter.head_input)
  found = model.apply({'params': trees.overlay(base, adapter.tuned)}, *inputs)
  return jax.device_get(found if adapter.outputs is not None else found[-1])
