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


def two_results(
    a: records_lib.Record, b: records_lib.Record
) -> errors.UserError:
  """Returns the error for a run with two different results; names both."""
  values = identity.completed(a.config)
  split, name = next(
      (split, name) for one, other in ((a, b), (b, a))
      for split, scores in one.metrics.items() for name in scores
      if other.metrics.get(split, {}).get(name) != scores[name])

  def said(record):
    score = record.metrics.get(split, {}).get(name)
    return ' '.join(filter(None, (
        'no score' if score is None else str(score), record.date,
        record.device)))

  return errors.UserError(
      f'records: {identity.digest(values)}.json of {values["task"]} with seed '
      f'{values["seed"]} is there twice, with {said(a)} and {said(b)} as '
      f'{split} {name}; keep one of them')
