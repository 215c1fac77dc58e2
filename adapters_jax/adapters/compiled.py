"""Adapters on a base: checks, models and compiled steps."""

from collections.abc import Sequence
import dataclasses
import functools
import logging
from typing import Any

import jax
import tokenizers

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.data import choices
from adapters_jax.data import sequences
from adapters_jax.data import tokenization
from adapters_jax.data import tokenizer_files
from adapters_jax.downloads import file_hash
from adapters_jax.methods import strings
from adapters_jax.model import base as base_lib
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import precision
from adapters_jax.model import setups
from adapters_jax.model import shapes as shapes_lib
from adapters_jax.training import steps

_log = logging.getLogger(__name__)

Model = heads.Model


def model_of(base: base_lib.Base, adapter: adapter_lib.Adapter) -> Model:
  """Returns the model of an adapter on a base.

  Models of equal configs are equal, so they serve as keys of the caches below.

  Args:
    base: Pretrained encoder.
    adapter: Adapter with a head.

  Raises:
    errors.UserError: an adapter without a head.
  """
  if not adapter.head.dense:
    raise errors.UserError(
        '`adapter`: it is for sentence embeddings and has no classes; '
        'aj.encode embeds texts with it')
  if adapter.head.pretrained:
    raise errors.UserError(
        '`adapter`: it was trained by masked language modelling and predicts '
        'no labels; stack an adapter of a task on it, or embed texts with '
        'aj.encode')
  if adapter.outputs is None:
    raise errors.UserError('`adapter`: it has no head to predict with')
  return heads.make(
      encoder_config(base, adapter.hidden_activation), adapter.methods,
      adapter.outputs, adapter.head_input, adapter.composition)


def encoder_config(
    base: base_lib.Base, activation: str = ''
) -> encoder.BertConfig:
  """Returns the config of an encoder in the precision of its base.

  Args:
    base: Pretrained encoder.
    activation: Activation of the feed-forward sublayers; that of the base when
      empty.
  """
  shape = base.config
  chosen = precision.choose(base.precision, shape.head_dim)
  return dataclasses.replace(
      shape, dtype=chosen.dtype, attention=chosen.attention,
      products=chosen.products, activation=activation or shape.activation)


def params_of(base: base_lib.Base, adapter: adapter_lib.Adapter) -> trees.Tree:
  """Returns the leaves of the base that the adapter's model reads.

  Args:
    base: Pretrained encoder.
    adapter: Adapter; the pooler is left out if its head does not read it.
  """
  # `check_adapter` refuses leaves that the model lacks.
  return {name: leaves for name, leaves in base.params.items()
          if name != 'pooler' or adapter.head.pooled}


def check_leaves(
    params: trees.Tree, tuned: trees.Tree, model: heads.Model | encoder.Bert,
    what: str,
) -> None:
  """Raises UserError for leaves that do not fit a model.

  The base may have leaves that the model does not read: some methods leave out
  a layer norm.

  Args:
    params: Leaves of the base.
    tuned: Leaves of the adapter.
    model: Model.
    what: Name of the adapter in the message.
  """
  wanted = shapes_lib.of(model)
  known = trees.flatten(wanted)
  read = {path: leaf for path, leaf in trees.flatten(params).items()
          if path in known}
  trees.check_same(
      trees.overlay(trees.unflatten(read), tuned), wanted, what)


def check_adapter(
    base: base_lib.Base, adapter: adapter_lib.Adapter,
    what: str = 'the adapter',
) -> None:
  """Raises UserError for an adapter that the base cannot run.

  Args:
    base: Pretrained encoder.
    adapter: Adapter.
    what: Name of the adapter in the message.
  """
  check_base(base.identity, adapter, what)
  strings.check_layers(adapter.methods, base.config.layers, what)
  check_fuses(base, adapter, what)
  check_leaves(params_of(base, adapter), adapter.tuned,
               model_of(base, adapter), what)
  with errors.within(what):
    adapter.check_labels()


def check_fuses(
    base: base_lib.Base, adapter: adapter_lib.Adapter, what: str
) -> None:
  """Raises UserError for a Fuse without its trained attention.

  Args:
    base: Pretrained encoder.
    adapter: Adapter.
    what: Name of the adapter in the message.
  """
  if not setups.fuses(adapter.setup):
    return
  wanted = shapes_lib.of(encoder.Bert(dataclasses.replace(
      encoder_config(base, adapter.hidden_activation),
      adapters=adapter.methods, composition=adapter.composition)))
  own = trees.flatten(adapter.tuned)
  if any(trees.is_fusion(path) and path not in own
         for path in trees.flatten(wanted)):
    raise errors.UserError(
        f"{what}: its fuse has not been trained; aj.train with method='fusion' "
        'and under=bank trains it')


