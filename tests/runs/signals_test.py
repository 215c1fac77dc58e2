"""Signals to processes in C code, finalizers and handlers of any exception."""

import pathlib
import pickle
import signal
import subprocess
import sys
import time
from unittest import mock

import pytest

from adapters_jax import errors
from adapters_jax.runs import signals

ROOT = pathlib.Path(__file__).parents[2]


def started(program):
  """Returns the process of a program that has printed 'ready'."""
  process = subprocess.Popen(
      [sys.executable, '-c', program], cwd=ROOT, stdout=subprocess.PIPE,
      stderr=subprocess.PIPE, text=True)
  assert process.stdout.readline() == 'ready\n'
  return process


@pytest.mark.parametrize('number, unsaved', [
    (signal.SIGTERM, True), (signal.SIGINT, False)])
def test_a_process_that_compiles_ends_too(number, unsaved):
  program = (  # Like a compilation, it lets no Python handler run.
      'import hashlib\n'
      'from adapters_jax.runs import signals\n'
      'signals._SAVED, signals._AT_MOST = 0.1, 1.0\n'
      'with signals.requests() as stop:\n'
      f'  stop.unsaved = {unsaved}\n'
      '  print("ready", flush=True)\n'
      '  hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)\n')
  process = started(program)
  time.sleep(0.5)  # It is in C code now.
  start = time.monotonic()
  process.send_signal(number)
  _, err = process.communicate(timeout=60)
  assert process.returncode == signals.STATUS
  assert (time.monotonic() - start > 1.0) == unsaved
  assert err.count('\n') == 1 and err.startswith('stopped; ')


def test_ctrl_c_as_a_termination_does_not_end_a_command():
  program = (  # Like a run on several hosts, whose steps poll JAX's notifier.
      'import signal, time\n'
      'from adapters_jax.runs import signals\n'
      'signals._SAVED = signals._AT_MOST = 0.1\n'
      'found = []\n'
      'with signals.requests():\n'
      '  signal.signal(signal.SIGTERM, lambda *_: found.append(1))\n'
      '  with signals.interrupts_as_terminations():\n'
      '    print("ready", flush=True)\n'
      '    while not found: time.sleep(0.1)\n'
      '    time.sleep(1)\n'
      '  print("saved", flush=True)\n'  # The context has ended.
      '  time.sleep(60)\n')
  process = started(program)
  process.send_signal(signal.SIGINT)
  assert process.stdout.readline() == 'saved\n'
  process.send_signal(signal.SIGINT)  # Of the command again.
  _, err = process.communicate(timeout=30)
  assert process.returncode and 'errors.Interrupted: stopped' in err


def test_a_swallowed_interruption_is_repeated():
  program = (  # Like an import that falls back to another module.
      'import time\n'
      'from adapters_jax.runs import signals\n'
      'signals._SAVED, signals._AT_MOST = 0.1, 9.0\n'
      'with signals.requests():\n'
      '  try:\n'
      '    print("ready", flush=True)\n'
      '    time.sleep(60)\n'
      '  except BaseException:\n'
      '    print("swallowed", flush=True)\n'
      '  time.sleep(60)\n')
  process = started(program)
  process.send_signal(signal.SIGTERM)
  out, err = process.communicate(timeout=60)
  assert out == 'swallowed\n'
  assert 'errors.Interrupted: stopped' in err  # From both sleeps, not forced.


def test_a_signal_in_a_finalizer_is_no_traceback():
  program = (
      'import time\n'
      'from adapters_jax.runs import signals\n'
      'signals._SAVED = 0.1\n'
      'class Slow:\n'
      '  def __del__(self):\n'
      '    print("ready", flush=True)\n'
      '    time.sleep(2)\n'
      'try:\n'
      '  with signals.requests():\n'
      '    Slow()\n'
      '    time.sleep(60)\n'
      'except Exception as error:\n'
      '  print(error)\n')
  process = started(program)
  process.send_signal(signal.SIGTERM)
  assert process.communicate(timeout=30) == ('stopped\n', '')


def test_handlers_are_those_of_before():
  before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  with signals.requests() as stop:
    assert not stop() and not stop.unsaved
    stop.unsaved = True
    signal.raise_signal(signal.SIGTERM)
    assert stop()
    with signals.requests() as inner:  # Of another run.
      assert not inner()
  assert before == [
      signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  assert signal.set_wakeup_fd(-1) == -1


def test_ctrl_c_at_a_prompt_keeps_a_result(monkeypatch):
  monkeypatch.setattr(sys, 'ps1', '>>> ', raising=False)
  before = signal.getsignal(signal.SIGINT)
  with pytest.raises(KeyboardInterrupt), signals.interrupts() as found:
    signal.raise_signal(signal.SIGINT)  # There is nothing to keep.
  assert not found() and signal.getsignal(signal.SIGINT) is before
  with pytest.raises(KeyboardInterrupt), signals.interrupts() as found:
    found.worth = True
    assert not found()
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)  # At once: it is no second request.
    assert found()
    monkeypatch.setattr(signals, '_REPEATED', 0.0)
    signal.raise_signal(signal.SIGINT)
  assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize('shell, interactive', [(None, False), ('one', True)])
def test_a_notebook_has_a_shell(shell, interactive, monkeypatch):
  monkeypatch.delattr(sys, 'ps1', raising=False)
  monkeypatch.setitem(
      sys.modules, 'IPython', mock.Mock(get_ipython=lambda: shell))
  assert signals._is_interactive() == interactive
  monkeypatch.delitem(sys.modules, 'IPython')
  assert not signals._is_interactive()


def test_ctrl_c_elsewhere_is_that_of_the_caller(monkeypatch):
  with pytest.raises(KeyboardInterrupt), signals.interrupts() as found:
    found.worth = True  # A program ends.
    signal.raise_signal(signal.SIGINT)
  monkeypatch.setattr(sys, 'ps1', '>>> ', raising=False)
  arrived = []
  before = signal.signal(signal.SIGINT, lambda *_: arrived.append(1))
  try:
    with signals.interrupts() as found:
      signal.raise_signal(signal.SIGINT)
    assert arrived == [1] and not found()
  finally:
    signal.signal(signal.SIGINT, before)


def test_an_interruption_survives_pickle():  # Ray sends it to the driver.
  error = errors.Interrupted('stopped', saved=True)
  again = pickle.loads(pickle.dumps(error))
  assert str(again) == 'stopped' and again.saved
