"""The HTTP service: a Starlette application around a batcher."""

import asyncio
from collections.abc import Sequence
from concurrent import futures
import contextlib
from typing import Any

import prometheus_client
from starlette import applications
from starlette import requests
from starlette import responses
from starlette import routing

from adapters_jax import errors
from adapters_jax.adapters import batcher as batcher_lib
from adapters_jax.api import answering
from adapters_jax.api import bodies


_FIELDS = ('inputs', 'adapter', 'adapters')  # Of a request.


class Metrics:
  """Prometheus metrics of one service, in a separate registry."""

  def __init__(self) -> None:
    self.registry = prometheus_client.CollectorRegistry()
    self.requests = prometheus_client.Counter(
        'adapters_requests', 'Requests, by status.', ['status'],
        registry=self.registry)
    self.seconds = prometheus_client.Histogram(
        'adapters_request_seconds', 'Seconds from a request to its response.',
        registry=self.registry)
    self.batches = prometheus_client.Histogram(
        'adapters_batch_inputs', 'Inputs of a batch.',
        buckets=(1, 2, 4, 8, 16, 32, 64, 128), registry=self.registry)
    self.waiting = prometheus_client.Gauge(
        'adapters_waiting_inputs', 'Inputs that wait.', registry=self.registry)


def make(
    batcher: batcher_lib.Batcher, metrics: Metrics,
    limits: bodies.Limits = bodies.Limits(),
) -> applications.Starlette:
  """Returns the application; its shutdown closes the batcher.

  Args:
    batcher: Worker with the adapters.
    metrics: Counters.
    limits: Limits on a request.
  """
  metrics.waiting.set_function(lambda: batcher.waiting)

  async def predict(request: requests.Request) -> responses.Response:
    with metrics.seconds.time():
      try:
        with answering.refused_at_the_end():
          found = await _answer(batcher, limits, request)
        response = responses.JSONResponse({'predictions': found})
      except bodies.Refused as refused:
        response = responses.JSONResponse(
            {'error': refused.message}, refused.status)
      except Exception:
        metrics.requests.labels(500).inc()
        raise
    metrics.requests.labels(response.status_code).inc()
    return response

  def adapters(request: requests.Request) -> responses.Response:
    return responses.JSONResponse({name: {
        'method': adapter.method, 'texts': list(adapter.texts),
        'classes': list(adapter.classes), 'task': adapter.task}
                                   for name, adapter in batcher.bank.items()})

  def health(request: requests.Request) -> responses.Response:
    return responses.JSONResponse({'status': 'ok'})

  def show_metrics(request: requests.Request) -> responses.Response:
    return responses.Response(
        prometheus_client.generate_latest(metrics.registry),
        media_type=prometheus_client.CONTENT_TYPE_LATEST)

  @contextlib.asynccontextmanager
  async def lifespan(app):
    yield
    await asyncio.to_thread(batcher.close)

  return applications.Starlette(lifespan=lifespan, routes=[
      routing.Route('/predict', predict, methods=['POST']),
      routing.Route('/adapters', adapters),
      routing.Route('/health', health),
      routing.Route('/metrics', show_metrics)])


async def _answer(
    batcher: batcher_lib.Batcher, limits: bodies.Limits,
    request: requests.Request,
) -> list[dict[str, Any]]:
  """Returns the predictions of a request, as JSON values."""
  values = await bodies.read(request, limits)
  names, inputs = _parsed(batcher, values, limits)
  pending: list[futures.Future] = []
  try:
    pending = batcher.submit_request(names, inputs)
    found = await answering.result(
        request, _results(pending), limits.timeout)
  except errors.UserError as error:
    raise bodies.Refused(422, errors.as_flags(str(error), ())) from None
  except batcher_lib.Full:
    raise bodies.Refused(503, 'too many inputs wait; try again') from None
  finally:
    for future in pending:  # Nobody waits for the rest.
      future.cancel()
  return [bodies.entries(one) for one in found]


async def _results(pending: Sequence[futures.Future]) -> list[Any]:
  """Returns the predictions of all inputs of a request."""
  return await asyncio.gather(*map(_result, range(len(pending)), pending))


async def _result(number: int, future: futures.Future) -> Any:
  """Returns the prediction of an input, whose number an error names."""
  with errors.within(f'input {number}'):
    return await asyncio.wrap_future(future)


def _parsed(
    batcher: batcher_lib.Batcher, values: Any, limits: bodies.Limits
) -> tuple[list[str], list[Any]]:
  """Parses a request: (name of an adapter for each input, inputs).

  Args:
    batcher: Worker with the adapters.
    values: JSON object with 'inputs', and 'adapter' or 'adapters'.
    limits: Limits on a request.

  Raises:
    bodies.Refused: an object of another form, or too many inputs.
  """
  inputs = values.get('inputs') if isinstance(values, dict) else None
  if not isinstance(inputs, list) or not inputs:
    raise bodies.Refused(422, 'give {"inputs": [TEXT, ...], "adapter": NAME}')
  for name in values:
    if name not in _FIELDS:
      raise bodies.Refused(422, str(errors.unknown('field', name, _FIELDS)))
  if 'adapter' in values and 'adapters' in values:
    raise bodies.Refused(422, 'give "adapter" or "adapters", not both')
  if len(inputs) > limits.max_inputs:
    raise bodies.Refused(422, f'give at most {limits.max_inputs} inputs')
  only = next(iter(batcher.bank)) if len(batcher.bank) == 1 else None
  names = values.get('adapters', [values.get('adapter', only)] * len(inputs))
  if (not isinstance(names, list) or len(names) != len(inputs)
      or not all(isinstance(name, str) for name in names)):
    raise bodies.Refused(
        422, 'give "adapter", or "adapters" with a name for each input; known: '
        + ', '.join(batcher.bank))
  return names, inputs
