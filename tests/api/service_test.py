"""Tests of the HTTP service, by a real client."""

from concurrent import futures
import dataclasses
import http.client
import json
import socket

import pytest

from adapters_jax import errors
from adapters_jax.adapters import batcher as batcher_lib
from adapters_jax.adapters import mixed
from adapters_jax.adapters import prediction
from adapters_jax.api import listening
from adapters_jax.api.commands import serve
from adapters_jax.model import base as base_lib
from scripts import browsers
from tests.adapters import bank_test

pytestmark = pytest.mark.slow
TEXTS = ['a good film', 'very dull', 'bad', 'good plot']


@pytest.fixture(scope='module')
def served(checkpoint):
  """(port, base, bank, server) of a service in a thread."""
  pytest.importorskip('starlette')
  pytest.importorskip('uvicorn')
  from adapters_jax.api import bodies
  from adapters_jax.api import service
  base = base_lib.load(checkpoint)
  bank = {'film': bank_test.make(), 'food': bank_test.make(seed=1),
          'news': bank_test.make('lora[r=2]', 2)}
  metrics = service.Metrics()
  batcher = batcher_lib.Batcher(
      base, bank, max_batch=8, seen=metrics.batches.observe)
  app = service.make(
      batcher, metrics, bodies.Limits(max_body=2000, max_inputs=4, timeout=90))
  with browsers.serving(app) as (port, server):
    yield port, base, bank, server
  batcher._thread.join(60)  # The shutdown closed it.
  assert not batcher._thread.is_alive()


def ask(port, body=None, path='/predict'):
  """Returns (status, value) of a request."""
  connection = http.client.HTTPConnection('127.0.0.1', port, timeout=90)
  text = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
  connection.request('POST' if body else 'GET', path, text)
  response = connection.getresponse()
  found = response.read().decode()
  connection.close()
  return response.status, (
      found if path == '/metrics' else json.loads(found))


def test_concurrent_clients_get_their_own_answers(served):
  port, base, bank, _ = served
  hung = socket.create_connection(('127.0.0.1', port))  # Its body never ends.
  hung.sendall(b'POST /predict HTTP/1.1\r\nHost: a\r\n'
               b'Content-Length: 99\r\n\r\n{"inputs": ')
  asked = [(TEXTS[n % 4], list(bank)[n % 3]) for n in range(32)]
  with futures.ThreadPoolExecutor(16) as pool:
    found = list(pool.map(lambda one: ask(
        port, {'inputs': [one[0]], 'adapter': one[1]}), asked))
  hung.close()
  wanted = prediction.predict(
      base, bank, [text for text, _ in asked], [name for _, name in asked])
  for (status, value), one in zip(found, wanted, strict=True):
    assert status == 200
    assert value['predictions'][0]['label'] == one.label
    assert value['predictions'][0]['probabilities'] == pytest.approx(
        one.probabilities, abs=1e-6)
  _, text = ask(port, path='/metrics')
  batches = float(text.split('adapters_batch_inputs_count ')[1].split()[0])
  assert 1 <= batches < 32  # Requests shared batches.
  assert 'adapters_requests_total{status="200"} 32.0' in text
  assert 'adapters_requests_total{status="400"} 1.0' in text  # It hung up.
  both = {'inputs': TEXTS[:2], 'adapters': ['film', 'news']}
  assert len(ask(port, both)[1]['predictions']) == 2
  long = ' '.join(['film'] * 80)
  found, = ask(port, {'inputs': [long], 'adapter': 'film'})[1]['predictions']
  assert found['truncated'] and 'truncated' not in value['predictions'][0]
  assert ask(port, path='/health') == (200, {'status': 'ok'})
  assert list(ask(port, path='/adapters')[1]) == list(bank)


