"""Heads of masked language modelling in the files of `adapters`."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import weights
from adapters_jax.methods import values as values_lib
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import heads

ROW = heads.masked_lm.MASKED_LM
_LAYOUT = ROW.adapterhub[0]
_CLASS = 'ForMaskedLM'  # Suffix of the names of transformers' classes.
# {leaf: tensor name in a torch Sequential}; module 1 is the activation.
_LEAVES = {
    f'{part}/{leaf}': f'{number}.{name}'
    for part, number in _LAYOUT.layers.items()
    for leaf, name in {'head/dense': {'kernel': 'weight', 'bias': 'bias'},
                       'head/norm': {'scale': 'weight', 'bias': 'bias'},
                       'head': {'bias': 'bias'}}[part].items()}
_DECODER = _LAYOUT.layers['head']


def is_one(values: Mapping[str, Any]) -> bool:
  """Returns whether a head_config.json describes masked language modelling.

  Args:
    values: JSON of the file; its 'config' is null for a head of transformers.
  """
  config = values.get('config')
  if config:
    return config.get('head_type') == _LAYOUT.kind
  return str(values.get('model_class')).endswith(_CLASS)


def read(
    values: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
    shape: encoder.BertConfig, base: Callable[[], trees.Tree] | None = None,
) -> trees.Tree:
  """Returns the partial tree of a head.

  Args:
    values: JSON of head_config.json.
    tensors: Tensors of the head's file; the decoder may be absent, as it is
      tied to the word embeddings.
    shape: Shape of the base.
    base: Makes the pretrained tree, whose word embeddings the decoder must
      equal; None skips the check.

  Raises:
    errors.UserError: another activation, other layers, or another decoder.
  """
  config = values.get('config')
  if config:
    _check_layers(config, shape)
    end = f'.{_DECODER}.bias'
    stem = next((key.removesuffix(end) for key in tensors
                 if key.endswith(end)), 'heads')
    table = {leaf: f'{stem}.{name}' for leaf, name in _LEAVES.items()}
    decoders = {f'{stem}.{_DECODER}.weight'}
  else:
    table = dict(families.FAMILIES[shape.family].masked_lm)
    if not table:
      raise errors.UserError(
          f'head: {values.get("model_class")} has a kind of head that is not '
          'read; give `head=False` to leave it out')
    stem = table['head/bias'].removesuffix('.bias')
    decoders = {f'{stem}.weight', f'{stem}.decoder.weight'}
    tensors = {families.modern_name(key): value
               for key, value in tensors.items()}
  flat = {}
  for leaf, name in table.items():
    value = np.asarray(values_lib.needed(dict(tensors), name), np.float32)
    flat[leaf] = value.T if leaf.endswith('/kernel') else value
  for name in decoders & tensors.keys():
    _check_decoder(name, tensors[name], base)
  return trees.unflatten(flat)


def _check_layers(
    config: Mapping[str, Any], shape: encoder.BertConfig
) -> None:
  """Raises UserError for a head whose layers differ from this package's."""
  activation = heads.masked_lm.activation_of(shape)
  name = config.get('activation_function')
  if not _LAYOUT.matches(config) or (
      values_lib.ACTIVATIONS.get(name) != activation):
    raise errors.UserError(
        f'head: a masked_lm head of {config.get("layers")} layers ({name}) is '
        f'not supported; one of two layers with {activation} and a layer norm '
        'is; give `head=False` to leave it out')


def _check_decoder(
    name: str, decoder: np.ndarray, base: Callable[[], trees.Tree] | None
) -> None:
  """Raises UserError for a decoder that differs from the word embeddings."""
  if base is None:
    return
  words = base()['embeddings']['words']['embedding']
  # Tolerances allow for the rounding of a base in bfloat16.
  if decoder.shape != words.shape or not np.allclose(
      np.asarray(decoder, np.float32), np.asarray(words, np.float32),
      rtol=0.01, atol=1e-6):
    raise errors.UserError(
        f'head: {name} differs from the embeddings of the words; decoders of '
        'their own are not supported; give `head=False` to leave the head out')


def write(
    name: str, adapter: adapter_lib.Adapter, shape: encoder.BertConfig
) -> tuple[dict[str, Any], weights.Tensors]:
  """Returns (config, tensors) of a head, without the decoder.

  The library ties the decoder to the word embeddings when it builds the head,
  so that a file without it gives the same outputs, and is smaller by their
  size.

  Args:
    name: Name of the adapter in the files.
    adapter: Adapter with such a head.
    shape: Shape of the base.
  """
  flat = trees.flatten({'head': adapter.tuned['head']})
  if adapter.hidden_activation:
    shape = dataclasses.replace(shape, activation=adapter.hidden_activation)
  activation = heads.masked_lm.activation_of(shape)
  dense = flat['head/dense/kernel']
  config = {
      'head_type': _LAYOUT.kind, _LAYOUT.count: adapter.outputs,
      'embedding_size': dense.shape[1], 'label2id': None,
      'activation_function': values_lib.activation_word(activation),
      **_LAYOUT.values, **_LAYOUT.written}
  return config, {
      f'heads.{name}.{theirs}': np.asarray(
          flat[leaf].T if leaf.endswith('/kernel') else flat[leaf], np.float32)
      for leaf, theirs in _LEAVES.items()}
