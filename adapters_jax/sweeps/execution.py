"""Options of how a sweep is executed. No JAX here."""

import dataclasses
import re

from adapters_jax import errors
from adapters_jax.runs import options
from adapters_jax.runs.options import option
from adapters_jax.sweeps import halving

LAUNCHERS = ('local', 'ray')


@dataclasses.dataclass(frozen=True)
class HowToRun:
  """Execution of a sweep; every field is a flag."""
  HELP = 'many runs'

  launcher: str = option(
      'local', "'local': one unit after the other; 'ray': on a cluster.")
  group: str = option(
      'auto', 'Runs of equal shapes that train as one program: a number, or '
      "'auto' to measure 1, 2, 4 and 8 and take the fastest.")
  address: str = option(
      '', "Address of a Ray cluster, 'auto' or host:port; a local one is "
      'started when empty.', '', 'ray')
  workers: int = option(
      0, 'Units at a time on Ray; 0 for one a GPU, or one a machine.', '',
      'ray')
  cpus_per_worker: int = option(
      0, "Cores of a Ray worker; 0 for an equal share of its machine's.", '',
      'ray')
  gpus_per_worker: int = option(
      -1, 'GPUs of a Ray worker; -1 for 1 if the cluster has any, else 0.', '',
      'ray')
  retries: int = option(
      3, 'Restarts of a unit whose Ray worker dies.', '', 'ray')
  stop: str = option(
      '', "'halving': train only the best settings further at each rung; "
      'nothing: train all runs to the end.')
  halving_factor: int = option(
      3, 'One in this many settings trains beyond a rung, and each rung comes '
      'after this many times the epochs of the one before.', '', 'halving')
  halving_first: float = option(
      1.0, 'Epochs before the first rung.', '', 'halving')


ALONE = HowToRun(group='1')  # Ungrouped runs, one after the other.


def check(how: HowToRun) -> None:
  """Raises UserError, with the name of the field, for a wrong option."""
  if how.launcher not in LAUNCHERS:
    raise errors.unknown('`launcher`', how.launcher, LAUNCHERS)
  if how.group != 'auto' and not (how.group.isdecimal() and int(how.group)):
    raise errors.UserError(f"`group={how.group}`: give 'auto' or 1 or more")
  for name, least in (('workers', 0), ('cpus_per_worker', 0),
                      ('gpus_per_worker', -1), ('retries', 0)):
    if getattr(how, name) < least:
      raise errors.UserError(
          f'`{name}={getattr(how, name)}`: give {least} or more')
  halving.check(how.stop, how.halving_factor, how.halving_first)
  for mark, place in (('ray', 'launcher'), ('halving', 'stop')):
    for name in options.marked(HowToRun, mark):
      if (getattr(how, place) != mark
          and getattr(how, name) != getattr(HowToRun, name)):
        raise errors.UserError(f'`{name}` goes with `{place}={mark}`')
  if how.address and not re.fullmatch(r'auto|[^/]+:\d+', how.address):
    raise errors.UserError(
        f"`address={how.address}`: give 'auto' or host:port")
