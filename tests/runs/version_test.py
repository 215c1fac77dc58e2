"""The numbers of a small run: whoever changes them raises the version."""

import collections
import pathlib

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import batching
from adapters_jax.data import bucketing
from adapters_jax.data import examples as examples_lib
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import records
from adapters_jax.runs import run
from adapters_jax.runs import version
from tests import tiny
from tests.runs import records_test

RECORDS = pathlib.Path(__file__).parents[2] / 'experiments' / 'results'
HOW = ('the numbers have changed: raise NUMBERS in '
       'adapters_jax/runs/version.py, describe the version there, and pin the '
       'new numbers here')


def test_batches():
  tokens = [np.zeros(n, np.int32) for n in (3, 8, 5, 4, 9, 7, 2, 6, 4, 11, 5)]
  examples = examples_lib.Examples(
      tokens, tokens, np.zeros(len(tokens), np.int32))
  schedule = batching.Schedule(
      examples, bucketing.bucket_lengths(examples.lengths, 3), 2, seed=3)
  found = [(schedule.at(step).rows.tolist(), schedule.at(step).length)
           for step in range(2 * schedule.steps_per_epoch)]
  assert (version.NUMBERS, found) == (2, PLAN), HOW


PLAN = [  # (rows, length) of every step of two epochs.
    ([3, 8], 4), ([5, 9], 12), ([4], 12), ([1, 10], 8), ([7, 2], 8),
    ([0, 6], 4), ([0, 8], 4), ([9], 12), ([5, 4], 12), ([6, 3], 4),
    ([1, 2], 8), ([7, 10], 8)]


def test_batches_of_pairs():
  columns = [[np.zeros(n, np.int32) for n in lengths] for lengths in (
      (3, 8, 5, 4, 9, 7, 2, 6, 4, 11, 5), (9, 2, 4, 7, 7, 3, 8, 5, 3, 2, 6))]
  examples = examples_lib.Examples(
      columns[0], columns[0], np.zeros((11, 2), np.int32),
      columns=(columns[1],))
  schedule = batching.Schedule(
      examples, bucketing.bucket_lengths(examples.lengths, 3), 2, seed=3)
  found = [(schedule.at(step).rows.tolist(), schedule.at(step).length)
           for step in range(schedule.steps_per_epoch)]
  assert (version.PAIRS, found) == (3, PAIRS_PLAN), HOW.replace(
      'NUMBERS', 'PAIRS')


PAIRS_PLAN = [  # (rows, lengths of the columns) of every step of an epoch.
    ([5, 8], (8, 4)), ([9, 0], (12, 10)), ([4], (12, 10)), ([10, 3], (6, 8)),
    ([7, 6], (6, 8)), ([2, 1], (8, 4))]


def test_losses(two_layers, own_files, tmp_path):
  record = run.run(tiny.run_config(
      two_layers, own_files, str(tmp_path / 'work'), max_steps=12, seed=5),
                   'glue')
  losses = [entry['loss'] for entry in record.history]
  np.testing.assert_allclose(losses, LOSSES, rtol=5e-4, err_msg=HOW)
  assert version.NUMBERS == 2, HOW


LOSSES = [0.679682, 0.620524, 0.634619]  # After 4, 8 and 12 steps.


def test_the_version_names_a_run():
  values = identity.portable(config_lib.Config(precision='float32'))
  old = {k: v for k, v in values.items() if k != version.FIELD}
  # Hashes of records without a version are as they were.
  assert identity.digest(old) == identity.digest({})
  assert identity.digest(values) != identity.digest(old)
  assert identity.completed(old)[version.FIELD] == version.FIRST
  assert identity.of_portable(old, seed=3) == config_lib.Config(
      seed=3, precision='float32')


def test_versions_do_not_mix():
  new = records_test.make_record()
  old = records_test.make_record(**{version.FIELD: version.FIRST})
  assert records.one_version([new, new]) == [new, new]
  assert records.one_version(iter([])) == []
  with pytest.raises(errors.UserError, match='1 of version 1, 2 of version 2'):
    records.one_version([new, old, new])


def test_committed_records_are_of_the_present_version():
  found = collections.Counter(
      (values['file_task'], values[version.FIELD])
      for values in (identity.completed(record.config) for record
                     in records.read_all(str(RECORDS))))
  assert found
  assert {*found} == {(kind, version.of(kind)) for kind, _ in found}, found


def test_pairs_have_a_version_of_their_own():
  pairs = config_lib.Config(file_task='pairs', precision='float32')
  assert identity.portable(pairs)[version.FIELD] == version.PAIRS
  new, old = (records_test.make_record(
      file_task='pairs', **{version.FIELD: number})
              for number in (version.PAIRS, version.NUMBERS))
  other = records_test.make_record()
  assert records.one_version([new, other]) == [new, other]
  with pytest.raises(
      errors.UserError, match=r'embeddings: 1.* 2, 1 of version 3.*is 3\)'):
    records.one_version([new, other, old])