def check_base(identity: str, adapter: adapter_lib.Adapter, what: str) -> None:
  """Raises UserError for an adapter that was trained on another base.

  Args:
    identity: Identity of the base.
    adapter: Adapter; one of unknown origin passes, unless an adapter is folded
      into the base.
    what: Name of the adapter in the message.
  """
  if base_lib.same(adapter.base, identity):
    return
  if base_lib.is_folded(identity):
    raise errors.UserError(
        '`base`: an adapter is folded into it, and only the adapter that '
        f'aj.fold returned with it fits; {what} is another: give the base as '
        'before the fold')
  check_not_folded(adapter, what)
  if not adapter.base:
    return
  name = base_lib.repository_of(identity)
  if name and name == base_lib.repository_of(adapter.base):
    raise errors.UserError(
        f'`base`: the weights of {name} on the hub are not those that {what} '
        f'was trained on ({adapter.base}, now {identity}); give '
        f'{name}@REVISION with the commit of that time, or a folder with those '
        'weights')
  raise errors.UserError(
      f'`base`: {identity} is not the base that {what} was trained on '
      f'({adapter.base})')


def check_not_folded(adapter: adapter_lib.Adapter, what: str) -> None:
  """Raises UserError for the rest of an adapter that is folded into a base.

  Args:
    adapter: Adapter.
    what: Name of the adapter in the message.
  """
  if base_lib.is_folded(adapter.base):
    raise errors.UserError(
        f'`base`: {what} fits only the base that aj.fold returned with it; '
        'give that one, or the adapter as before the fold')


def warn_of_files(
    checkpoint: str, adapter: adapter_lib.Adapter, what: str
) -> None:
  """Logs which files of a base differ from those of the training.

  Args:
    checkpoint: Name or folder of the base.
    adapter: Adapter; one without hashes of files passes.
    what: Name of the adapter in the message.
  """
  if changed := file_hash.changed(
      adapter.base_files, base_lib.file_hashes(checkpoint)):
    _log.warning(
        '%s of %s has changed since %s was trained; results may differ',
        ' and '.join(changed), checkpoint, what)


def max_length(base: base_lib.Base, adapter: adapter_lib.Adapter) -> int:
  """Returns the longest input in tokens, prompts excluded.

  Args:
    base: Pretrained encoder.
    adapter: Adapter, whose `max_length` is a limit too.
  """
  return min(adapter.max_length, free_positions(base, adapter.methods))


def free_positions(base: base_lib.Base, methods: Sequence[Any]) -> int:
  """Returns the number of positions that the prompts of methods leave to texts.

  Args:
    base: Pretrained encoder.
    methods: Methods of an adapter.
  """
  return base.config.longest - sum(
      config.positions_taken for config in methods)


def check_texts(
    adapter: adapter_lib.Adapter, number: int, row: Sequence[Any]
) -> Sequence[Any]:
  """Returns the texts of an input after checking their number and type.

  Args:
    adapter: Adapter.
    number: Index of the input, for the message.
    row: Its texts; with choices (context, choices).

  Raises:
    errors.UserError: a wrong number of texts, or not strings.
  """
  wanted = adapter.texts
  if any(map(sequences.is_missing, row)):
    raise errors.UserError(
        f'`texts[{number}]`: is missing; leave the row out')
  if adapter.head.choices:
    return choices.checked_row(row, f'`texts[{number}]`')
  if len(row) != len(wanted) or not all(isinstance(text, str) for text in row):
    raise errors.UserError(
        f'`texts[{number}]`: give {len(wanted)} '
        f'text{"s" * (len(wanted) > 1)} ({", ".join(wanted)}), as strings')
  return row


def matmul_precision(base: base_lib.Base) -> Any:
  """Returns a context with the base's matmul precision, for this thread."""
  shape = base.config
  # Thread-local: a library leaves JAX's global configuration alone.
  return jax.default_matmul_precision(
      precision.choose(base.precision, shape.head_dim).matmul)


# Models hash and compare by their configs, so that these caches hold from call
# to call: a second call with the same shapes compiles nothing.
@functools.lru_cache(maxsize=128)
def eval_step(model: Model) -> Any:
  """Returns the jitted step (base, tuned, batch) -> logits of a model."""
  return steps.make_eval_step(model)


def tokenizer_of(base: base_lib.Base) -> tokenizers.Tokenizer:
  """Returns the tokenizer of a base, read once until its files change."""
  return _tokenizer(
      base.folder, base.config.vocab_size,
      file_hash.stamps(base.folder, tokenizer_files.FILES))


@functools.lru_cache(maxsize=8)
def _tokenizer(
    folder: str, vocab_size: int, stamps: tuple[file_hash.Stamp, ...]
) -> tokenizers.Tokenizer:
  del stamps  # Part of the cache's key: a folder's content may change.
  return tokenization.load(folder, vocab_size)
