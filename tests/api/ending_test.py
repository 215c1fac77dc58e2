"""Ends of commands: full disks, closed streams, signals."""

import io
import os
import subprocess
import sys
import threading

import pytest

from adapters_jax import errors
from adapters_jax.api import ending
from adapters_jax.api import flags
from adapters_jax.api.commands import convert
from adapters_jax.api.commands import predict
from adapters_jax.api.commands import program
from adapters_jax.sweeps import grid
from tests.adapters import bank_test

FULL = 'No space left on device; make room on the disk\n'


def status_of(call, *args):
  """Returns the exit status of a call within `ending.reported`."""
  with pytest.raises(SystemExit) as stopped:
    with ending.reported():
      call(*args)
    return 0
  return stopped.value.code


def fill(monkeypatch):
  """Replaces standard output by a full disk."""
  # In the test: pytest replaces the stream after the fixtures.
  monkeypatch.setattr(sys, 'stdout', open('/dev/full', 'w', encoding='utf-8'))


@pytest.fixture
def interrupted(monkeypatch):
  """Ends no process."""

  def end():
    raise SystemExit(130)

  monkeypatch.setattr(ending.signals, 'end_process', end)


def test_a_full_disk(monkeypatch, capsys):
  fill(monkeypatch)
  assert status_of(print, 'a' * 10) == 2
  assert capsys.readouterr().err == f'error: standard output: {FULL}'


def test_a_full_disk_in_the_middle(monkeypatch, capsys):
  fill(monkeypatch)
  assert status_of(print, 'a' * 20_000) == 2  # More than the buffer.
  assert capsys.readouterr().err == f'error: {FULL}'


def test_a_full_disk_for_help(monkeypatch, capsys):
  fill(monkeypatch)
  monkeypatch.setattr(sys, 'argv', ['adapters-jax', '--help'])
  assert status_of(program.main) == 2
  monkeypatch.setattr(flags.help_lib, 'page', lambda *_: 'page')
  monkeypatch.setattr(flags, 'define', lambda *_: None)
  fill(monkeypatch)
  assert status_of(flags.start, grid.Options, None) == 2
  assert capsys.readouterr().err == f'error: standard output: {FULL}' * 2


def test_other_errors_win_over_those_of_the_output(monkeypatch, capsys):
  fill(monkeypatch)
  def work():
    print('a')
    raise errors.UserError('`size`: no')
  assert status_of(work) == 2
  assert capsys.readouterr().err == 'error: `size`: no\n'


def test_a_reader_that_has_gone_is_no_news(monkeypatch, capsys):
  reading, writing = os.pipe()
  os.close(reading)
  with os.fdopen(writing, 'w') as file:
    monkeypatch.setattr(sys, 'stdout', file)
    assert status_of(print, 'a') == 1
  assert not capsys.readouterr().err


def test_texts_of_any_letters_are_printed_as_utf8(monkeypatch):
  file = io.BytesIO()
  monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(file, 'ascii'))
  with ending.reported():
    print('é\ud800')
  assert file.getvalue() == b'\xc3\xa9\\ud800\n'


def test_closed_streams():
  work = """
import os, sys
from adapters_jax.api import ending
with ending.reported():
  print('a')
  print('b', file=sys.stderr)
  raise SystemExit(3 if os.open('/', os.O_RDONLY) > 2 else 4)
"""
  done = subprocess.run(
      ['sh', '-c', 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, work])
  assert done.returncode == 3


def test_predict_without_an_input(tmp_path, monkeypatch):
  bank_test.make().save(str(tmp_path))
  monkeypatch.setattr(sys, 'stdin', None)
  with pytest.raises(errors.UserError, match='`input=-`: .*closed; name a'):
    predict.main(predict.PredictConfig(str(tmp_path)))


def test_a_conversion_is_stopped(interrupted, monkeypatch, capsys):
  def stop(*args, **options):
    raise KeyboardInterrupt
  monkeypatch.setattr(convert, 'convert', stop)
  values = convert.flags.FlagValues()
  convert.define_flags(values)
  values(['convert'])
  assert status_of(convert.run, values) == 130
  assert capsys.readouterr().err == 'stopped\n'


@pytest.fixture
def one_of_two(monkeypatch):
  """Acts as one of two hosts, the other of which does not end."""
  import jax

  def end(status):
    raise SystemExit(f'at once: {status}')

  monkeypatch.setattr(jax.distributed, 'is_initialized', lambda: True)
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(
      jax.distributed, 'shutdown', threading.Event().wait)
  monkeypatch.setattr(ending, '_OTHERS', 0.1)
  monkeypatch.setattr(ending.os, '_exit', end)
  return jax


def test_a_host_does_not_wait_for_others_to_end(one_of_two, capsys):
  def work():
    raise errors.UserError('`size`: no')
  assert status_of(work) == 'at once: 2'
  assert capsys.readouterr().err == 'error: `size`: no\n'


def test_the_end_of_another_host_is_one_line(one_of_two, capsys):
  def work():
    raise one_of_two.errors.JaxRuntimeError('UNKNOWN: Gloo\nat line 3')
  assert status_of(work) == 'at once: 2'
  assert capsys.readouterr().err == (
      'error: JaxRuntimeError: UNKNOWN: Gloo; this or another process has '
      'failed, see the output of all; the same command with --resume '
      'continues\n')


def test_an_error_of_a_device_alone_is_no_news_of_hosts():
  import jax
  with pytest.raises(jax.errors.JaxRuntimeError), ending.reported():
    raise jax.errors.JaxRuntimeError('INTERNAL')
