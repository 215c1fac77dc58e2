"""Lines that name a run by the settings in which it differs. No JAX here."""

from collections.abc import Callable, Iterable
import dataclasses

from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options


def line_of(
    among: Iterable[config_lib.Config]
) -> Callable[[config_lib.Config], str]:
  """Returns line(run): its task and those settings that vary among runs.

  The settings are compared once, not for every line.

  Args:
    among: Settings of all runs.
  """
  among = list(among)
  hidden = {'task', *options.marked(config_lib.Config, 'where')}
  paths = options.marked(config_lib.Config, 'path')
  tasks = [run.task_name for run in among]
  count = len(set(tasks))

  def varies(name):
    values = [getattr(run, name) for run in among]
    # Own data name their task, but a task that is named may have several.
    if name in paths:
      return len(set(zip(tasks, values, strict=True))) > count
    return len(set(values)) > 1

  names = [f.name for f in dataclasses.fields(config_lib.Config)
           if f.name not in hidden and varies(f.name)]
  return lambda run: ' '.join([
      run.task_name, *(f'--{name}={getattr(run, name)}' for name in names)])
