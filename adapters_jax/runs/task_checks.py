"""Checks of the settings of a run against all that they name."""

from collections.abc import Callable

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import folders
from adapters_jax.data import class_weights
from adapters_jax.data import metrics
from adapters_jax.data import tasks
from adapters_jax.layers import activations
from adapters_jax.model import endings
from adapters_jax.model import families
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.model import setups
from adapters_jax.model import sites
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import file_checks
from adapters_jax.runs import frozen
from adapters_jax.runs import models
from adapters_jax.runs import start
from adapters_jax.runs import trackers
from adapters_jax.runs import workdirs
from adapters_jax.training import adapter_drop
from adapters_jax.training import frozen_cache


def check_run(
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
  trackers.names(config.track)
  file_checks.check(config)
  if config.setup:  # A flag; a bank in memory may hold adapters beyond a setup.
    setups.demand_all(
        setups.parse(config.setup), folders.parse(config.adapters))
  if not config.files:
    check_classes(config, find(config.task))
  check_model(config)
  workdirs.check_free(config, experiment)


def check_model(config: config_lib.Config) -> None:
  """Checks settings against the base, before its weights are downloaded.

  Args:
    config: Settings, each of them valid by itself.

  Raises:
    errors.UserError: a setting that does not fit the base.
  """
  if config.hidden_activation not in ('', *activations.ACTIVATIONS):
    raise errors.unknown('`hidden_activation`', config.hidden_activation,
                         activations.ACTIVATIONS)
  shape = pretrained.config_of(config.checkpoint)
  start.of(config)
  configs = models.adapter_configs(config, shape.layers)
  if config.accumulate > 1 and any(c.needs_whole_batch for c in configs):
    raise errors.UserError(
        f'`accumulate={config.accumulate}`: batch norm takes its statistics '
        'from a whole batch; give `accumulate=1` or inner_norm=layer')
  # Prompts among the words take positions of the text.
  room = shape.longest - sum(c.positions_taken for c in configs)
  if config.max_length > room:
    raise errors.UserError(
        f'`max_length={config.max_length}`: the model has {room} positions '
        'for text')
  families.check_head_input(shape, config.head_input)
  if config.tune == 'bias' and not (
      shape.attention_bias or shape.ffn_bias or shape.norm_bias):
    raise errors.UserError(
        f'`tune=bias`: this {shape.family} has no biases; give `tune=norms` or '
        '`tune=head`')
  own = models.own_configs(config, shape.layers)
  endings.check(configs, frozen.of(config).tree(len(own)), shape.layers)
  if shape.pre_norm:
    endings.check_pre_norm(
        configs, shape.family, config.adapter_config if own else '')
  else:
    sites.check_gate(configs, shape.family)
  if config.tune == 'top_k' and not 1 <= config.top_k <= shape.layers:
    raise errors.UserError(
        f'`top_k={config.top_k}`: the model has {shape.layers} layers')
  if config.dropped_layers:
    adapter_drop.check(config.dropped_layers, configs, shape.layers,
                       f'`adapter_drop={config.adapter_drop}`')
    if any(trees.role(path) == 'norm'
           for path in trees.flatten(frozen.of(config).tuned)):
      # Inference uses pretrained norms in layers without adapters; training
      # would use these.
      raise errors.UserError(
          f'`adapter_drop={config.adapter_drop}`: the frozen adapters have '
          'trained layer norms; leave it out, or give adapters trained with '
          '`tune_norms=False`')
  if config.cache_frozen:
    frozen_cache.check_config(
        models.selection_of(config, shape.layers), configs, shape.layers)


def checked(config: config_lib.Config, task: tasks.Task) -> tasks.Task:
  """Returns a task with the metric of the settings first.

  Args:
    config: Settings, each of them valid by itself.
    task: Task.

  Raises:
    errors.UserError: a setting that is not for the task.
  """
  task = metrics.with_first(task, config.metric)
  check_classes(config, task)
  return task


def check_classes(config: config_lib.Config, task: tasks.Task) -> None:
  """Checks the settings that are for tasks with classes, or for scores.

  Args:
    config: Settings, each of them valid by itself.
    task: Task.

  Raises:
    errors.UserError: a setting that the task has no use for, or a weight of an
      unknown class.
  """
  if task.form == 'single':
    head = heads.of_form(task.form, config.head_input)
    unfit = ''
    if task.labels and head.least_classes is None:
      unfit = 'is for scores, and the task has classes'
    elif not task.labels and head.has_classes(task.outputs):
      unfit = 'is for classes, and the task has scores'
    if unfit:
      raise errors.UserError(
          f'`head_input={config.head_input}`: {unfit}; give another, such as '
          '`head_input=cls`')
  choice = task.form == 'multiple_choice'
  if choice and config.cache_frozen:
    raise errors.UserError(
        '`cache_frozen`: is for tasks without choices; leave it out')
  for name in ('class_weights', 'label_smoothing', 'threshold'):
    useless = not task.labels or choice and name != 'label_smoothing'
    if useless and getattr(config, name):
      raise errors.UserError(
          f'`{name}={getattr(config, name)}`: is for tasks with classes; leave '
          'it out')
  if config.threshold and task.form == 'single' and len(task.labels) != 2:
    raise errors.UserError(
        f'`threshold={config.threshold}`: is for two classes, and the task has '
        f'{len(task.labels)}; leave it out')
  class_weights.check(config.class_weights, task.labels)
