"""Messages of the library on a terminal and elsewhere."""

import io
import logging
import sys

from adapters_jax.downloads import progress
from adapters_jax.runs import console


class _Terminal(io.StringIO):

  def isatty(self):
    return True


def _report(done, *, ended=False, level=logging.DEBUG):
  logging.getLogger(progress.__name__).log(
      level, 'toy: %d MB', done // 10**6, extra={'transfer': progress.Transfer(
          'toy', done, 400_000_000, ended)})


def test_downloads_are_a_bar_on_a_terminal(monkeypatch, capsys):
  monkeypatch.setattr(sys, 'stderr', _Terminal())
  _report(100_000_000)
  _report(300_000_000, level=logging.INFO)
  assert console._HANDLER._bar.n == 300_000_000
  _report(300_000_000, ended=True)
  assert console._HANDLER._bar is None
  assert 'toy:  25%' in sys.stderr.getvalue()
  assert capsys.readouterr().out == ''


def test_downloads_are_lines_elsewhere(capsys):
  _report(100_000_000)
  _report(300_000_000, level=logging.INFO)
  _report(300_000_000, ended=True)
  assert capsys.readouterr() == ('toy: 300 MB\n', '')


def test_other_messages_for_debugging_are_not_shown(capsys):
  logging.getLogger(progress.__name__).debug('detail')
  logging.getLogger('adapters_jax.model').debug('detail')
  assert capsys.readouterr() == ('', '')


def test_tables_of_rows_show_every_cell_on_a_narrow_terminal(monkeypatch):
  monkeypatch.setattr(sys, 'stdout', _Terminal())
  monkeypatch.setenv('COLUMNS', '80')
  rows = [
      {'task': 'a-task-of-a-long-name', 'method': 'lora[r=8],' * 9,
       **{f'learning rate {n}': f'{run}{n}.25±0.5' for n in range(20)}}
      for run in (1, 2)]
  text = console.rows_table(rows, 'all settings')
  lines = text.splitlines()
  for row, line in zip(rows, (lines[-3], lines[-2]), strict=True):
    for name, cell in row.items():
      assert name in text
      assert cell in line
