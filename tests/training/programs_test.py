"""Programs kept on disk: equal results, no trace, no wrong program."""

import dataclasses
import functools
import os
import threading

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest

from adapters_jax.downloads import evict
from adapters_jax.layers import activations
from adapters_jax.model.heads import embedding
from adapters_jax.training import program_keys
from adapters_jax.training import programs
from adapters_jax.training import sharding
from adapters_jax.training import threads


SOURCES = program_keys.sources.__wrapped__


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


def test_weak_types_have_programs_of_their_own(traces):
  step = make(traces)
  # A weak float32 takes the type of the sum.
  for x, wanted in ((jnp.full(3, 1.0), 'bfloat16'), (jnp.ones(3), 'float32')):
    state, _ = arguments()
    state['sum'] = state['sum'].astype('bfloat16')
    assert step(state, x)['sum'].dtype == wanted


def test_other_surroundings_have_other_programs(
    traces, folder, monkeypatch):
  make(traces)(*arguments())
  monkeypatch.setattr(
      program_keys, 'surroundings', lambda device: ('other', 'settings'))
  make(traces)(*arguments())
  assert len(traces) == 2
  assert len(os.listdir(folder)) == 4  # Also of one that lowers alike.


@pytest.mark.parametrize('name', ['XLA_FLAGS', 'threads', 'cores'])
def test_a_process_is_a_part_of_the_surroundings(name, monkeypatch):
  device = jax.devices('cpu')[0]

  def found():
    program_keys._environment.cache_clear()
    return program_keys.surroundings(device)

  before = found()
  assert found() == before
  if name == 'XLA_FLAGS':
    monkeypatch.setenv(name, '--xla_of_another_process=1')
  else:
    monkeypatch.setattr(
        threads, {'threads': 'in_use'}.get(name, name), lambda: 99)
  assert found()[0] != before[0]
  monkeypatch.undo()
  assert found() == before


def test_settings_of_jax_are_a_part_of_the_surroundings():
  device = jax.devices('cpu')[0]
  before = program_keys.surroundings(device)
  with jax.numpy_rank_promotion('raise'):
    assert program_keys.surroundings(device) != before
  with jax.log_compiles(True):  # Changes no program.
    assert program_keys.surroundings(device) == before


def test_the_sources_are_those_of_the_process(tmp_path, monkeypatch):
  path = tmp_path / 'a.py'
  started = psutil.Process().create_time()

  def hash_of(text, age):
    path.write_text(text)
    os.utime(path, (started + age, started + age))
    return SOURCES()

  monkeypatch.setattr(
      program_keys.file_hash, 'files_below', lambda root: [str(path)])
  one = hash_of('x = 1', -9)
  assert one and one == hash_of('x = 1', -5)
  assert one != hash_of('x = 2', -9)
  assert hash_of('x = 1', 9) is None  # Perhaps imported before the change.


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
  # Its values are described nowhere.
  assert kept(written=[embedding.make_loss('cosent', 9.0)]) is False
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
