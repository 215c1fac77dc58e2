"""The user's own files as tasks, and settings that depend on the classes."""

from adapters_jax import errors
from adapters_jax.data import choices
from adapters_jax.data import class_weights
from adapters_jax.data import files
from adapters_jax.data import label_sets
from adapters_jax.data import tasks
from adapters_jax.runs import config as config_lib


def check_classes(config: config_lib.Config, task: tasks.Task) -> None:
  """Checks the settings that are for tasks with classes.

  Args:
    config: Settings, each of them valid by itself.
    task: Task.

  Raises:
    errors.UserError: a setting that the task has no use for, or a weight of an
      unknown class.
  """
  choice = task.form == 'multiple_choice'
  if choice and config.cache_frozen:
    raise errors.UserError(
        '`cache_frozen`: is for tasks without choices; leave it out')
  for name in ('class_weights', 'label_smoothing', 'threshold'):
    unfit = not task.labels or choice and name != 'label_smoothing'
    if unfit and getattr(config, name):
      raise errors.UserError(
          f'`{name}={getattr(config, name)}`: is for tasks with classes; leave '
          'it out')
  if config.threshold and task.form == 'single' and len(task.labels) != 2:
    raise errors.UserError(
        f'`threshold={config.threshold}`: is for two classes, and the task has '
        f'{len(task.labels)}; leave it out')
  class_weights.check(config.class_weights, task.labels)


def read(
    config: config_lib.Config
) -> tuple[tasks.Task, dict[str, tasks.Split]]:
  """Returns (task, splits) of the user's own files."""
  if config.file_task == 'multilabel':
    return label_sets.load(
        config.files, config.columns, config.label_columns,
        config.label_separator, config.dev_fraction, config.test_fraction)
  if config.file_task == 'multiple_choice':
    columns = config.choices
    return choices.load(
        config.files, config.columns if columns else (), columns,
        config.label_column if columns else '', config.dev_fraction,
        config.test_fraction)
  return files.load(
      config.files, config.columns, config.label_column,
      config.file_task == 'regression', config.dev_fraction,
      config.test_fraction)
