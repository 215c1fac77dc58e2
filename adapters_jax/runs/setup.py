"""Task, data, model and trees of a run, before its first step."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import os
from typing import Any

import jax
import numpy as np

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import settings
from adapters_jax.data import batching
from adapters_jax.data import files
from adapters_jax.data import tasks
from adapters_jax.data import tokenization
from adapters_jax.layers import activations
from adapters_jax.methods import base as methods_base
from adapters_jax.methods import prompt
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import workdirs
from adapters_jax.training import frozen_cache
from adapters_jax.training import optimizers
from adapters_jax.training import precision
from adapters_jax.training import sharding

_SUBSET_SEED = 0  # Not the run's: all seeds train on the same subset.


@dataclasses.dataclass(frozen=True)
class Setup:
  """Everything that a run needs apart from settings and progress.

  Attributes:
    task: Task.
    splits: {split: tokenised examples}; unlabelled splits have labels -1.
    model: Model with its head.
    mesh: Devices.
    base: Pretrained leaves that are not tuned, on the devices.
    tuned: Tuned tree at its initialisation.
    params: Shapes of the whole tree.
    select: Predicate of the tuned paths.
    schedule: Training batches.
    steps: Steps to train.
    eval_every: Steps between evaluations.
    notes: Remarks for the reader of the record.
  """
  task: tasks.Task
  splits: dict[str, batching.Examples]
  model: heads.Classifier
  mesh: jax.sharding.Mesh
  base: trees.Tree
  tuned: trees.Tree
  params: trees.Tree
  select: optimizers.Select
  schedule: batching.Schedule
  steps: int
  eval_every: int
  notes: tuple[str, ...]


def adapter_configs(
    config: config_lib.Config, layers: int
) -> tuple[methods_base.Method, ...]:
  """Returns the adapter methods of the settings, () without adapters.

  Args:
    config: Settings.
    layers: Number of layers of the model.

  Raises:
    errors.UserError: an unknown method, field or layer.
  """
  return settings.methods_of(dataclasses.asdict(config), layers)


def make_model(
    config: config_lib.Config, shape: encoder.BertConfig, outputs: int,
    device: Any = None,
) -> heads.Classifier:
  """Returns the classifier of the settings.

  Args:
    config: Settings.
    shape: Shape of the encoder, without adapters.
    outputs: Number of classes, or 1 for regression.
    device: Target device; the first one of this process when None.
  """
  chosen = precision.choose(
      config.precision, shape.dim // shape.heads, device)
  changed: dict[str, Any] = {} if config.dropout < 0 else {
      'dropout': config.dropout, 'attention_dropout': config.dropout}
  if config.hidden_activation:
    changed['activation'] = config.hidden_activation
  shape = dataclasses.replace(
      shape, adapters=adapter_configs(config, shape.layers),
      dtype=chosen.dtype, attention=chosen.attention, remat=config.remat,
      **changed)
  return heads.Classifier(shape, outputs, config.head_input)


def on_mesh(
    model: heads.Classifier, mesh: jax.sharding.Mesh
) -> heads.Classifier:
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


def selection_of(config: config_lib.Config, layers: int) -> optimizers.Select:
  """Returns the predicate of the paths that the settings tune.

  Args:
    config: Settings.
    layers: Number of layers of the model.
  """
  norm_layers = None
  if config.norm_layers == 'same':
    norm_layers = settings.parse_layers(
        config.adapter_layers, layers, 'adapter_layers')
  return optimizers.make_select(
      config.tune, layers, config.tune_norms, norm_layers, config.top_k)


def check(
    config: config_lib.Config, experiment: str,
    find: Callable[[str], tasks.Task] = tasks.find,
) -> None:
  """Checks settings against task, base and folder, before any download.

  Args:
    config: Settings, each of them valid by itself.
    experiment: Name of the experiment, part of the folder.
    find: Look-up of the experiment's tasks by name.

  Raises:
    errors.UserError: a setting that cannot work.
  """
  if config.hidden_activation not in ('', *activations.ACTIVATIONS):
    raise errors.unknown('`hidden_activation`', config.hidden_activation,
                         activations.ACTIVATIONS)
  for split, path in config.files.items():
    if not os.path.isfile(path):
      raise errors.UserError(f'`{split}_file`: there is no file {path}')
  if not config.files:
    find(config.task)
  shape = pretrained.config_of(config.checkpoint)
  configs = adapter_configs(config, shape.layers)
  if config.accumulate > 1 and any(c.needs_whole_batch for c in configs):
    raise errors.UserError(
        f'`accumulate={config.accumulate}`: batch norm takes its statistics '
        'from a whole batch; give `accumulate=1` or inner_norm=layer')
  # Prompts among the words take positions of the text.
  room = shape.positions - sum(c.positions_taken for c in configs)
  if config.max_length > room:
    raise errors.UserError(
        f'`max_length={config.max_length}`: the model has {room} positions '
        'for text')
  if config.tune == 'top_k' and not 1 <= config.top_k <= shape.layers:
    raise errors.UserError(
        f'`top_k={config.top_k}`: the model has {shape.layers} layers')
  if config.cache_frozen:
    frozen_cache.check_config(
        selection_of(config, shape.layers), configs, shape.layers)
  workdirs.check_free(config, experiment)


def load_data(
    config: config_lib.Config,
) -> tuple[tasks.Task, dict[str, tasks.Split], list[str]]:
  """Returns (task, splits, remarks for the record)."""
  if config.files:
    columns = tuple(c for c in config.text_columns.split(',') if c)
    task, splits = files.load(config.files, columns, config.label_column,
                              config.file_task == 'regression')
    return task, splits, []
  task = tasks.find(config.task)
  return (task, tasks.load(task, config.data_dir),
          tasks.notes(task, config.data_dir))


def subset(config: config_lib.Config, examples: int) -> list[int]:
  """Returns the rows to train on, equal in every run; [] for all.

  Args:
    config: Settings.
    examples: Number of training examples.
  """
  if not 0 < config.train_examples < examples:
    return []
  order = np.random.default_rng(_SUBSET_SEED).permutation(examples)
  # Larger subsets contain smaller ones.
  return sorted(order[:config.train_examples].tolist())


def prepare(
    config: config_lib.Config, mesh: jax.sharding.Mesh | None = None, *,
    data: Any = None,
) -> Setup:
  """Loads data and base, and initialises the new leaves.

  Args:
    config: Settings.
    mesh: Devices; the first one alone when None.
    data: (task, splits, notes); those of `load_data` when None.
  """
  task, splits, notes = data or load_data(config)
  train = splits['train']
  if rows := subset(config, len(train)):
    splits = {**splits, 'train': tasks.Split(
        [train.texts[row] for row in rows], train.labels[rows])}
    notes = [*notes, f'trained on {len(rows)} of {len(train)} examples']
  folder = pretrained.resolve(config.checkpoint)
  tokenizer = tokenization.load(folder)
  encoded = {
      name: batching.Examples(
          *tokenization.encode(tokenizer, split.texts, config.max_length),
          split.labels)
      for name, split in splits.items()}
  return assemble(config, folder, task, encoded, notes,
                  lambda shape: make_model(config, shape, task.outputs), mesh)


def assemble(
    config: config_lib.Config, folder: str, task: tasks.Task,
    encoded: dict[str, batching.Examples], notes: Sequence[str],
    model_of: Callable[[encoder.BertConfig], Any],
    mesh: jax.sharding.Mesh | None = None,
) -> Setup:
  """Returns the setup of a run on tokenised examples.

  Args:
    config: Settings.
    folder: Folder of the checkpoint.
    task: Task.
    encoded: {split: examples}.
    notes: Remarks for the reader of the record.
    model_of: (shape of the encoder) -> model.
    mesh: Devices; the first one alone when None.
  """
  shape = pretrained.config_of(config.checkpoint)
  if mesh is None:
    mesh = sharding.make_mesh('data', config.batch_size, jax.devices()[:1])
  model = on_mesh(model_of(shape), mesh)
  base = pretrained.load_base(folder, pooler=config.head_input == 'pooler')
  select = selection_of(config, shape.layers)
  # With the whole base: full fine-tuning starts from its leaves.
  tuned, params = init_tuned(model, base, select, config.seed, folder)
  _, base = trees.split(base, select)
  # Cast after the split: tuned leaves stay float32.
  base = sharding.place(mesh, cast_base(config, base))
  tuned = sharding.place(mesh, tuned)
  # The setting does not count the longest length.
  buckets = batching.bucket_lengths(
      encoded['train'].lengths, 1 + config.buckets)
  if config.cache_frozen:
    # Last: `params` and `tuned` above belong to the whole model.
    first = frozen_cache.first_layer(
        select, model.config.adapters, shape.layers)
    encoded = frozen_cache.cached(
        model, base, tuned, encoded, first, mesh=mesh, buckets=buckets,
        batch_size=config.batch_size)
    model = frozen_cache.above(model, first)
  schedule = batching.Schedule(
      encoded['train'], buckets, config.batch_size, config.seed,
      local_rows=sharding.local_rows(mesh, config.batch_size))
  per_epoch = schedule.steps_per_epoch
  return Setup(
      task, encoded, model, mesh, base, tuned, params, select, schedule,
      steps=config.max_steps or max(1, round(config.epochs * per_epoch)),
      eval_every=config.eval_every or per_epoch, notes=tuple(notes))


def cast_base(config: config_lib.Config, base: trees.Tree) -> trees.Tree:
  """Returns the base in the precision of the settings.

  Args:
    config: Settings.
    base: Frozen leaves.
  """
  if config.precision != 'bfloat16':
    return base
  return jax.tree.map(lambda leaf: leaf.astype('bfloat16'), base)


def init_tuned(
    model: heads.Classifier, base: trees.Tree, select: optimizers.Select,
    seed: int, folder: str,
) -> tuple[trees.Tree, trees.Tree]:
  """Initialises the leaves that the base lacks, and no others.

  Args:
    model: Model with its head.
    base: Pretrained tree.
    select: Predicate of the tuned paths.
    seed: Seed of the run.
    folder: Folder of the checkpoint, whose tokenizer a prompt may need to
      begin as the words of a text.

  Returns:
    (tuned tree in float32, shapes of the whole tree).
  """

  def tokenize(text):
    return tokenization.encode(
        tokenization.load(folder), [(text,)], model.config.positions)[0][0]

  # 0 for the new leaves; `compiled` folds in 1 for dropout.
  params = trees.overlay(
      base, _fresh(model, jax.random.fold_in(jax.random.key(seed), 0), base))
  params = prompt.embed(model.config.adapters, params, tokenize)
  tuned, _ = trees.split(params, select)
  tuned = jax.tree.map(lambda leaf: leaf.astype('float32'), tuned)
  # Shapes alone, so that the arrays of the base can be freed.
  return tuned, jax.eval_shape(lambda tree: tree, params)


@functools.partial(jax.jit, static_argnums=0)
def _fresh(model, key, base):
  """Returns the initialised leaves that the base lacks."""
  old = set(trees.flatten(base))
  params = encoder.init(model, key, base)
  # XLA drops the computation of every leaf that is not returned.
  return trees.split(params, lambda path: path not in old)[0]


def model_shapes(model: heads.Classifier) -> trees.Tree:
  """Returns the shapes of a model's whole tree."""
  return jax.eval_shape(lambda: encoder.init(model, jax.random.key(0)))
