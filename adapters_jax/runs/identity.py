"""Identity of a run: its settings without places, and their hash. No JAX."""

from collections.abc import Iterable, Mapping
import dataclasses
import hashlib
import json
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.adapters import folders
from adapters_jax.downloads import assets
from adapters_jax.downloads import file_hash
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.runs import version

# {field: the only value of `tune` that reads it}
OF_TUNE = {'adapter_config': 'adapters', 'top_k': 'top_k'}


def portable(config: config_lib.Config) -> dict[str, Any]:
  """Returns the settings without places, and the version of the numbers.

  Files are named with a hash.
  """
  values = {version.FIELD: version.of(config.file_task),
            **dataclasses.asdict(config)}
  for name in options.marked(config_lib.Config, 'where'):
    values.pop(name)  # Some have the mark 'path' too, hence `get` below.
  for name in options.marked(config_lib.Config, 'path'):
    if path := values.get(name):  # Hashed: in any folder it gives the same run.
      try:
        digest = file_hash.kept_sha256(path)[:16]
        values[name] = f'{os.path.basename(path)}@{digest}'
      except OSError as error:
        raise errors.UserError(
            f'`{name}`: {path} cannot be read ({error.strerror})') from error
  if config.adapters:
    values['adapters'] = folders.with_hashes(config.adapters)
  if config.start:
    values['start'] = folders.with_hash(config.start)
  values['task'] = config.task_name
  if assets.is_folder(config.checkpoint):
    from adapters_jax.model import tensor_files  # Imports numpy.
    folder = os.path.abspath(config.checkpoint)
    with errors.within('`checkpoint`'):
      digest = tensor_files.folder_digest(folder)
    values['checkpoint'] = f'{os.path.basename(folder)}@{digest}'
  return values


@dataclasses.dataclass(frozen=True)
class Origin:
  """Names and hashes of a run's inputs, taken when it reads them.

  Files may change while it trains.

  Attributes:
    settings: Result of `portable`.
    base: Result of `model.base.identity`.
    base_files: Result of `model.base.file_hashes`.
  """
  settings: dict[str, Any]
  base: str
  base_files: dict[str, str]


def origin_of(config: config_lib.Config) -> Origin:
  """Returns the origin of a run; call it before the run reads its inputs."""
  from adapters_jax.model import base as base_lib  # Imports JAX.
  return Origin(portable(config), base_lib.identity(config.checkpoint),
                base_lib.file_hashes(config.checkpoint))


def completed(values: dict[str, object]) -> dict[str, object]:
  """Returns saved settings, with first defaults for fields they lack."""
  places = options.marked(config_lib.Config, 'where')
  values = {**{k: v for k, v in _defaults().items() if k not in places},
            **values}
  return {**values, 'task': config_lib.task_of(values)}


def _defaults() -> dict[str, Any]:
  """Returns the values of settings that saved ones lack."""
  return {version.FIELD: version.FIRST,
          **{field.name: field.metadata['first']
             for field in dataclasses.fields(config_lib.Config)}}


def without_unread(
    config: config_lib.Config, before: config_lib.Config
) -> config_lib.Config:
  """Resets the fields that `tune` does not read.

  Runs that differ only in such fields train equal models, so they share a name.

  Args:
    config: Settings of a point of a grid.
    before: Settings around the grid. Fields of layer norms become theirs, not
      the defaults, after which no earlier record would be named.
  """
  unread = {name for name, tune in OF_TUNE.items() if config.tune != tune}
  norms = {}
  if config.tune != 'adapters':
    unread |= {*options.marked(config_lib.Config, 'bottleneck')}
    if config.tune != 'fusion':
      norms = {name: getattr(before, name)
               for name in ('tune_norms', 'norm_layers')}
      if before.norm_layers == 'same':
        norms['adapter_layers'] = before.adapter_layers
    elif config.norm_layers == 'same':
      unread -= {'adapter_layers'}
  usual = {name: getattr(config_lib.Config, name) for name in unread}
  return dataclasses.replace(config, **usual | norms)


def of_portable(values: dict[str, Any], **changed: Any) -> config_lib.Config:
  """Returns the settings of a record.

  Args:
    values: Result of `portable`, perhaps of an earlier version.
    **changed: Fields to replace, places among them.
  """
  values = {**completed(values), **changed}
  values.pop(version.FIELD)
  return config_lib.Config(**values)


def differing(settings: Iterable[Mapping[str, Any]]) -> list[str]:
  """Returns the names of the settings that are not equal in all.

  Args:
    settings: Results of `completed`, or parts of them.
  """
  first, *others = [*settings] or [{}]
  return [name for name in first
          if any(other.get(name) != first[name] for other in others)]


def digest(values: dict[str, object]) -> str:
  """Returns 12 hex digits that name the settings.

  Settings at their first default are left out, so that neither a new field nor
  a new default renames a run; so is the task of own data if it is only the name
  of their file.
  """
  defaults = _defaults()
  if values.get('train_file'):  # Own data are named after their file.
    values = {**values, 'task': config_lib.task_of({'task': '', **values})}
    defaults['task'] = config_lib.task_of({**values, 'task': ''})
  changed = {k: v for k, v in values.items() if v != defaults.get(k)}
  text = json.dumps(changed, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]
