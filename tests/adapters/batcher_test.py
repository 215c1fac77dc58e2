"""Tests of how requests share batches."""

import threading
import time
from unittest import mock

import pytest

from adapters_jax.adapters import batcher as batcher_lib
from adapters_jax.adapters import prediction
from adapters_jax.adapters import readings
from adapters_jax.adapters import resident


@pytest.fixture
def batches():
  """(batcher, sizes of its batches), each of which takes 0.2 s."""
  sizes = []

  def slow(base, bank, names, given, *_):
    time.sleep(0.2)
    return list(given), set()

  reader = mock.Mock()
  reader.predict = lambda adapter, value: value
  with mock.patch.object(prediction, 'values', slow), mock.patch.object(
      readings, 'check'), mock.patch.object(
          readings, 'reader_of', lambda adapter: reader), mock.patch.object(
              resident, 'place'):
    batcher = batcher_lib.Batcher(
        None, {'film': None}, max_batch=4, seen=sizes.append)
    yield batcher, sizes
    batcher.close()


def test_clients_that_ask_again_share_the_next_batch(batches):
  batcher, sizes = batches

  def client(number):
    for turn in range(4):
      time.sleep(0.01 * number)  # The answers of a batch go out one by one.
      assert batcher.submit('film', (number, turn)).result() == (number, turn)

  threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  # The first is alone, the others come during its batch; then all four wait
  # for each other. Without that, one of them would always be late.
  assert sum(sizes) == 16 and len(sizes) <= 6, list(sizes)
  assert sizes.count(4) >= 2, list(sizes)


def test_a_lone_client_never_waits(batches):
  batcher, sizes = batches
  pending = [batcher.submit('film', n) for n in range(4)]
  assert [one.result() for one in pending] == list(range(4))
  batcher.submit('film', 0).result()  # Waits for others, half a batch's time.
  start = time.monotonic()
  batcher.submit('film', 1).result()
  assert time.monotonic() - start < 0.27
  assert sum(sizes) == 6 and sizes[-2:] == [1, 1]


def test_a_lone_client_never_waits_whatever_the_size_of_its_requests(batches):
  batcher, sizes = batches
  for count in (4, 1, 6, 3, 1):
    start = time.monotonic()
    pending = batcher.submit_request(['film'] * count, list(range(count)))
    assert [one.result() for one in pending] == list(range(count))
    # A batch takes 0.2 s, and 6 inputs are two.
    assert time.monotonic() - start < (0.47 if count == 6 else 0.27), sizes
  assert sizes == [4, 1, 4, 2, 3, 1]


def test_clients_of_several_inputs_share_batches(batches):
  batcher, sizes = batches

  def client(number):
    for turn in range(3):
      time.sleep(0.01 * number)
      for one in batcher.submit_request(['film'] * 2, [(number, turn)] * 2):
        assert one.result() == (number, turn)

  threads = [threading.Thread(target=client, args=(n,)) for n in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  # The first is alone, then they wait for each other.
  assert sum(sizes) == 12 and sizes.count(4) >= 2, list(sizes)


def test_a_slow_batch_makes_nobody_wait_for_long(batches):
  batcher, sizes = batches
  with mock.patch.object(
      prediction, 'values', lambda base, bank, names, given, *_: (
          time.sleep(2.0), (list(given), set()))[1]):  # As if it compiled.
    pending = [batcher.submit('film', n) for n in range(2)]
    assert [one.result() for one in pending] == [0, 1]
  start = time.monotonic()
  batcher.submit('film', 2).result()
  assert time.monotonic() - start < 0.6  # 0.1 s of patience, and the batch.
  assert sum(sizes) == 3


def test_cancelled_inputs_leave_their_places_to_others(batches):
  batcher, sizes = batches
  batcher._max_queue = 4
  first = batcher.submit('film', 0)
  while batcher.waiting:  # Until the worker has taken it.
    time.sleep(0.01)
  gone = batcher.submit_request(['film'] * 3, [1, 2, 3])
  with pytest.raises(batcher_lib.Full):
    batcher.submit_request(['film'] * 2, [4, 5])
  assert batcher.waiting == 3  # All inputs of a request, or none.
  for one in gone:
    one.cancel()
  assert batcher.waiting == 0
  rest = batcher.submit_request(['film'] * 2, [4, 5])
  assert [first.result(), *(one.result() for one in rest)] == [0, 4, 5]
  assert sizes == [1, 2]


def test_close_computes_what_waits(batches):
  batcher, sizes = batches
  pending = [batcher.submit('film', n) for n in range(3)]
  start = time.monotonic()
  batcher.close()
  assert [one.result() for one in pending] == [0, 1, 2]
  assert time.monotonic() - start < 0.9 and sum(sizes) == 3
