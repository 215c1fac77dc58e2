"""Reads out the attention of AdapterFusion over its members."""

from collections.abc import Sequence
import functools
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import compiled
from adapters_jax.adapters import readings
from adapters_jax.adapters import resident
from adapters_jax.data import batching
from adapters_jax.data import sequences
from adapters_jax.model import base as base_lib
from adapters_jax.model import encoder
from adapters_jax.model import fusion
from adapters_jax.model import setups

# Tokens, segments and mask; the names of modules do not depend on the shapes.
_EXAMPLE = [jax.ShapeDtypeStruct((1, 8), kind)
            for kind in (np.int32, np.int32, np.bool_)]


def fusion_attention(
    base: base_lib.Base, adapter: adapter_lib.Adapter,
    texts: arguments.Texts, batch_size: int = 32,
) -> dict[str, np.ndarray]:
  """Returns the weights that a fusion gives to its members.

  Args:
    base: Pretrained encoder.
    adapter: Adapter with one trained Fuse.
    texts: Inputs, as for `prediction.predict`.
    batch_size: Maximum texts a step.

  Returns:
    {site: [layers with the fusion, texts, members] float32}: weights averaged
    over the positions of a text that the fusion adapts, those of a prompt
    included, and over its windows or choices. Sites are 'attention_output' and
    'ffn_output'; members are in the order of the Fuse. The weight is 0 where a
    member has no module. All weights of a text are 0 if it gives no input, such
    as a text without words in tagging, or ends before the fusion's part of a
    Split.

  Raises:
    errors.UserError: an adapter without a trained fusion or with several; texts
      of another form.
  """
  arguments.demand_base(base, 'fusion_attention(base, adapter, texts)')
  arguments.demand_adapter(adapter)
  arguments.demand_count('batch_size', batch_size)
  fuses = setups.fuses(adapter.setup)
  if len(fuses) != 1:
    raise errors.UserError(
        f'`adapter`: {len(fuses)} fuses; give a trained fusion, which has one')
  compiled.check_adapter(base, adapter)
  rows = sequences.as_list('texts', texts)
  read = readings.read(base, adapter, rows)
  readings.log_cut(len(read.cut), len(rows))
  model = compiled.model_of(base, adapter)
  step = _make_step(encoder.Bert(model.config))
  params = {name: leaves for name, leaves in trees.overlay(
      base.params, adapter.tuned).items() if not trees.is_above(name)}
  # Shapes from a trace, as there may be no batch.
  found = {
      name: np.zeros((len(read.examples), leaf.shape[-1]), np.float32)
      for name, leaf in jax.eval_shape(step, params, *_EXAMPLE).items()}
  for chosen, batch in batching.eval_batches(
      read.examples, readings.BUCKETS,
      resident.fitting(len(read.examples), int(batch_size))):
    with compiled.matmul_precision(base):
      weights = step(params, batch['tokens'], batch['segments'], batch['mask'])
    for name, values in weights.items():
      found[name][chosen] = np.asarray(values)[:len(chosen)]
  sites: dict[str, list[np.ndarray]] = {}
  for name in sorted(found, key=lambda one: trees.layer_of(f'{one}/') or 0):
    site = name.rpartition('adapter_fusion_')[2].rpartition('_')[0]
    there = _has_module(adapter, site, trees.layer_of(f'{name}/') or 0)
    means = np.zeros((len(rows), len(there)), np.float32)
    means[:, there] = _mean_by_owner(found[name], read.owners, len(rows))
    sites.setdefault(site, []).append(means)
  return {site: np.stack(layers) for site, layers in sites.items()}


def _has_module(
    adapter: adapter_lib.Adapter, site: str, layer: int
) -> list[bool]:
  """Returns whether each member of the Fuse has a module at a site of a layer.

  Args:
    adapter: Adapter with one Fuse.
    site: Site of a sublayer.
    layer: Index of the layer.
  """
  fuse, = setups.fuses(adapter.composition)
  return [any(adapter.methods[index].applies(site, layer)
              for part in setups.parts(member)
              for index in range(part.start, part.stop))
          for member in fuse.members]


def _mean_by_owner(
    values: np.ndarray, owners: Sequence[int], count: int
) -> np.ndarray:
  """Returns the mean [texts, members] over the inputs of each text.

  Args:
    values: [inputs, members] float32.
    owners: Number of the text of each input. A text without any has zeros.
    count: Number of texts.
  """
  rows = np.asarray(owners, int)
  total = np.zeros((count, values.shape[-1]), np.float32)
  np.add.at(total, rows, values)
  inputs = np.bincount(rows, minlength=count).astype(np.float32)
  return total / np.maximum(inputs, 1)[:, None]


@functools.lru_cache(maxsize=8)
def _make_step(model: encoder.Bert) -> Any:
  """Returns step(params, tokens, segments, mask) -> {module: [batch, members]}.

  Args:
    model: Encoder with a fusion.
  """

  @jax.jit
  def step(params, tokens, segments, mask):
    _, kept = model.apply(
        {'params': params}, tokens, segments, mask, mutable=[fusion.WEIGHTS])
    return {path.removesuffix('/weights'): leaf
            for path, leaf in trees.flatten(kept[fusion.WEIGHTS]).items()}

  return step
