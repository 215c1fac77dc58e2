"""Shared by the tests: a tiny checkpoint, data, and compiled programs."""

import gc
import os
import signal
import time
import types
from unittest import mock

from tests import xla_flags

# Before jax is imported, and for the processes that tests start.
if os.environ.get('ADAPTERS_JAX_TEST_XLA_FLAGS') != 'none':  # As for a GPU.
  os.environ['XLA_FLAGS'] = ' '.join(
      [os.environ.get('XLA_FLAGS', ''), *xla_flags.quick_to_compile()])
# One thread for the products of NumPy and torch, before they are imported: a
# process a core leaves no core to others, and both wait for them by spinning.
for name in ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS'):
  os.environ.setdefault(name, '1')
# Bytes. Only with a limit does JAX lock the folder of compiled programs, which
# two workers write to.
os.environ['JAX_COMPILATION_CACHE_MAX_SIZE'] = str(2**30)

# Traces allocate millions of small objects, whose collection takes a tenth of
# the tests' time with Python's threshold of 700.
gc.set_threshold(200_000, 50, 100)

# A shell ignores Ctrl-C in its background jobs, and their tests would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
  signal.signal(signal.SIGINT, signal.default_int_handler)

import jax  # noqa: E402
from jax._src import lru_cache  # noqa: E402
import pytest  # noqa: E402

from adapters_jax.model import base as base_lib  # noqa: E402
from adapters_jax.model import precision  # noqa: E402
from adapters_jax.runs import console  # noqa: E402
from adapters_jax.runs import session  # noqa: E402
from tests import tiny  # noqa: E402

# Before JAX writes a program it reads a file of every kept one, to see whether
# their folder exceeds its limit: with 2,000 of them, a tenth of a second. The
# programs of the tests stay below the limit.
lru_cache.LRUCache._evict_if_needed = lambda cache, **sizes: None


def pytest_collection_modifyitems(items):
  """Puts files with tests marked `first` first.

  With `--no-loadscope-reorder` they start first, and no worker waits for the
  other's long test in the end.
  """
  first = {item.path for item in items if item.get_closest_marker('first')}
  items.sort(key=lambda item: item.path not in first)  # Stable.


@pytest.fixture(scope='session', autouse=True)
def compiled_programs(tmp_path_factory) -> str:
  """Folder of the programs that the session's tests have compiled.

  All of pytest's workers share it. A process that a test starts does too, with
  ADAPTERS_JAX_CACHE set to the folder above. ADAPTERS_JAX_TEST_CACHE names one
  that several sessions share.
  """
  root = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    root = root.parent  # Of this session; without workers, of all sessions.
  root = os.environ.get('ADAPTERS_JAX_TEST_CACHE', root)
  folder = os.path.join(root, 'adapters_jax', 'compiled')
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
  return folder


@pytest.fixture(scope='session', autouse=True)
def cpu_without_bfloat16():
  """Computes in float32 by default, as CPUs without these instructions do.

  So the numbers of tests are those of every CPU. `precision_test` and
  `bfloat16_test` have bfloat16 products. For the session, so that it covers
  fixtures of modules.
  """
  with mock.patch.object(
      precision, '_cpu_gains_by_bfloat16', lambda: False):
    yield


@pytest.fixture(scope='module', autouse=True)
def frozen_objects():
  """Leaves what exists before a module out of later garbage collections.

  A full one ends every run of a sweep and takes 0.3 s among the objects of
  imports and of earlier modules, which stay.
  """
  gc.collect()
  gc.freeze()


@pytest.fixture(autouse=True)
def no_user_cache(monkeypatch):
  """Leaves the user's cache of compiled programs alone."""
  monkeypatch.setattr(session, 'enable_compilation_cache', lambda: None)


@pytest.fixture(autouse=True)
def shown_messages():
  """Prints the library's messages, as the experiments do."""
  console.show()
  yield
  console.hide()


@pytest.fixture
def clock(monkeypatch) -> types.SimpleNamespace:
  """Seconds of `time.monotonic`, which the test moves."""
  now = types.SimpleNamespace(seconds=0.0)
  monkeypatch.setattr(time, 'monotonic', lambda: now.seconds)
  return now


@pytest.fixture(scope='session')
def checkpoint(tmp_path_factory) -> str:
  """A tiny BERT with one layer as a Hugging Face folder.

  Its programs compile in half the time of those of `two_layers`.
  """
  return tiny.write_checkpoint(str(tmp_path_factory.mktemp('base') / 'tiny'))


@pytest.fixture(scope='session')
def two_layers(tmp_path_factory) -> str:
  """The same with two layers, where layers differ."""
  return tiny.write_checkpoint(
      str(tmp_path_factory.mktemp('base') / 'two_layers'), layers=2)


@pytest.fixture(scope='session')
def base(checkpoint) -> base_lib.Base:
  """The tiny BERT in memory."""
  return base_lib.load(checkpoint)


@pytest.fixture(scope='session')
def two_layers_base(two_layers) -> base_lib.Base:
  """The tiny BERT with two layers in memory."""
  return base_lib.load(two_layers)


@pytest.fixture(scope='session')
def own_files(tmp_path_factory) -> dict[str, str]:
  """{'train_file', 'dev_file', 'test_file': path} of learnable TSV data."""
  return tiny.write_data(str(tmp_path_factory.mktemp('data')))