@pytest.mark.parametrize(('body', 'status', 'message'), [
    (b'{', 422, 'no JSON'), (b'[' * 1500, 422, 'no JSON'), ([1], 422, 'give'),
    ({'inputs': []}, 422, 'give'), ({'inputs': ['a']}, 422, 'known: film'),
    ({'inputs': ['a'], 'adapter': 'flim'}, 422, 'mean film'),
    ({'inputs': ['a'], 'adapter': ['film']}, 422, 'give "adapter"'),
    ({'inputs': [3], 'adapter': 'film'}, 422, 'as strings'),
    ({'inputs': ['a', ['b', 'c']], 'adapter': 'film'}, 422, 'input 1'),
    (b'{"inputs": ["a", "b \\ud800"], "adapter": "film"}', 422,
     'input 1: text 0: the tokenizer cannot read'),
    ({'inputs': ['a'] * 5, 'adapter': 'film'}, 422, 'at most 4'),
    ({'inputs': ['a'], 'adapter': 'film', 'adapters': ['film']}, 422,
     'not both'),
    ({'inputs': ['a'], 'adapter': None, 'adapters': ['film']}, 422, 'not both'),
    ({'inputs': ['a'], 'adaptor': 'film'}, 422,
     "field: unknown 'adaptor'; did you mean adapter"),
    ({'inputs': ['a' * 3000], 'adapter': 'film'}, 413, 'longer than 2000'),
])
def test_bad_requests_are_explained(served, body, status, message):
  found, value = ask(served[0], body)
  assert found == status and message in value['error']


def test_failures_are_counted():
  testclient = pytest.importorskip('starlette.testclient')
  from adapters_jax.api import service

  class Broken:
    bank, waiting = {'film': None}, 0

    def submit_request(self, names, inputs):
      raise RuntimeError

  client = testclient.TestClient(
      service.make(Broken(), service.Metrics()), raise_server_exceptions=False)
  assert client.post('/predict', json={'inputs': ['a']}).status_code == 500
  assert 'requests_total{status="500"} 1.0' in client.get('/metrics').text


@pytest.mark.parametrize(('changed', 'message'), [
    ({}, '`adapters`: name'), ({'adapters': 'none'}, 'no folder none'),
    ({'adapters': '.,.'}, 'two folders'), ({'port': 10**6}, '`port=1000000`'),
    ({'max_batch': 0}, '`max_batch=0`'), ({'timeout': 0.0}, '`timeout=0.0`'),
    ({'timeout': float('inf')}, '`timeout=inf`: give a number'),
    ({'timeout': float('nan')}, '`timeout=nan`: give a number'),
    ({'max_queue': 99}, '`max_queue=99`: give 256')])
def test_wrong_settings(changed, message):
  with pytest.raises(errors.UserError, match=message):
    serve.main(serve.ServeConfig(**{
        **({'adapters': '.'} if 'adapters' not in changed and changed else {}),
        **changed}))


@pytest.mark.parametrize('size, sizes', [
    (1, [1]), (3, [1, 3]), (16, [1, 8, 16])])
def test_every_size_of_a_batch_is_warmed_up(size, sizes, checkpoint):
  base, bank = base_lib.load(checkpoint), {'film': bank_test.make()}
  seen = []
  batcher = batcher_lib.Batcher(
      base, bank, max_batch=size, max_queue=size, seen=seen.append)
  serve._warm_up(batcher, serve.ServeConfig(
      max_batch=size, max_queue=size, max_inputs=size))
  assert seen == sizes
  step = mixed.make_step(batcher._placed.layouts)
  programs = step._cache_size()
  for count in range(1, size + 1):  # No request compiles.
    for one in batcher.submit_request(['film'] * count, ['good'] * count):
      one.result()
  batcher.close()
  assert step._cache_size() == programs


def test_one_text_is_warmed_up_in_a_bank_that_begins_with_choices(checkpoint):
  film = bank_test.make()
  choosing = dataclasses.replace(
      film, head_input='multiple_choice', texts=('context', 'choices'),
      tuned={**film.tuned, 'head': {
          name: leaf[..., :1] for name, leaf in film.tuned['head'].items()}})
  batcher = batcher_lib.Batcher(
      base_lib.load(checkpoint), {'which': choosing, 'film': film},
      max_batch=8, max_queue=8)
  serve._warm_up(batcher, serve.ServeConfig(max_batch=8, max_queue=8))
  step = mixed.make_step(batcher._placed.layouts)
  programs = step._cache_size()
  batcher.submit('film', 'good').result()
  batcher.close()
  assert step._cache_size() == programs


def test_a_port_in_use_is_named_before_the_base_is_loaded(tmp_path):
  bank_test.make().save(str(tmp_path))
  with listening.listen('127.0.0.1', 0) as taken:
    port = taken.getsockname()[1]
    with pytest.raises(errors.UserError, match=f'`port={port}`: .*in use'):
      serve.main(serve.ServeConfig(adapters=str(tmp_path), port=port))
