"""Tests of inputs that arrive bit by bit."""

import contextlib
import io
import json
import os
import queue
import threading

import pytest

from adapters_jax import errors
from adapters_jax.api import inputs
from adapters_jax.api import streams


@contextlib.contextmanager
def piped(writes):
  """Yields (path of a pipe, event) and writes, each after an answer.

  Args:
    writes: Bytes of each write; the event lets the next one follow, and the
      last one ends the pipe.
  """
  source, target = os.pipe()
  answered = threading.Event()

  def feed():
    os.write(target, writes[0])
    for one in writes[1:]:
      # Without an answer the test fails by its order, and does not hang.
      answered.wait(10)
      answered.clear()
      os.write(target, one)
    os.close(target)

  writer = threading.Thread(target=feed)
  writer.start()
  try:
    yield f'/dev/fd/{source}', answered
  finally:
    writer.join()
    os.close(source)


def parts(writes, read):
  """Returns the parts that come, each before the next write."""
  found = []
  with piped(writes) as (path, answered), inputs.opened(path) as file:
    for part in streams.parts(file, read):
      found.append(part)
      answered.set()
  return found


def texts(form):
  return lambda file: inputs.read_texts(file, '-', form, ('sentence',))


def words(form):
  return lambda file: inputs.read_words(file, '-', form)


ONE, TWO, THREE = ('a',), ('b',), ('c d',)


@pytest.mark.parametrize('read, writes, wanted', [
    (texts('lines'), (b'a\nb\nc', b' d'), [[ONE, TWO], [THREE]]),
    (texts(''), (b'a\nb\n', b'c d\n'), [[ONE, TWO], [THREE]]),
    (texts('jsonl'), (b'{"sentence": "a"}\n{"sen', b'tence": "b"}'),
     [[ONE], [TWO]]),
    (texts('csv'), (b'sentence\na\n"b', b'"\nc d\n'), [[ONE], [TWO, THREE]]),
    (texts('tsv'), (b'sentence\na\nb\n',), [[ONE, TWO]]),
    (words('lines'), (b'a\n', b'b\n'), [['a'], ['b']]),
    (words('jsonl'), (b'{"words": ["a"]}\n', b'{"words": ["b"]}\n'),
     [[ONE], [TWO]]),
    (words('conll'), (b'# id\na\tO\n\n# id\nb\t', b'O\n\nc d\tO\n\n'),
     [[ONE], [TWO, THREE]])])
def test_whole_records_of_a_pipe_wait_for_nobody(read, writes, wanted):
  assert parts(writes, read) == wanted


def test_a_fault_in_a_pipe_is_raised(monkeypatch):
  monkeypatch.setattr(streams, 'PART', 1)
  with pytest.raises(errors.UserError, match='^`input`: .*input, line 2'):
    parts([b'{"sentence": "a"}\n{"sentence": 3}\n'], texts('jsonl'))


@pytest.mark.parametrize('ends', [b'', b'\n'])
def test_lines_longer_than_a_read(ends):
  lines = [b'a' * 150_000 + b'\n', b'\n', b'b' * 70_000 + ends]
  with piped([b'', b'']) as (path, answered), inputs.opened(path) as file:
    pipe = streams.Pipe(file)
    assert pipe.paused()
    chunks = [b''.join(lines)[start:start + 2**16]
              for start in range(0, 220_002, 2**16)]
    pipe.read = lambda size: chunks.pop(0) if chunks else b''
    assert [*pipe] == lines
    answered.set()


def test_files_come_in_whole_parts(monkeypatch):
  monkeypatch.setattr(streams, 'PART', 2)
  file = io.BytesIO(b'a\nb\nc d\n')
  assert [*streams.parts(file, texts('lines'))] == [[ONE, TWO], [THREE]]


def test_a_steady_writer_does_not_hold_back_a_part(clock):

  class Steady(queue.Queue):
    """One input every 60 ms."""

    def get(self, block=True, timeout=0.06):
      if timeout < 0.06:
        raise queue.Empty
      clock.seconds += 0.06
      return 'a'

  part, ended = streams._next_part(Steady())
  assert not ended and len(part) == 17  # The first, and a second's.


def test_progress_tells_the_speed_and_the_share(
    tmp_path, clock, caplog):
  caplog.set_level('INFO')
  path = tmp_path / 'a.jsonl'
  path.write_text('\n'.join([json.dumps({'sentence': 'a'})] * 4))
  with inputs.opened(str(path)) as file:
    found = streams.Progress(file), streams.Progress(None)
    read = texts('jsonl')(file)
    next(read), next(read)
    for seconds, count in ((29, 5), (1, 12_300), (10, 12_301), (20, 12_309)):
      clock.seconds += seconds
      for one in found:
        one.update(count)
  assert [one.getMessage() for one in caplog.records] == [
      'labelled 12,300 inputs, 410 a second; 51% of the file',
      'labelled 12,300 inputs, 410 a second',
      'labelled 12,309 inputs, 0.3 a second; 51% of the file',
      'labelled 12,309 inputs, 0.3 a second']
