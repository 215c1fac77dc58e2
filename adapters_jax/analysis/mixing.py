"""Checks that records may share a table: equal data, weights and results."""

from collections.abc import Iterable

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import options
from adapters_jax.runs import records as records_lib

# Settings of the data that change neither dev nor test.
_OF_TRAINING = ('checkpoint', 'max_length', 'train_examples')


def check_data(records: Iterable[records_lib.Record]) -> None:
  """Raises UserError if equal settings of the data name different examples."""
  names = options.marked(config_lib.Config, 'data')
  seen: dict[tuple[str, str], str] = {}
  for record in records:
    values = identity.completed(record.config)
    for split, facts in record.data.items():
      data = identity.digest({
          name: values[name] for name in names
          if split == 'train' or name not in _OF_TRAINING})
      before = seen.setdefault((data, split), facts['sha256'])
      if before != facts['sha256']:
        raise errors.UserError(
            f'records: {config_lib.task_of(values)} has other {split} examples '
            f'in some of them ({before} and {facts["sha256"]}); keep those of '
            'one data set')


def check_bases(records: Iterable[records_lib.Record]) -> None:
  """Raises UserError if one name of a base stands for different weights."""
  seen: dict[str, str] = {}
  for record in records:
    name = str(identity.completed(record.config)['checkpoint'])
    # Records of earlier versions name no weights.
    before = seen.setdefault(name, record.base) if record.base else ''
    if before != record.base:
      raise errors.UserError(
          f'records: {name} has other weights in some of them ({before} and '
          f'{record.base}); keep those of one revision')


def repeated(
    a: records_lib.Record, b: records_lib.Record
) -> errors.UserError:
  """Returns the error for two runs where one belongs; names both files.

  Args:
    a: Record of a run.
    b: Record of a run with the same seed, perhaps of the same settings.
  """
  values = [identity.completed(record.config) for record in (a, b)]
  differ = [f'{name} ({" and ".join(repr(one.get(name)) for one in values)})'
            for name in identity.differing(values)] + _first_score(a, b)
  # The arithmetic tells why runs that ask for two precisions are one.
  files = ' and '.join(
      f'{identity.digest(one)}.json ({", ".join(filter(None, said))})'
      for one, said in zip(values, (
          (record.date, record.device, record.arithmetic)
          for record in (a, b)), strict=True))
  return errors.UserError(
      f'records: {config_lib.task_of(values[0])} with seed '
      f'{values[0]["seed"]} is there twice, in {files}, which differ in '
      f'{", ".join(differ) or "nothing"}; keep one of them')


def _first_score(
    a: records_lib.Record, b: records_lib.Record
) -> list[str]:
  """Returns the first score in which two records differ in words, or []."""
  for one in (a, b):
    for split, scores in one.metrics.items():
      for name in scores:
        pair = [record.metrics.get(split, {}).get(name) for record in (a, b)]
        if pair[0] != pair[1]:
          return [f'{split} {name} ({pair[0]} and {pair[1]})']
  return []
