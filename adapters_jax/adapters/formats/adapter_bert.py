"""Variables of the paper authors' code, adapter-bert (TensorFlow 1)."""

from collections.abc import Callable, Mapping
import dataclasses
import re
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import places
from adapters_jax.methods import bottleneck
from adapters_jax.model import encoder
from adapters_jax.model import families

# Its bottleneck has BERT's own activation, and a tenth of the paper's sigma.
HIDDEN_ACTIVATION = 'gelu_tanh'
_CONFIG = bottleneck.Bottleneck(
    activation=HIDDEN_ACTIVATION, init_scale=1e-3)

_LEAVES = {'down/kernel': 'weights1', 'down/bias': 'biases1',
           'up/kernel': 'weights2', 'up/bias': 'biases2'}
_HEAD = {'head/kernel': 'output_weights', 'head/bias': 'output_bias'}
# Patterns that turn Hugging Face's names back into the original variables.
_VARIABLES = (
    (r'\.layer\.(\d+)\.', r'/layer_\1/'),
    (r'LayerNorm\.weight$', 'LayerNorm/gamma'),
    (r'LayerNorm\.bias$', 'LayerNorm/beta'),
    (r'\.weight$', '/kernel'),
    (r'\.', '/'),
)
# State of Adam and of the training loop.
_IGNORED = re.compile(r'/adam_[mv]$|^global_step$')
_POOLER = ('pooler/kernel', 'pooler/bias')


def tensor_name(path: str) -> str:
  """Returns adapter-bert's name of a tuned leaf."""
  if path in _HEAD:
    return _HEAD[path]
  if trees.role(path) != 'adapter':
    return _variable(families.their_name(path))
  _, where = places.find(path, (_CONFIG,))
  return f'{_variable(where.module)}/adapters/{_LEAVES[where.leaf]}'


def _variable(name):
  """Returns the variable for a name in Hugging Face's BERT."""
  for pattern, replacement in _VARIABLES:
    name = re.sub(pattern, replacement, name)
  return f'bert/{name}'


def from_variables(
    variables: Mapping[str, np.ndarray], shape: encoder.BertConfig
) -> adapter_lib.Adapter:
  """Returns the adapter, norms and head of a checkpoint's variables.

  Args:
    variables: {name: array} of a whole checkpoint or of its trained part; the
      rest of BERT is ignored.
    shape: Shape of the base.

  Raises:
    errors.UserError: a variable is missing, or an adapter's has another shape
      or no place.
  """
  found = {name: np.asarray(value, np.float32)
           for name, value in variables.items() if not _IGNORED.search(name)}
  first = 'bert/encoder/layer_0/output/adapters/weights1'
  if first not in found or 'output_bias' not in found:
    raise errors.UserError(
        f'adapter-bert: there is no {first} or no output_bias')
  # weights1 is [dim, size].
  config = dataclasses.replace(_CONFIG, size=found[first].shape[1])
  wanted = {**places.leaf_shapes((config,), shape),
            # None allows any shape, as the number of classes is unknown.
            **{path: None for path in norm_paths(shape)},
            'head/kernel': None, 'head/bias': None}
  pooler = dict.fromkeys(_POOLER)
  if all(tensor_name(path) in found for path in pooler):
    wanted |= pooler  # Present if the pooler was trained with the head.
  flat, missing, misshapen = {}, [], []
  for path, leaf in wanted.items():
    name = tensor_name(path)
    if name not in found:
      missing.append(name)
    else:
      value = found[name]
      if name == 'output_weights':
        value = value.T  # [outputs, dim] in BERT's code
      elif '/biases' in name:
        value = value.reshape(-1)  # [1, n] in the file
      if leaf is not None and value.shape != leaf.shape:
        misshapen.append(f'{name} is {value.shape}, not {leaf.shape}')
      flat[path] = value
  # Without the adapters of further layers, the outputs would be others.
  used = {tensor_name(path) for path in wanted}
  left = [name for name in found if '/adapters/' in name and name not in used]
  with places.on_base(shape):
    if left:
      raise errors.UserError(
          f'adapter-bert: {left[0]} has no place in the model')
    if misshapen:
      raise errors.UserError(f'adapter-bert: {misshapen[0]}')
    if missing:
      raise errors.UserError(
          f'adapter-bert: {len(missing)} variables are missing, such as '
          f'{missing[0]}')
  return adapter_lib.Adapter(
      (config,), trees.unflatten(flat), 'pooler',
      hidden_activation=HIDDEN_ACTIVATION)


def to_variables(
    adapter: adapter_lib.Adapter,
    base: Callable[[], trees.Tree] | None = None,
) -> dict[str, np.ndarray]:
  """Returns an adapter as adapter-bert's variables.

  Args:
    adapter: Adapter to write.
    base: Makes the pretrained tree, for layer norms, and leaves of a pooler,
      that were not trained. The authors' code needs them in the file.

  Raises:
    errors.UserError: its method is not the Houlsby bottleneck at both sublayers
      with the tanh form of GELU, its head does not read the pooler, or there is
      no head, or no base for untrained norms.
  """
  if adapter.outputs is None:
    raise errors.UserError(
        '`head`: adapter-bert has no files without a head; leave out '
        '`head=False`, or give another format')
  config, *others = adapter.methods or (None,)
  plain = (not others and isinstance(config, bottleneck.Bottleneck)
           # Any size and sigma are fine: they are no part of the code.
           and dataclasses.replace(
               config, size=_CONFIG.size, init_scale=_CONFIG.init_scale)
           == _CONFIG)
  if not plain or adapter.head_input != 'pooler':
    raise errors.UserError(
        'adapter-bert has bottleneck[activation=gelu_tanh] in all layers, with '
        '`head_input=pooler`, and nothing else')
  variables: dict[str, Any] = {}
  for path, leaf in _with_norms(adapter, base).items():
    name = tensor_name(path)
    value = np.asarray(leaf, np.float32)
    if '/biases' in name:
      value = value[None]
    variables[name] = value.T if name == 'output_weights' else value
  return variables


def _with_norms(
    adapter: adapter_lib.Adapter, base: Callable[[], trees.Tree] | None
) -> dict[str, Any]:
  """Returns an adapter's {path: leaf} with all norms, and a whole pooler."""
  flat = trees.flatten(adapter.tuned)
  # Its bottlenecks are in all layers.
  layers = {trees.layer_of(path) for path in flat} - {None}
  wanted = {*norm_paths(encoder.BertConfig(layers=len(layers)))}
  if 'pooler' in adapter.tuned:  # It may have the bias alone.
    wanted |= {*_POOLER}
  lacking = wanted - {*flat}
  if not lacking:
    return flat
  if base is None:
    raise errors.UserError(
        '`base`: layer norms, and leaves of a pooler, that were not trained '
        'are part of the file; give the base of the adapter')
  known = trees.flatten(base())
  return flat | {path: known[path] for path in sorted(lacking)}


def norm_paths(shape: encoder.BertConfig) -> list[str]:
  """Returns the paths of all layer norms' leaves."""
  stems = ['embeddings/norm'] + [
      f'encoder/layer_{layer}/{name}' for layer in range(shape.layers)
      for name in ('attention_norm', 'ffn_norm')]
  return [f'{stem}/{leaf}' for stem in stems for leaf in ('bias', 'scale')]
