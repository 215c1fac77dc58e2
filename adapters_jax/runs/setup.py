"""Task, data, model and trees of a run, before its first step."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import jax
import numpy as np
import tokenizers

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.data import batching
from adapters_jax.data import bucketing
from adapters_jax.data import choices
from adapters_jax.data import class_weights
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import fingerprint
from adapters_jax.data import metrics
from adapters_jax.data import tasks
from adapters_jax.data import token_cache
from adapters_jax.data import tokenization
from adapters_jax.model import heads
from adapters_jax.model import precision
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import cut_inputs
from adapters_jax.runs import frozen
from adapters_jax.runs import identity
from adapters_jax.runs import models
from adapters_jax.runs import own_data
from adapters_jax.runs import shared_data
from adapters_jax.runs import start as start_lib
from adapters_jax.runs import task_checks
from adapters_jax.training import frozen_cache
from adapters_jax.training import selections
from adapters_jax.training import sharding

Facts = dict[str, dict[str, Any]]  # {split: number and hash of its examples}
_SUBSET_SEED = 0  # Not the run's seed: all runs train on the same subset.


@dataclasses.dataclass(frozen=True)
class Setup:
  """Everything that a run needs apart from settings and progress.

  Attributes:
    task: Task.
    splits: {split: tokenised examples}
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
    data: Facts of the examples.
    between: Called between the batches of an evaluation; an error that it
      raises ends the evaluation.
    threshold: Setting `threshold`: '', 'dev' or a probability.
    factors: Factor of the regularization of each trained Fuse block.
    start: Leaves of the adapter that the run starts from.
    origin: Names and hashes of the inputs; None outside of a group.
  """
  task: tasks.Task
  splits: dict[str, examples_lib.Examples]
  model: heads.Model
  mesh: jax.sharding.Mesh
  base: trees.Tree
  tuned: trees.Tree
  params: trees.Tree
  select: selections.Select
  schedule: batching.Schedule
  steps: int
  eval_every: int
  notes: tuple[str, ...]
  data: Facts
  _: dataclasses.KW_ONLY
  between: Callable[[], None] = lambda: None
  threshold: str = ''
  factors: tuple[float, ...] = ()
  start: trees.Tree = dataclasses.field(default_factory=dict)
  origin: identity.Origin | None = None

  def scored_splits(self) -> list[str]:
    """Returns the names of the labelled splits but 'train'."""
    return [split for split, examples in self.splits.items()
            if split != 'train' and examples.labelled]


def load_data(
    config: config_lib.Config,
) -> tuple[tasks.Task, dict[str, tasks.Split], list[str]]:
  """Returns (task, splits, remarks for the record)."""
  if config.file_task in ('pairs', 'text'):
    raise errors.UserError(
        f'`file_task={config.file_task}`: is for sentence embeddings or '
        'language modelling; leave it out')
  if config.files:
    task, splits = own_data.read(config)
    # `check_data` calls this too, before the first of many runs.
    return task_checks.checked(config, dataclasses.replace(
        task, name=config.task_name)), splits, []
  task = tasks.find(config.task)
  metrics.check(task)
  return (task, tasks.load(task, config.data_dir),
          tasks.notes(task, config.data_dir))


def drawn(
    config: config_lib.Config, splits: Mapping[str, Any],
    unit: str = 'examples', left_out: int = 0,
) -> tuple[dict[str, Any], list[str]]:
  """Draws the examples to train on, equal in every run.

  Args:
    config: Settings.
    splits: {split: examples, a list or a type with `take`}.
    unit: Name of the examples, such as 'sentences'.
    left_out: Number of further examples of the training file.

  Returns:
    (splits with these training examples, remarks for the record on examples
    that are held out of the training file or not drawn)
  """
  train = splits['train']
  held = [name for name, share in (
      ('dev', config.dev_fraction), ('test', config.test_fraction)) if share]
  total = left_out + sum(len(splits[name]) for name in ('train', *held))
  notes = [f'{name} is {len(splits[name])} of the {total} {unit} of train_file'
           for name in held]
  if not 0 < config.train_examples < len(train):
    return {**splits}, notes
  order = np.random.default_rng(_SUBSET_SEED).permutation(len(train))
  # Larger subsets contain smaller ones.
  rows = sorted(order[:config.train_examples].tolist())
  some = (train.take(rows) if hasattr(train, 'take')
          else [train[row] for row in rows])
  return ({**splits, 'train': some},
          [*notes, f'trained on {len(rows)} of {len(train)} {unit}'])


def tokenizer_of(
    config: config_lib.Config
) -> tuple[str, tokenizers.Tokenizer]:
  """Returns (folder of the checkpoint, its tokenizer)."""
  folder = pretrained.resolve(config.checkpoint)
  return folder, tokenization.load(
      folder, pretrained.config_of(config.checkpoint).vocab_size)


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
  named = None if data or config.files else tasks.find(config.task)
  task, encoded, notes, facts = shared_data.of(config, _made, data, named)
  # Again, as other runs may share the data.
  task = task_checks.checked(config, task)
  return assemble(
      config, pretrained.resolve(config.checkpoint), task, encoded, notes, mesh,
      facts, outputs=task.outputs,
      head=heads.of_form(task.form, config.head_input))


def _made(
    config: config_lib.Config, data: Any
) -> tuple[tasks.Task, dict[str, examples_lib.Examples], list[str], Facts]:
  """Returns (task, tokenised splits, remarks, facts); see `prepare`."""
  task, splits, notes = data or load_data(config)
  task = task_checks.checked(config, task)
  splits, remarks = drawn(config, splits)
  _, tokenizer = tokenizer_of(config)
  count = len(task.labels) if task.form == 'multiple_choice' else 0
  return task, {
      name: _encode(config, tokenizer, name, split, count)
      for name, split in splits.items()}, [*notes, *remarks], {
          name: fingerprint.of_split(split) for name, split in splits.items()}


def _encode(
    config: config_lib.Config, tokenizer: tokenizers.Tokenizer, name: str,
    split: tasks.Split, count: int,
) -> examples_lib.Examples:
  """Returns a tokenised split, and logs how many of its inputs are cut.

  Args:
    config: Settings.
    tokenizer: Tokenizer.
    name: Name of the split.
    split: Examples.
    count: Number of choices of each example; 0 for texts without choices.
  """
  texts = choices.flat(split.texts) if count else split.texts
  tokens, segments, cut = token_cache.encode(
      tokenizer, texts, config.max_length)
  cut_inputs.log(config, name, cut, len(texts))
  return examples_lib.Examples(
      tokens, segments, split.labels, labelled=split.labelled, choices=count)


def _buckets(
    config: config_lib.Config, lengths: np.ndarray, mesh: jax.sharding.Mesh
) -> tuple[int, ...]:
  """Returns the input lengths, in tokens, to which batches are padded."""
  shapes = precision.batching(mesh.devices.flat[0])
  # One more, as the setting does not count the longest length.
  return bucketing.bucket_lengths(
      lengths, shapes.lengths(1 + config.buckets), shapes.multiple)


def steps_of(config: config_lib.Config, per_epoch: float) -> int:
  """Returns the number of steps of a run.

  Args:
    config: Settings.
    per_epoch: Steps an epoch.
  """
  if config.tune == 'none':
    return 1  # Trains nothing: all steps score alike.
  return config.max_steps or max(1, round(config.epochs * per_epoch))


def assemble(
    config: config_lib.Config, folder: str, task: tasks.Task,
    encoded: Mapping[str, examples_lib.Examples], notes: Sequence[str],
    mesh: jax.sharding.Mesh | None, data: Facts, *,
    outputs: int, head: heads.Head,
) -> Setup:
  """Returns the setup of a run on tokenised examples.

  Args:
    config: Settings.
    folder: Folder of the checkpoint.
    task: Task.
    encoded: {split: examples}.
    notes: Remarks for the reader of the record.
    mesh: Devices; the first one alone when None.
    data: Facts of the examples.
    outputs: Number of the head's outputs.
    head: Head, which the checkpoint or a saved adapter may hold.
  """
  shape = pretrained.config_of(config.checkpoint)
  if mesh is None:
    mesh = sharding.one_device()
  model = models.on_mesh(
      models.make_model(config, shape, outputs, head=head), mesh)
  if config.cache_frozen:
    frozen_cache.check_model(model)
  base = models.pretrained_tree(config, folder, head)
  base = trees.overlay(base, frozen.of(config).tuned)
  select = models.selection_of(config, shape.layers)
  # On the whole base, as full fine-tuning starts from its leaves.
  start = start_lib.leaves(config, head, task)
  tuned, params = models.init_tuned(
      model, base, select, config.seed, folder, start)
  if config.tune == 'none' and params.keys() - base.keys():
    raise errors.UserError(
        '`tune=none`: the new head would stay untrained; give it for sentence '
        'embeddings, or for a masked-language head that the checkpoint holds')
  base = trees.overlay(
      models.frozen_leaves(config, base, select), trees.split(start, select)[1])
  # Cast after the split: tuned leaves stay float32.
  base = sharding.distribute(mesh, precision.cast(config.precision, base))
  tuned = sharding.distribute(mesh, tuned)
  buckets = _buckets(config, encoded['train'].lengths, mesh)
  if config.cache_frozen:
    # After `params` and `tuned`, which are those of the whole model.
    first = frozen_cache.first_layer(
        select, model.config.adapters, shape.layers)
    encoded = frozen_cache.cached(
        model, base, tuned, encoded, first, mesh=mesh, buckets=buckets,
        batch_size=config.batch_size)
    model = frozen_cache.above(model, first)
  schedule = batching.Schedule(
      encoded['train'], buckets, config.batch_size, config.seed,
      local_rows=sharding.local_rows(mesh, config.batch_size),
      class_weights=class_weights.per_class(
          config.class_weights, task.labels, encoded['train'].labels))
  per_epoch = schedule.steps_per_epoch
  return Setup(
      task, dict(encoded), model, mesh, base, tuned, params, select, schedule,
      steps=steps_of(config, per_epoch),
      eval_every=(1 if config.tune == 'none' else
                  config.eval_every or per_epoch), notes=tuple(notes),
      # A copy, as other runs may share it.
      data={name: {**facts} for name, facts in data.items()},
      threshold=config.threshold,
      factors=frozen.of(config).factors if config.tune == 'fusion' else (),
      start=start)
