"""The entry 'config' of an adapter_config.json of AdapterHub."""

from collections.abc import Iterable
from typing import Any

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.methods import prompt
from adapters_jax.methods import values as values_lib
from adapters_jax.model import encoder

VERSION = 'adapters.1.3.0'  # Version that exported files name.


def from_config(
    values: dict[str, Any], version: str = VERSION
) -> tuple[methods.Method, ...]:
  """Returns the methods of the 'config' of an adapter_config.json.

  Args:
    values: Config as JSON has it.
    version: Version of the library that wrote it, '' if unknown.

  Raises:
    errors.UserError: a method or a value that is not supported.
  """
  architecture = values.get('architecture')
  if architecture == 'union':
    configs = [config for part in values_lib.needed(values, 'configs')
               for config in from_config(part, version)]
    # A stable sort: the library has invertible adapters before prompts.
    return tuple(sorted(configs, key=_comes_late))
  # One config may hold two methods: a bottleneck and an invertible adapter.
  found = tuple(kind.from_adapterhub(values, version)
                for kind in methods.classes() if kind.reads_adapterhub(values))
  if not found:
    known = dict.fromkeys(
        kind.adapterhub_architecture for kind in methods.classes())
    raise errors.unknown('`architecture`', architecture, filter(None, known))
  return found


def to_config(
    configs: Iterable[methods.Method], shape: encoder.BertConfig
) -> dict[str, Any]:
  """Returns the 'config' of an adapter_config.json for the methods.

  Args:
    configs: Methods of an adapter.
    shape: Shape of the base.

  Raises:
    errors.UserError: the library has no such method.
  """
  configs = tuple(configs)
  embedded = [c for c in configs if c.kind == 'embedding']
  if embedded != sorted(embedded, key=_comes_late):
    raise errors.UserError(
        'a prompt before an invertible adapter: the adapters library has them '
        "in the other order; train with 'seq_bn_inv|prompt_tuning' for it")
  written = [config.to_adapterhub(shape) for config in configs]
  # None: the entries go into another method's config, below.
  written = [values for values in written if values is not None]
  for config in configs:
    config.complete_adapterhub(written)
  if not written:
    raise errors.UserError(
        'there is no adapter to write; layer norms alone (`tune=norms`) go to '
        'PEFT, as LN_TUNING')
  if len(written) == 1:
    return written[0]
  kinds = [values.get('architecture') for values in written]
  # None stands for bottlenecks, and a union may hold several.
  for kind in {*kinds} - {None}:
    if kinds.count(kind) > 1:
      raise errors.UserError(
          f'{kind}: a union of the adapters library has no two of them (LoRA, '
          'DoRA, VeRA and IA3 are one kind)')
  return {'architecture': 'union', 'configs': written}


def _comes_late(config: methods.Method) -> bool:
  """Returns whether a method acts after all others at the embeddings."""
  return isinstance(config, prompt.PromptTuning)
