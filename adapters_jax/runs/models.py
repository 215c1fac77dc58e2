"""Model, trees and tuned paths that the settings of a run describe."""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from adapters_jax import trees
from adapters_jax.adapters import settings
from adapters_jax.data import tokenization
from adapters_jax.methods import base as methods_base
from adapters_jax.methods import prompt
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import precision
from adapters_jax.model import pretrained
from adapters_jax.model import shapes as shapes_lib
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import frozen
from adapters_jax.training import frozen_cache
from adapters_jax.training import programs
from adapters_jax.training import selections
from adapters_jax.training import sharding


def adapter_configs(
    config: config_lib.Config, layers: int
) -> tuple[methods_base.Method, ...]:
  """Returns the adapter methods of the settings, frozen ones first.

  Args:
    config: Settings.
    layers: Number of layers of the model.

  Raises:
    errors.UserError: an unknown method, field or layer.
  """
  return (*frozen.of(config).methods, *own_configs(config, layers))


def own_configs(
    config: config_lib.Config, layers: int
) -> tuple[methods_base.Method, ...]:
  """Returns the methods that the run trains, without those of frozen adapters.

  Args:
    config: Settings.
    layers: Number of layers of the model.
  """
  return settings.methods_of(dataclasses.asdict(config), layers)


def make_model(
    config: config_lib.Config, shape: encoder.BertConfig, outputs: int,
    device: Any = None, head: heads.Head | None = None,
) -> heads.Model:
  """Returns the model of the settings.

  Args:
    config: Settings.
    shape: Shape of the encoder, without adapters.
    outputs: Number of classes, or 1 for regression.
    device: Device whose hardware limits the precision; the first one when None.
    head: Head; the classifier that the settings name when None.
  """
  chosen = precision.choose(
      config.precision, shape.head_dim, device)
  changed: dict[str, Any] = {} if config.dropout < 0 else {
      'dropout': config.dropout, 'attention_dropout': config.dropout}
  if config.hidden_activation:
    changed['activation'] = config.hidden_activation
  shape = dataclasses.replace(
      shape, adapters=adapter_configs(config, shape.layers),
      composition=frozen.of(config).tree(
          len(own_configs(config, shape.layers))),
      dtype=chosen.dtype, attention=chosen.attention,
      products=chosen.products, remat=config.remat,
      **changed)
  head = head or heads.HEADS[config.head_input]
  return head.make(shape, outputs)


def pretrained_tree(
    config: config_lib.Config, folder: str, head: heads.Head | None = None
) -> trees.Tree:
  """Returns the pretrained tree of a run.

  Args:
    config: Settings.
    folder: Folder of the checkpoint.
    head: Head of the run, which the checkpoint may hold.
  """
  base = pretrained.load_base(folder, pooler=config.head_input == 'pooler')
  if head is not None and head.pretrained:
    base |= pretrained.load_masked_lm(folder)
  if config.head_input in heads.classification.NORMED:
    base |= pretrained.load_head_start(folder)
  return base


def on_mesh(
    model: heads.Model, mesh: jax.sharding.Mesh
) -> heads.Model:
  """Returns the model with its hidden states pinned to the batch's devices.

  Only meshes with an `fsdp` axis need it: without the constraint XLA would
  move hidden states to the sliced weights instead of gathering the weights.

  Args:
    model: Model of the run.
    mesh: Devices.
  """
  if 'fsdp' not in mesh.axis_names:
    return model
  return model.clone(config=dataclasses.replace(
      model.config, batch_sharding=sharding.of_batch(mesh)))


def selection_of(config: config_lib.Config, layers: int) -> selections.Select:
  """Returns the predicate of the paths that the settings tune.

  Args:
    config: Settings.
    layers: Number of layers of the model.
  """
  norm_layers = None
  if config.norm_layers == 'same':
    norm_layers = settings.parse_layers(
        config.adapter_layers, layers, 'adapter_layers')
    # The methods decide, as `adapter_config` has layers of its own.
    if own := own_configs(config, layers):
      norm_layers = tuple(layer for layer in range(layers)
                          if frozen_cache.adapted(own, layer))
  return selections.make_select(
      config.tune, layers, config.tune_norms, norm_layers, config.top_k,
      len(frozen.of(config).methods))


def init_tuned(
    model: heads.Model, base: trees.Tree, select: selections.Select,
    seed: int, folder: str, start: trees.Tree | None = None,
) -> tuple[trees.Tree, trees.Tree]:
  """Initialises the leaves that the base lacks, and only those.

  Args:
    model: Model with its head.
    base: Pretrained tree.
    select: Predicate of the tuned paths.
    seed: Seed of the run.
    folder: Folder of the checkpoint, whose tokenizer prompts need that are
      initialised with the words of a text.
    start: Leaves of a saved adapter, which replace those of equal path.

  Returns:
    (tuned tree in float32, shapes of the whole tree).

  Raises:
    errors.UserError: the model lacks a leaf of `start`, or has another shape.
  """

  def tokenize(text):
    return tokenization.encode(
        tokenization.load(folder, model.config.vocab_size), [(text,)],
        model.config.longest)[0][0]

  # 0 for the new leaves; `compiled` folds in 1 for dropout.
  params = trees.overlay(base, _fresh(model)(
      jax.random.fold_in(jax.random.key(seed), 0), base))
  params = prompt.embed(model.config.adapters, params, tokenize)
  if not all(method.reads_norms for method in model.config.adapters):
    known = trees.flatten(shapes_lib.of(model))
    params, _ = trees.split(params, known.__contains__)
  if start:
    started = trees.overlay(params, jax.tree.map(jnp.asarray, start))
    trees.check_same(started, params, 'the adapter of `start`')
    params = started
  tuned, _ = trees.split(params, select)
  tuned = jax.tree.map(lambda leaf: leaf.astype('float32'), tuned)
  # Shapes alone, so that the arrays of the base can be freed.
  return tuned, jax.eval_shape(lambda tree: tree, params)


@functools.lru_cache(maxsize=8)
def _fresh(model):
  """Returns init(key, base) -> the initialised leaves that the base lacks."""

  @jax.jit
  def init(key, base):
    old = set(trees.flatten(base))
    params = encoder.init(model, key, base)
    # XLA drops the computation of every leaf that is not returned.
    return trees.split(params, lambda path: path not in old)[0]

  return programs.kept(init, ('init', model), sharding.one_device(),
                       model_classes(model))


def model_classes(model: heads.Model) -> tuple[type, ...]:
  """Returns the classes whose code a trace of a model executes."""
  return type(model), *map(type, model.config.adapters)


def frozen_leaves(
    config: config_lib.Config, base: trees.Tree, select: Callable[[str], bool]
) -> trees.Tree:
  """Returns the leaves of the base that are not tuned."""
  # With AdapterDrop, layers without adapters use the pretrained norms.
  return trees.split(base, lambda path: select(path) and not (
      config.adapter_drop and trees.role(path) == 'norm'))[1]
