"""What the first of several hosts does alone, without further processes."""

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.analysis import predictions
from adapters_jax.api import written
from adapters_jax.sweeps import outcome as outcome_lib
from adapters_jax.training import hosts


def host(monkeypatch, number, works=True):
  """Acts as a host; returns the choices that it has brought in."""
  brought = []

  def agreed(choice):
    brought.append(choice)
    return works

  monkeypatch.setattr(hosts, 'is_first', lambda: number == 0)
  monkeypatch.setattr(hosts, 'agreed', agreed)
  return brought


def full():
  raise OSError(28, 'No space left on device')


def test_the_first_host_acts_and_all_wait(monkeypatch):
  acts = []
  for number in (0, 1):
    brought = host(monkeypatch, number)
    hosts.by_first(lambda: acts.append(number))
    assert brought == [True]
  assert acts == [0]


def test_all_hosts_end_with_the_first(monkeypatch):
  for number, error in ((0, OSError), (1, errors.UserError)):
    brought = host(monkeypatch, number, works=False)
    with pytest.raises(error):
      hosts.by_first(full)
    assert brought == [number == 1]


def test_the_first_host_alone_writes_predictions(monkeypatch):
  calls = []
  monkeypatch.setattr(
      predictions, 'write_best', lambda *rest: calls.append(rest) or [])
  for number in (0, 1):
    brought = host(monkeypatch, number)
    written.write_if_wanted(
        outcome_lib.Outcome(), written.Predictions(write_predictions=True))
    assert brought == [True]
  assert len(calls) == 1


@pytest.mark.parametrize('texts, found', [
    (['', ''], ''), (['', 'a fault: ä'], 'a fault: ä'),
    (['one', 'another'], 'one')])
def test_all_hosts_have_the_text_of_one(monkeypatch, texts, found):
  sizes = np.array([len(text.encode()) for text in texts])
  longest = int(sizes.max())

  def gathered(own):
    if not own.ndim:
      return sizes
    assert own.shape == (longest,)  # Arrays of all hosts are of one shape.
    return np.stack([np.frombuffer(
        text.encode().ljust(longest, b'\0'), np.uint8) for text in texts])

  monkeypatch.setattr(jax, 'process_count', lambda: len(texts))
  monkeypatch.setattr(hosts.multihost_utils, 'process_allgather', gathered)
  assert [hosts.first_text(text) for text in texts] == [found] * len(texts)


@pytest.mark.parametrize('error', [OSError(), errors.UserError('`size`: no')])
def test_a_fault_of_one_host_is_that_of_all(monkeypatch, error):
  def fails():
    raise error

  monkeypatch.setattr(hosts, 'first_text', lambda text: text)
  assert hosts.together(lambda: 3) == 3
  with pytest.raises(type(error)) as caught:
    hosts.together(fails)
  assert caught.value is error
  monkeypatch.setattr(hosts, 'first_text', lambda text: text or '`size`: no')
  with pytest.raises(errors.UserError, match='^`size`: no$'):
    hosts.together(lambda: 3)
