"""Clients that leave, and services that stop, while an answer is computed."""

import json
import socket
import threading
import time
import types

import pytest

from adapters_jax.adapters import batcher as batcher_lib
from adapters_jax.adapters import prediction
from adapters_jax.adapters import readings
from adapters_jax.adapters import resident
from scripts import browsers


class Held:
  """A service whose answers wait.

  Attributes:
    texts: Texts that are computed.
    begun: Set once the first is.
    go: To be set for the answers.
  """

  def __init__(self):
    self.texts = []
    self.begun, self.go = threading.Event(), threading.Event()

  def compute(self, texts):
    self.texts += texts
    self.begun.set()
    assert self.go.wait(30)


@pytest.fixture(params=['demo', 'serve'])
def held(request, monkeypatch):
  """(Held, application, raw request of a text), with 15 places in the queue."""
  pytest.importorskip('starlette')
  pytest.importorskip('uvicorn')
  from adapters_jax.api import demo_service
  from adapters_jax.api import service
  one = Held()

  def raw(path, field, text):
    body = json.dumps({field: [text], 'adapters': ['film']})
    return (f'POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n'
            f'Content-Length: {len(body)}\r\n\r\n{body}').encode()

  if request.param == 'demo':
    def answer(question):
      one.compute([question.texts[0]])
      return {'label': question.texts[0]}
    answers = types.SimpleNamespace(
        bank={'film': None}, answer=answer,
        base=types.SimpleNamespace(config=types.SimpleNamespace(layers=2)))
    yield one, demo_service.make(answers), lambda text: raw(
        '/answer', 'texts', text)
  else:
    def values(base, bank, names, given, *_):
      one.compute(given)
      return list(given), set()
    monkeypatch.setattr(resident, 'place', lambda *_: types.SimpleNamespace(
        base=None))
    monkeypatch.setattr(prediction, 'values', values)
    monkeypatch.setattr(readings, 'check', lambda *_: None)
    monkeypatch.setattr(readings, 'prediction_of', lambda _, value, cut: (
        readings.Prediction(label=value)))
    batcher = batcher_lib.Batcher(None, {'film': None}, max_queue=15)
    yield one, service.make(batcher, service.Metrics()), lambda text: raw(
        '/predict', 'inputs', text)
  one.go.set()


def send(port, content):
  """Returns a connection that has sent a request, in one piece."""
  connection = socket.create_connection(('127.0.0.1', port), timeout=60)
  connection.sendall(content)
  return connection


def received(connection):
  """Returns (status, body) of the response."""
  with connection, connection.makefile('rb') as file:
    head, _, body = file.read().decode().partition('\r\n\r\n')
  return int(head.split()[1]), body


def until(condition):
  for _ in range(2000):
    if condition():
      return
    time.sleep(0.01)
  raise AssertionError('not within 20 s')


def test_nobody_computes_for_clients_that_left(held):
  one, app, raw = held
  with browsers.serving(app) as (port, server):
    state = server.server_state
    first = send(port, raw('first'))
    assert one.begun.wait(60)
    gone = [send(port, raw('gone')) for _ in range(15)]
    until(lambda: len(state.tasks) == 16)
    status, body = received(send(port, raw('too many')))
    assert status == 503 and 'too many' in body
    for connection in gone:
      connection.close()
    until(lambda: len(state.tasks) == 1)  # That of the first.
    last = send(port, raw('last'))
    until(lambda: len(state.tasks) == 2)
    one.go.set()
    for text, connection in (('first', first), ('last', last)):
      status, body = received(connection)
      assert status == 200 and f'"label":"{text}"' in body
  assert one.texts == ['first', 'last']


def test_requests_that_a_stop_cancels_are_refused(held, capfd, caplog):
  one, app, raw = held
  with browsers.serving(app, timeout_graceful_shutdown=1) as (port, server):
    asked = send(port, raw('first'))
    assert one.begun.wait(60)
    waits = send(port, raw('second'))
    slow = send(port, raw('third')[:-5])  # Its body never ends.
    until(lambda: len(server.server_state.tasks) == 3)
    server.should_exit = True
    for connection in (asked, waits, slow):
      status, body = received(connection)
      assert status == 503 and 'the service is stopping' in body
    one.go.set()
  assert one.texts == ['first']
  assert 'Traceback' not in capfd.readouterr().err + caplog.text
