"""From settings to what a run is made of: data, model, trees."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from adapters_jax.data import batching
from adapters_jax.data import files
from adapters_jax.data import tasks
from adapters_jax.data import tokenization
from adapters_jax import errors
from adapters_jax.layers import activations
from adapters_jax.methods import base as base_lib
from adapters_jax.methods import bottleneck
from adapters_jax.methods import prompt
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import workdirs
from adapters_jax.training import frozen_cache
from adapters_jax.training import optimizers
from adapters_jax.training import precision
from adapters_jax.training import sharding
from adapters_jax import trees

_SUBSET_SEED = 0


@dataclasses.dataclass(frozen=True)
class Setup:
  """What a run is made of, before it takes a step.

  Attributes:
    task: The task.
    splits: {split: tokenised examples}; unlabelled splits have labels -1.
    model: The classifier.
    mesh: The devices.
    base: The pretrained leaves that are not tuned, on the devices.
    tuned: The tuned tree at its initialisation.
    params: The whole tree at its initialisation, shapes only.
    select: Which paths are tuned.
    schedule: The training batches.
    steps: Steps to train.
    eval_every: Steps between evaluations.
    notes: What a reader of the record should know.
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
) -> tuple[base_lib.Method, ...]:
  """Returns the adapter methods that the flags describe."""
  if config.tune != 'adapters':
    return ()
  if config.adapter_config:
    config_lib.check_adapter_config(config)
    configs = strings.parse(config.adapter_config, '--adapter_config')
    strings.check_layers(configs, layers, '--adapter_config')
    return configs
  chosen = options.parse_layers(
      config.adapter_layers, layers, '--adapter_layers')
  sites = tuple(s.strip() for s in config.adapter_sites.split(',') if s.strip())
  return (bottleneck.Bottleneck(
      size=config.adapter_size, init_scale=config.init_scale,
      activation=config.activation, sites=sites, layers=chosen),)


