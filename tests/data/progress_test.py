"""Tests of the lines about long work on data."""

import numpy as np
import pytest

from adapters_jax.data import conll
from adapters_jax.data import progress
from adapters_jax.data import raw_text
from adapters_jax.data import rows


def test_a_line_every_half_minute(clock, caplog):
  caplog.set_level('INFO', 'adapters_jax')
  batches = [(np.arange(1000), number) for number in range(8)]
  found = []
  for rows_of_batch, number in progress.of_batches(batches, 8000):
    found.append(number)
    assert len(rows_of_batch) == 1000
    clock.seconds += 12.0
  assert found == [*range(8)]
  assert caplog.messages == [
      'scored 3,000 of 8,000 examples',  # After 36 s.
      'scored 6,000 of 8,000 examples']


def test_short_work_is_silent(clock, caplog):
  caplog.set_level('INFO', 'adapters_jax')
  for _ in progress.logged(range(29), 'read', 'lines of a.txt'):
    clock.seconds += 1.0
  assert not caplog.messages
  for _ in progress.logged(range(31), 'read', 'lines of a.txt'):
    clock.seconds += 1.0
  assert caplog.messages == ['read 30 lines of a.txt']


@pytest.mark.parametrize('name, content, read, things', [
    ('a.tsv', 'text\na\nb\n', lambda path: [*rows.read(path)], '2 rows'),
    ('a.jsonl', '{"text": "a"}\n' * 2, lambda path: [*rows.read(path)],
     '2 rows'),
    ('a.txt', 'a\nb\n', lambda path: raw_text.read(path, 'text'), '2 lines'),
    ('a.conll', 'a\tO\n\nb\tO\n', conll.read, '3 lines')])
def test_files_report_the_rows_that_are_read(
    name, content, read, things, tmp_path, monkeypatch, caplog):
  monkeypatch.setattr(progress, '_SECONDS', 0.0)
  caplog.set_level('INFO', 'adapters_jax')
  path = tmp_path / name
  path.write_text(content)
  assert len(read(str(path))) == 2
  assert caplog.messages[-1] == f'read {things} of {path}'
