"""Runs that train together; a single run is a group of one.

One program trains several runs on one base: their states are stacked to
[runs, ...], while they share the base. Runs of a group may differ in the fields
of `config.Config` marked 'vmapped'. Narrow adapters are padded with zeros,
which stay zero as f(0) = 0 for every activation, and are cut back when saved.

Every run keeps its own data order, dropout and best step. The batches of one
step must have one shape, so the sequence of their lengths depends on no setting
of the run (`batching.Schedule`). A grouped run therefore equals, up to
rounding, the same run in any other group or alone; its record notes the group.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

import jax
import numpy as np

from adapters_jax import trees
from adapters_jax.data import class_weights
from adapters_jax.model import pretrained
from adapters_jax.runs import compiled
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import drawn_dev
from adapters_jax.runs import frozen
from adapters_jax.runs import identity
from adapters_jax.runs import models
from adapters_jax.runs import setup as setup_lib
from adapters_jax.runs.kinds import kind as kind_lib
from adapters_jax.training import adapter_drop
from adapters_jax.training import loop
from adapters_jax.training import sharding


@dataclasses.dataclass(frozen=True)
class Group:
  """Runs to train together.

  Attributes:
    configs: Settings of each run.
    setup: Shared setup, with the model of the widest run.
    members: Setup of each run, at its own size.
    names: Name of each run in messages.
  """
  configs: tuple[config_lib.Config, ...]
  setup: setup_lib.Setup
  members: tuple[setup_lib.Setup, ...]
  names: tuple[str, ...] = ()

  def __len__(self) -> int:
    return len(self.configs)

  def first(self, runs: int) -> 'Group':
    """Returns the group of the first runs alone."""
    return dataclasses.replace(
        self, configs=self.configs[:runs], members=self.members[:runs],
        names=self.names[:runs])

  def take(self, tree: Any, index: int) -> Any:
    """Returns one run's part of a tree.

    Args:
      tree: Tree with leaves [runs, ...], or [...] for a single run.
      index: Index of the run.
    """
    if len(self) == 1:
      return tree
    return jax.tree.map(lambda leaf: leaf[index], tree)


def make_group(
    configs: Sequence[config_lib.Config], kind: kind_lib.Kind,
    mesh: jax.sharding.Mesh | None = None, names: Sequence[str] = (),
) -> Group:
  """Loads data and base once, and initialises every run at its own size.

  Args:
    configs: Settings of each run.
    kind: Kind of their task.
    mesh: Devices; the first one alone when None.
    names: Name of each run in messages.
  """
  configs = tuple(configs)
  origins = [*map(identity.origin_of, configs)]  # Before the files are read.
  # The widest run gives the shapes to which all others are padded.
  setup = kind.prepare(max(configs, key=lambda c: c.adapter_size), mesh)
  setup = dataclasses.replace(setup, notes=(
      *setup.notes, *drawn_dev.notes(configs[0], kind, setup)))
  if len(configs) == 1:
    setup = dataclasses.replace(setup, origin=origins[0])
    return Group(configs, setup, (setup,), tuple(names))
  shape = setup.model.config
  # The whole base again: that of `setup` lacks the tuned leaves.
  folder = pretrained.resolve(configs[0].checkpoint)
  base = models.pretrained_tree(configs[0], folder, kind.head_of(configs[0]))
  base = trees.overlay(base, frozen.of(configs[0]).tuned)
  note = (f'trained as one of {len(configs)} runs of one program: times are '
          'its share')
  members = []
  for config, origin in zip(configs, origins, strict=True):
    model = setup.model.clone(config=dataclasses.replace(
        shape, adapters=models.adapter_configs(config, shape.layers),
        first_layer=0))  # Initialises the adapters of cached layers too.
    tuned, params = models.init_tuned(
        model, base, setup.select, config.seed, folder, setup.start)
    members.append(dataclasses.replace(
        setup, model=model, tuned=tuned, params=params, origin=origin,
        schedule=dataclasses.replace(
            setup.schedule, seed=config.seed,
            class_weights=class_weights.per_class(
                config.class_weights, setup.task.labels,
                setup.splits['train'].labels)),
        notes=(*setup.notes, note)))
  return Group(configs, setup, tuple(members), tuple(names))


def initial(group: Group) -> loop.Progress:
  """Returns the progress before the first step, [runs, ...] for several."""
  setup = group.setup

  def one(config, tuned):
    return loop.init_progress(compiled.initial_state(
        config, compiled.optimizer_of(config, setup), tuned))

  # `tuned` is an argument: in a closure it would be a constant of the program.
  if len(group) == 1:
    return sharding.create(
        setup.mesh, lambda tuned: one(group.configs[0], tuned), setup.tuned)
  return sharding.create(  # [runs, ...]; each state holds its run's own rate.
      setup.mesh,
      lambda tuned: trees.stack(map(one, group.configs, tuned)),
      [widen(member.tuned, setup.tuned) for member in group.members])


def group_batch(group: Group, step: int) -> dict[str, Any]:
  """Returns the arrays [batch, ...] of a step, [runs, batch, ...] for several.

  Args:
    group: Runs.
    step: Number of the step.
  """
  batches = [member.schedule.batch(step) for member in group.members]
  if len(batches) == 1:
    batch: dict[str, Any] = sharding.place_batch(
        group.setup.mesh, batches[0], group.configs[0].batch_size)
  else:
    batch = sharding.place_group(group.setup.mesh, batches)
  if choices := group.configs[0].dropped_layers:
    batch = {**batch, adapter_drop.DROPPED: np.arange(
        adapter_drop.number_at(choices, step))}
  return batch


def widen(tree: Any, like: Any) -> Any:
  """Returns a tree padded with zeros at the end of each axis.

  Args:
    tree: Tree of arrays.
    like: Tree of the shapes to reach.
  """
  def pad(leaf, wide):
    if leaf.shape == wide.shape:  # Such as random keys, which numpy lacks.
      return leaf
    return np.pad(leaf, [
        (0, b - a) for a, b in zip(leaf.shape, wide.shape, strict=True)])

  return jax.tree.map(pad, tree, like)


def narrow(tree: Any, like: Any) -> Any:
  """Undoes `widen`: keeps the first entries of each axis.

  Args:
    tree: Tree of arrays.
    like: Tree of the shapes to keep.
  """
  return jax.tree.map(
      lambda leaf, small: leaf[tuple(map(slice, small.shape))], tree, like)
