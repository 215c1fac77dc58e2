"""The user's own files as tasks."""

from adapters_jax.data import choices
from adapters_jax.data import files
from adapters_jax.data import label_sets
from adapters_jax.data import tasks
from adapters_jax.runs import config as config_lib


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
