"""Joined linear layers in PEFT's files, such as ModernBERT's Wqkv.

PEFT has one adapter on a layer that this package splits into query, key and
value. Reading gives every part the first LoRA factor, and its share of the
second. Writing keeps the first factor if all parts share it. Otherwise the
LoRAs become one whose rank is the sum of theirs, which is exact: their first
factors are concatenated, and the second is block-diagonal.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from adapters_jax import errors
from adapters_jax.adapters.formats import weights
from adapters_jax.model import families

_IN, _OUT = 'lora_A.weight', 'lora_B.weight'
# [out, ...] tensors of PEFT, cut like the outputs of the layer.
_BY_OUTPUT = (_OUT, 'lora_magnitude_vector', 'ia3_l')
_MAGNITUDE, _SCALE = 'lora_magnitude_vector', 'ia3_l'


def split(tensors: weights.Tensors, family: str) -> weights.Tensors:
  """Returns the tensors of the parts of joined layers.

  Args:
    tensors: {name: tensor} of a file.
    family: Key of families.FAMILIES.

  Raises:
    errors.UserError: an adapter that cannot be split into parts, such as VeRA.
  """
  found: weights.Tensors = {}
  for key, value in tensors.items():
    module, leaf, parts = _joined(key, family)
    if not parts:
      found[key] = value
      continue
    if leaf not in (_IN, *_BY_OUTPUT) or (
        leaf != _IN and len(value) % len(parts) and len(value) > 1):
      raise errors.UserError(
          f'{key} of a PEFT adapter is not supported: {module} holds '
          f'{", ".join(parts)}, for which there are LoRA, DoRA and IA3')
    # All parts share a scale of inputs, of shape (1, in).
    shares = (np.split(value, len(parts))
              if leaf != _IN and len(value) > 1 else [value] * len(parts))
    found |= {f'{module}.{part}.{leaf}': share
              for part, share in zip(parts, shares, strict=True)}
  return _without_idle_gates(found, family)


def _without_idle_gates(
    tensors: weights.Tensors, family: str
) -> weights.Tensors:
  """Drops adapters of parts 'gate' that change nothing.

  This package writes such adapters if only `intermediate` was trained.
  """
  found = dict(tensors)
  for module, part in {_part(key, family)[:2] for key in tensors}:
    stem = f'{module}.{part}.'
    own = {key.removeprefix(stem): tensors[key]
           for key in tensors if key.startswith(stem)}
    idle = (set(own) == {_IN, _OUT} and not own[_OUT].any()
            or set(own) == {_SCALE} and len(own[_SCALE]) > 1
            and (own[_SCALE] == 1).all())
    if part == 'gate' and idle:
      for leaf in own:
        del found[stem + leaf]
  return found


def join(
    tensors: weights.Tensors, values: Mapping[str, Any], family: str
) -> tuple[weights.Tensors, dict[str, Any]]:
  """Returns the tensors of whole layers, and options that follow from them.

  Args:
    tensors: {name: tensor} of methods at linear layers.
    values: Entries of adapter_config.json.
    family: Key of families.FAMILIES.

  Returns:
    ({name: tensor}, rank and alpha if the rank has changed).

  Raises:
    errors.UserError: PEFT has no such adapter of a joined layer.
  """
  found: weights.Tensors = {}
  groups: dict[str, dict[str, weights.Tensors]] = {}
  for key, value in tensors.items():
    module, part, leaf = _part(key, family)
    if part:
      groups.setdefault(module, {}).setdefault(part, {})[leaf] = value
    else:
      found[key] = value
  for module, parts in groups.items():
    names = _parts_of(module, family)
    found |= {f'{module}.{leaf}': value
              for leaf, value in _whole(module, parts, names).items()}
  rank, own = values.get('r'), {
      key: len(value) for key, value in found.items() if key.endswith(_IN)}
  if not own or max(own.values()) == rank:
    return found, {}
  largest = max(own.values())
  for key in own:  # Pad to one rank for all layers; zeros change nothing.
    other = f'{key.removesuffix(_IN)}{_OUT}'
    missing = largest - own[key]
    found[key] = np.pad(found[key], ((0, missing), (0, 0)))
    found[other] = np.pad(found[other], ((0, 0), (0, missing)))
  ratio = largest / rank
  return found, {'r': largest, 'lora_alpha': values['lora_alpha'] * (
      ratio**0.5 if values.get('use_rslora') else ratio)}


def _whole(
    module: str, parts: Mapping[str, weights.Tensors], names: Iterable[str]
) -> weights.Tensors:
  """Returns {leaf: tensor} of a joined layer.

  Args:
    module: Name of the layer, for messages.
    parts: {part: {leaf: tensor}}, perhaps without some parts.
    names: All parts, in order.
  """
  present = [parts[name] for name in names if name in parts]
  absent = [name for name in names if name not in parts]
  leaves = set(present[0])
  if leaves - {_IN, *_BY_OUTPUT}:
    raise errors.UserError(
        f'PEFT has {", ".join(names)} in one layer, {module}, where this '
        'method has no counterpart; LoRA, DoRA and IA3 have')
  found = {}
  if _MAGNITUDE in leaves:
    _demand_all(module, 'DoRA', absent)
    found[_MAGNITUDE] = np.concatenate([part[_MAGNITUDE] for part in present])
  if _SCALE in leaves:
    first = present[0][_SCALE]
    if len(first) == 1:  # It scales the inputs, which all parts share.
      _demand_all(module, 'IA3 at inputs', absent)
      if any(not np.array_equal(part[_SCALE], first) for part in present):
        raise errors.UserError(
            f'PEFT has one IA3 for the inputs of {", ".join(names)}; those of '
            'this adapter differ')
      return {_SCALE: first}
    return {_SCALE: np.concatenate([
        parts[name][_SCALE] if name in parts else np.ones_like(first)
        for name in names])}
  first, outputs = present[0][_IN], len(present[0][_OUT])
  same = all(np.array_equal(part[_IN], first) for part in present)
  found[_IN] = first if same else np.concatenate(
      [part[_IN] for part in present])
  second, column = [], 0
  for name in names:
    share = np.zeros((outputs, len(found[_IN])), np.float32)
    if name in parts:
      rank = len(parts[name][_IN])
      share[:, column:column + rank] = parts[name][_OUT]
      column += 0 if same else rank
    second.append(share)
  return found | {_OUT: np.concatenate(second)}


def _demand_all(module: str, kind: str, absent: list[str]) -> None:
  if absent:
    raise errors.UserError(
        f'`sites`: {kind} of {module} in PEFT covers {", ".join(absent)} too; '
        'train with `sites=[query, key, value]` or `sites=[intermediate, '
        'gate]`')


def _joined(key: str, family: str) -> tuple[str, str, tuple[str, ...]]:
  """Returns (module, leaf, parts) of a joined layer's tensor, or empty ones."""
  for end, parts in families.FAMILIES[family].joined.items():
    module, found, leaf = key.partition(f'{end}.')
    if found and leaf.partition('.')[0] not in parts:
      return module + end, leaf, parts
  return '', '', ()


def _part(key: str, family: str) -> tuple[str, str, str]:
  """Returns (joined layer, part, leaf) of a part's tensor, or empty ones."""
  for end, parts in families.FAMILIES[family].joined.items():
    module, found, rest = key.partition(f'{end}.')
    part, _, leaf = rest.partition('.')
    if found and part in parts:
      return module + end, part, leaf
  return '', '', ''


def _parts_of(module: str, family: str) -> tuple[str, ...]:
  return next(parts for end, parts in families.FAMILIES[family].joined.items()
              if module.endswith(end))
