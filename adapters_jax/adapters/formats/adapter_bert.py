"""Variable names of the authors' own code, adapter-bert (TensorFlow 1)."""

from collections.abc import Mapping
import re
from typing import Any

import numpy as np

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import adapterhub
from adapters_jax import errors
from adapters_jax.methods import bottleneck
from adapters_jax.model import encoder
from adapters_jax import trees

# Their bottleneck: BERT's own activation and a much smaller sigma.
_CONFIG = bottleneck.Bottleneck(activation='gelu_tanh', init_scale=1e-3)

# Applied in order to a path of ours.
_NAMES = (
    (r'^embeddings/norm/', 'bert/embeddings/LayerNorm/'),
    (r'^encoder/layer_', 'bert/encoder/layer_'),
    (r'/attention_norm/', '/attention/output/LayerNorm/'),
    (r'/ffn_norm/', '/output/LayerNorm/'),
    (r'/adapter_attention_output_0/', '/attention/output/adapters/'),
    (r'/adapter_ffn_output_0/', '/output/adapters/'),
    (r'/down/kernel$', '/weights1'), (r'/down/bias$', '/biases1'),
    (r'/up/kernel$', '/weights2'), (r'/up/bias$', '/biases2'),
    (r'^pooler/', 'bert/pooler/dense/'),
    (r'^head/kernel$', 'output_weights'), (r'^head/bias$', 'output_bias'),
    (r'LayerNorm/scale$', 'LayerNorm/gamma'),
    (r'LayerNorm/bias$', 'LayerNorm/beta'),
)
# What Adam and the training loop keep beside the variables.
_IGNORED = re.compile(r'/adam_[mv]$|^global_step$')


def name_of(path: str) -> str:
  """Returns what adapter-bert calls a tuned leaf."""
  for pattern, replacement in _NAMES:
    path = re.sub(pattern, replacement, path)
  return path


def from_variables(
    variables: Mapping[str, np.ndarray], shape: encoder.BertConfig
) -> adapter_lib.Adapter:
  """Returns the adapter, norms and head of a checkpoint's variables.

  Args:
    variables: {name: array} of a whole checkpoint or of its trained part; the
      rest of BERT is left alone.
    shape: Of the base.

  Raises:
    options.UserError: a variable is missing, or of another shape.
  """
  found = {name: np.asarray(value, np.float32)
           for name, value in variables.items() if not _IGNORED.search(name)}
  first = 'bert/encoder/layer_0/output/adapters/weights1'
  if first not in found or 'output_bias' not in found:
    raise errors.UserError(
        f'adapter-bert: there is no {first} or no output_bias')
  config = bottleneck.Bottleneck(**{
      **_CONFIG.__dict__, 'size': found[first].shape[1]})
  wanted = {**adapterhub.adapter_shapes((config,), shape),
            **{path: None for path in norm_paths(shape)},
            'head/kernel': None, 'head/bias': None}
  flat, missing = {}, []
  for path, leaf in wanted.items():
    name = name_of(path)
    if name not in found:
      missing.append(name)
    else:
      value = found[name]
      if name == 'output_weights':
        value = value.T
      elif '/biases' in name:
        value = value.reshape(-1)
      if leaf is not None and value.shape != leaf.shape:
        raise errors.UserError(
            f'adapter-bert: {name} is {found[name].shape}, for a base of '
            f'another shape')
      flat[path] = value
  if missing:
    raise errors.UserError(
        f'adapter-bert: {len(missing)} variables are missing, such as '
        f'{missing[0]}')
  return adapter_lib.Adapter((config,), trees.unflatten(flat), 'pooler')


def to_variables(adapter: adapter_lib.Adapter) -> dict[str, np.ndarray]:
  """Returns an adapter as adapter-bert's variables.

  Raises:
    options.UserError: it is no Houlsby bottleneck at both sublayers with the
      tanh form of GELU, or its head does not read the pooler.
  """
  config = adapter.methods[0] if len(adapter.methods) == 1 else None
  plain = config is not None and config == bottleneck.Bottleneck(**{
      **_CONFIG.__dict__, 'size': getattr(config, 'size', None),
      'init_scale': getattr(config, 'init_scale', None) or 0.0})
  if not plain or adapter.head_input != 'pooler':
    raise errors.UserError(
        'adapter-bert has bottleneck[activation=gelu_tanh] in all layers, with '
        '--head_input=pooler, and nothing else')
  variables: dict[str, Any] = {}
  for path, leaf in trees.flatten(adapter.tuned).items():
    name = name_of(path)
    value = np.asarray(leaf, np.float32)
    if '/biases' in name:
      value = value[None]
    variables[name] = value.T if name == 'output_weights' else value
  return variables


def norm_paths(shape: encoder.BertConfig) -> list[str]:
  """Returns the paths of all layer norms' leaves."""
  stems = ['embeddings/norm'] + [
      f'encoder/layer_{layer}/{name}' for layer in range(shape.layers)
      for name in ('attention_norm', 'ffn_norm')]
  return [f'{stem}/{leaf}' for stem in stems for leaf in ('bias', 'scale')]