def make_model(
    config: config_lib.Config, shape: encoder.BertConfig, outputs: int,
    device: Any = None,
) -> heads.Classifier:
  """Returns the classifier of the settings on an encoder of this shape.

  Args:
    config: The settings.
    shape: Of the encoder, without adapters.
    outputs: Classes, or 1 for regression.
    device: What it is to run on, the first device here when None.
  """
  chosen = precision.choose(config.precision, shape.dim // shape.heads, device)
  changed = {} if config.dropout < 0 else {
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
  """Returns the model that keeps to its rows where weights are sliced."""
  if 'fsdp' not in mesh.axis_names:
    return model
  return model.clone(config=dataclasses.replace(
      model.config, batch_sharding=sharding.of_batch(mesh)))


def make_select(config: config_lib.Config, layers: int) -> optimizers.Select:
  """Returns which paths the settings tune."""
  norm_layers = None
  if config.norm_layers == 'same':
    norm_layers = options.parse_layers(
        config.adapter_layers, layers, '--adapter_layers')
  return optimizers.make_select(
      config.tune, layers, config.tune_norms, norm_layers, config.top_k)


def check(
    config: config_lib.Config, experiment: str,
    find: Callable[[str], tasks.Task] = tasks.find,
) -> None:
  """Raises UserError for a wrong setting, before any download or compile.

  Args:
    config: The settings.
    experiment: The name that the run's folder carries.
    find: Knows the experiment's tasks by name.
  """
  config_lib.check_numbers(config)
  config_lib.check_choices(config)
  if config.tune not in optimizers.TUNE:
    raise errors.unknown('--tune', config.tune, optimizers.TUNE)
  if config.optimizer not in optimizers.OPTIMIZERS:
    raise errors.unknown(
        '--optimizer', config.optimizer, optimizers.OPTIMIZERS)
  if config.hidden_activation not in ('', *activations.ACTIVATIONS):
    raise errors.unknown('--hidden_activation', config.hidden_activation,
                          activations.ACTIVATIONS)
  if not config.files:
    find(config.task)
  shape = pretrained.config_of(config.checkpoint)
  configs = adapter_configs(config, shape.layers)
  if config.accumulate > 1 and any(c.needs_whole_batch for c in configs):
    raise errors.UserError(
        f'--accumulate={config.accumulate}: batch norm takes its statistics '
        'from a whole batch; give --accumulate=1 or inner_norm=layer')
  room = shape.positions - sum(c.positions_taken for c in configs)
  if config.max_length > room:
    raise errors.UserError(
        f'--max_length={config.max_length}: the model has {room} positions '
        'for text')
  if config.tune == 'top_k' and not 1 <= config.top_k <= shape.layers:
    raise errors.UserError(
        f'--top_k={config.top_k}: the model has {shape.layers} layers')
  if config.cache_frozen:
    frozen_cache.check(make_select(config, shape.layers), configs, shape.layers)
  workdirs.check(config, experiment)


def load_data(
    config: config_lib.Config,
) -> tuple[tasks.Task, dict[str, tasks.Split], list[str]]:
  """Returns (task, splits, notes on what was left out)."""
  if config.files:
    columns = tuple(c for c in config.text_columns.split(',') if c)
    task, splits = files.load(config.files, columns, config.label_column,
                              config.file_task == 'regression')
  else:
    task = tasks.find(config.task)
    splits = tasks.load(task, config.data_dir)
  notes = [] if config.files else tasks.notes(task, config.data_dir)
  train = splits['train']
  if rows := subset(config, len(train)):
    splits['train'] = tasks.Split(
        [train.texts[row] for row in rows], train.labels[rows])
    notes.append(f'trained on {len(rows)} of {len(train)} examples')
  return task, splits, notes


def subset(config: config_lib.Config, examples: int) -> list[int]:
  """Returns the rows to train on, [] for all: the same in every run."""
  if not 0 < config.train_examples < examples:
    return []
  order = np.random.default_rng(_SUBSET_SEED).permutation(examples)
  return sorted(order[:config.train_examples].tolist())


def prepare(
    config: config_lib.Config, mesh: jax.sharding.Mesh | None = None
) -> Setup:
  """Loads data and checkpoint, and initialises what is new.

  Args:
    config: The settings.
    mesh: The devices, the first one alone when None.
  """
  task, splits, notes = load_data(config)
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
  """Returns what a run on tokenised examples is made of.

  Args:
    config: The settings.
    folder: Of the checkpoint.
    task: The task.
    encoded: {split: examples}.
    notes: What a reader of the record should know.
    model_of: Makes the model on an encoder of the checkpoint's shape.
    mesh: The devices, the first one alone when None.
  """
  shape = pretrained.config_of(config.checkpoint)
  if mesh is None:
    mesh = sharding.make_mesh('data', config.batch_size, jax.devices()[:1])
  model = on_mesh(model_of(shape), mesh)
  base = pretrained.load_base(folder, pooler=config.head_input == 'pooler')
  select = make_select(config, shape.layers)
  tuned, params = init_tuned(model, base, select, config.seed, folder)
  _, base = trees.split(base, select)
  base = sharding.place(mesh, cast_base(config, base))
  tuned = sharding.place(mesh, tuned)
  buckets = batching.bucket_lengths(
      encoded['train'].lengths, 1 + config.buckets)
  if config.cache_frozen:
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
  """Returns the base in the precision of the settings."""
  if config.precision != 'bfloat16':
    return base
  return jax.tree.map(lambda leaf: leaf.astype('bfloat16'), base)


def init_tuned(
    model: heads.Classifier, base: trees.Tree, select: optimizers.Select,
    seed: int, folder: str,
) -> tuple[trees.Tree, trees.Tree]:
  """Returns (tuned tree in float32, shapes of the whole tree) at the start.

  Only what the base lacks is initialised; the rest of `init` is never computed.
  Prompts may begin as the words of a text, which the checkpoint's folder tells
  how to tokenise.
  """

  def tokenize(text):
    return tokenization.encode(
        tokenization.load(folder), [(text,)], model.config.positions)[0][0]

  params = trees.overlay(
      base, _fresh(model, jax.random.fold_in(jax.random.key(seed), 0), base))
  params = prompt.embed(model.config.adapters, params, tokenize)
  tuned, _ = trees.split(params, select)
  tuned = jax.tree.map(lambda leaf: leaf.astype('float32'), tuned)
  return tuned, jax.eval_shape(lambda tree: tree, params)


@functools.partial(jax.jit, static_argnums=0)
def _fresh(model, key, base):
  """Returns the initialised leaves that the base lacks."""
  old = set(trees.flatten(base))
  params = encoder.init(model, key, base)
  return trees.split(params, lambda path: path not in old)[0]


def shapes(model: heads.Classifier) -> trees.Tree:
  """Returns the shapes of a model's whole tree."""
  return jax.eval_shape(lambda: encoder.init(model, jax.random.key(0)))


def to_predictions(task: tasks.Task, logits: np.ndarray) -> np.ndarray:
  """Returns [examples] classes or scores of logits [examples, outputs]."""
  return logits.argmax(-1) if task.labels else logits[:, 0]


def artefact(portable: dict[str, Any], task: tasks.Task) -> dict[str, Any]:
  """Returns the settings saved with a tuned tree: all that using it needs."""
  return {'task': task.name, 'labels': list(task.labels),
          'texts': list(task.texts), 'config': portable}
