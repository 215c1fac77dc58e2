import logging

import pytest

from adapters_jax.downloads import progress


@pytest.fixture(name='records')
def fixture_records(monkeypatch):
  found = []
  handler = logging.Handler()
  handler.emit = found.append
  logger = logging.getLogger(progress.__name__)
  monkeypatch.setattr(logger, 'handlers', [handler])
  monkeypatch.setattr(logger, 'propagate', False)
  yield found


def test_bars_get_many_records_and_log_files_few(clock, records):
  with progress.Reporter('mpnet-base', 400_000_000) as bar:
    for tenth in range(1, 201):
      clock.seconds = tenth / 10
      bar.update(tenth * 1_000_000)
  lines = [r.getMessage() for r in records if r.levelno >= logging.INFO]
  assert lines == ['mpnet-base: 100 of 400 MB', 'mpnet-base: 200 of 400 MB']
  assert len(records) > 50
  assert records[-1].transfer == progress.Transfer(
      'mpnet-base', 200_000_000, 400_000_000, ended=True)
  assert not any(r.transfer.ended for r in records[:-1])


def test_short_downloads_are_silent(clock, records):
  with progress.Reporter('vader', 2_000_000) as bar:
    clock.seconds = 0.2
    bar.update(2_000_000)
  assert not records


def test_an_error_ends_the_report(clock, records):
  with pytest.raises(KeyboardInterrupt):
    with progress.Reporter('vader', 0) as bar:
      clock.seconds = 11.0
      bar.update(3_000_000)
      raise KeyboardInterrupt
  assert [r.getMessage() for r in records] == ['vader: 3 MB'] * 2
  assert records[-1].transfer.ended


def test_bar_of_another_library(clock, records, capsys):
  with progress.Bar(total=5_000_000, desc='model.bin', unit='B') as bar:
    clock.seconds = 1.0
    bar.update(3_000_000)
    clock.seconds = 2.0
    bar.update(1_000_000)
  assert [r.transfer.done for r in records] == [3_000_000, 4_000_000, 4_000_000]
  assert records[0].transfer.name == 'model.bin'
  assert capsys.readouterr() == ('', '')
