"""Programs kept on disk: equal results, no trace, no wrong program."""

import dataclasses
import functools
import os
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax.downloads import evict
from adapters_jax.layers import activations
from adapters_jax.training import program_keys
from adapters_jax.training import programs
from adapters_jax.training import sharding


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> str:
  monkeypatch.setattr(programs, '_folder', str(tmp_path))
  # The sources may have changed while the tests run.
  monkeypatch.setattr(program_keys, 'sources', lambda: 'sources')
  return str(tmp_path)


@pytest.fixture
def traces() -> list:
  return []


def make(traces, described='double', factor=2.0):
  """Returns a kept function, as a new process would."""

  @functools.partial(jax.jit, donate_argnums=0)
  def double(state, x):
    traces.append(x.shape)
    return {'sum': state['sum'] + factor * x, 'key': state['key']}

  mesh = sharding.one_device()
  return programs.kept(double, described, mesh)


def arguments(length=3):
  state = {'sum': jnp.ones(length), 'key': jax.random.key(5)}
  return state, jnp.arange(float(length))


def test_a_later_process_neither_traces_nor_compiles(traces, folder):
  first = make(traces)
  expected = first(*arguments())
  assert len(traces) == 1
  state, x = arguments()
  found = make(traces)(state, x)
  assert len(traces) == 1  # The program came from the disk.
  np.testing.assert_array_equal(found['sum'], expected['sum'])
  assert jax.random.uniform(found['key']) == jax.random.uniform(expected['key'])
  assert state['sum'].is_deleted()  # Donated, as before.
  make(traces)(*arguments(4))
  assert traces == [(3,), (4,)]
  with jax.default_matmul_precision('float32'):
    make(traces)(*arguments())
  assert len(traces) == 3  # It may lower to something else.
  assert len(os.listdir(folder)) == 6


def test_sources_that_lower_alike_share_a_program(
    traces, folder, monkeypatch):
  make(traces)(*arguments())
  monkeypatch.setattr(program_keys, 'sources', lambda: 'changed')
  monkeypatch.setattr(programs, '_without_jax_cache', None)  # Never called.
  make(traces)(*arguments())
  assert len(traces) == 2
  endings = sorted(name.rpartition('.')[2] for name in os.listdir(folder))
  assert endings == ['index', 'index', 'program']


def test_arguments_that_nothing_reads_have_programs_of_their_own(traces):
  first = make(traces)(*arguments())
  # All lower to the same text, but are other calls.
  unread = (jnp.zeros(2), jnp.zeros((2, 2)), jnp.zeros(2, jnp.int32))
  for count, value in enumerate(unread, 2):
    state, x = arguments()
    found = make(traces)({**state, 'unread': value}, x)
    np.testing.assert_array_equal(found['sum'], first['sum'])
    assert len(traces) == count


def test_other_functions_have_other_programs(traces):
  one = make(traces)(*arguments())
  other = make(traces, 'triple', 3.0)(*arguments())
  assert other['sum'][2] == 7 and one['sum'][2] == 5


@pytest.mark.parametrize('damage', [
    lambda content: content[:40], lambda content: b'',
    lambda content: content[:-1] + bytes([content[-1] ^ 1])])
def test_damaged_files_are_as_good_as_none(traces, folder, damage):
  make(traces)(*arguments())
  for name in os.listdir(folder):
    path = os.path.join(folder, name)
    with open(path, 'rb') as file:
      content = file.read()
    with open(path, 'wb') as file:
      file.write(damage(content))
  assert make(traces)(*arguments())['sum'][2] == 5
  assert len(traces) == 2
  make(traces)(*arguments())
  assert len(traces) == 2  # Written again.


def test_programs_are_read_ahead(traces):
  for length in (3, 4):
    make(traces)(*arguments(length))
  step = make(traces)
  step.load_ahead([arguments(n) for n in (3, 4, 5)]).shutdown()
  assert len(step._ready) == 2  # Nothing is compiled ahead.
  assert step(*arguments(4))['sum'][3] == 7
  assert len(traces) == 2


def test_reading_ahead_ends_between_programs(traces, monkeypatch):
  for length in (3, 4):
    make(traces)(*arguments(length))
  begun, asked, read = threading.Event(), threading.Event(), []
  step = make(traces)

  def slow(key):
    begun.set()
    assert asked.wait(60)
    read.append(key)

  monkeypatch.setattr(step, '_read', slow)
  ahead = step.load_ahead([arguments(n) for n in (3, 4)])
  assert begun.wait(60)
  ahead.shutdown(wait=False, cancel_futures=True)
  asked.set()
  ahead.shutdown()  # Waits for the first program.
  assert len(read) == 1


def test_only_what_describes_itself_is_kept(monkeypatch):
  jitted = jax.jit(activations.gelu)
  mesh = sharding.one_device()

  @dataclasses.dataclass
  class Ours:
    pass

  def kept(described='gelu', written=()):
    return programs.kept(jitted, described, mesh, written) is not jitted

  assert kept()
  assert kept(written=[activations.ACTIVATIONS['gelu_tanh'].func]) is False
  assert kept(described=object()) is False  # Its repr is an address.
  assert kept(written=[Ours]) is False  # Of this module.
  assert kept(written=[programs.kept])
  monkeypatch.setattr(programs, '_folder', None)
  assert kept() is False


def test_sources_that_changed_after_the_start_keep_nothing(
    traces, monkeypatch):
  monkeypatch.setattr(program_keys, 'sources', lambda: None)
  make(traces)(*arguments())
  make(traces)(*arguments())
  assert len(traces) == 2


def test_the_oldest_files_go_first(tmp_path):
  for number, name in enumerate('bca'):
    (tmp_path / name).write_bytes(bytes(10))
    os.utime(tmp_path / name, (number, number))
  (tmp_path / 'folder').mkdir()
  evict.least_recent(str(tmp_path), 20)
  assert sorted(os.listdir(tmp_path)) == ['a', 'c', 'folder']
