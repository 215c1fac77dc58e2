"""The demo's local page: a Starlette application around `demo_answers`."""

import asyncio
from collections.abc import Sequence
from concurrent import futures
import contextlib
from importlib import resources
from typing import Any

from starlette import applications
from starlette import requests
from starlette import responses
from starlette import routing

from adapters_jax import errors
from adapters_jax.api import answering
from adapters_jax.api import bodies
from adapters_jax.api import demo_answers

_FILES = {'/': ('index.html', 'text/html'), '/page.css': (
    'page.css', 'text/css'), '/page.js': ('page.js', 'text/javascript')}
_HEADERS = {
    'Content-Security-Policy': (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"),
    'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-cache'}
_WAITING = 16  # Maximum questions that wait; a page asks one at a time.


def make(
    answers: demo_answers.Answers,
    limits: bodies.Limits = bodies.Limits(max_body=2**16, timeout=300.0),
    hosts: Sequence[str] = ('127.0.0.1', 'localhost', '[::1]'),
) -> applications.Starlette:
  """Returns the application.

  Args:
    answers: Adapters, used by a single thread.
    limits: Limits on a question.
    hosts: Host names that it answers to; () for any. Without the restriction, a
      page of another site could reach it by a name that resolves to this
      machine (DNS rebinding).
  """
  folder = resources.files('adapters_jax.api') / 'demo_page'
  worker = futures.ThreadPoolExecutor(1, 'demo')
  waiting: set[futures.Future] = set()

  def page(path, name, kind):
    text = (folder / name).read_text('utf-8')
    return routing.Route(path, lambda _: responses.Response(
        text, media_type=kind, headers=_HEADERS))

  def about(request: requests.Request) -> responses.Response:
    return responses.JSONResponse(answers.about(), headers=_HEADERS)

  async def answer(request: requests.Request) -> responses.Response:
    try:
      with answering.refused_at_the_end():
        found = await _answer(answers, limits, worker, waiting, request)
      return responses.JSONResponse(found, headers=_HEADERS)
    except bodies.Refused as refused:
      return responses.JSONResponse(
          {'error': refused.message}, refused.status, _HEADERS)

  @contextlib.asynccontextmanager
  async def lifespan(app):
    yield
    await asyncio.to_thread(worker.shutdown, cancel_futures=True)

  app = applications.Starlette(lifespan=lifespan, routes=[
      *(page(path, *file) for path, file in _FILES.items()),
      routing.Route('/about', about),
      routing.Route('/answer', answer, methods=['POST'])])
  if hosts:
    app.add_middleware(_KnownHosts, hosts=tuple(hosts))
  return app


class _KnownHosts:
  """Refuses requests whose Host header names another host.

  Attributes:
    app: Application.
    hosts: Names of this machine, as in URLs.
  """

  def __init__(self, app: Any, hosts: Sequence[str]):
    self.app, self.hosts = app, hosts

  async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
    if scope['type'] == 'http':
      given = dict(scope['headers']).get(b'host', b'').decode('latin-1')
      if given.rpartition(':')[0] not in self.hosts and (
          given not in self.hosts):
        await responses.PlainTextResponse('unknown host', 400)(
            scope, receive, send)
        return
    await self.app(scope, receive, send)


async def _answer(
    answers: demo_answers.Answers, limits: bodies.Limits,
    worker: futures.Executor, waiting: set[futures.Future],
    request: requests.Request,
) -> dict[str, Any]:
  """Returns the answers to a question, as JSON values.

  Args:
    answers: Adapters.
    limits: Limits on a question.
    worker: Thread that computes.
    waiting: Questions that wait or are computed.
    request: Request.

  Raises:
    bodies.Refused: a wrong question, too many, a late answer, or a client that
      left.
  """
  values = await bodies.read(request, limits)
  try:
    question = demo_answers.parse(
        values, answers.bank, answers.base.config.layers)
  except errors.UserError as error:
    raise bodies.Refused(422, errors.as_flags(str(error), ())) from None
  if len(waiting) >= _WAITING:
    raise bodies.Refused(503, 'too many questions wait; try again')
  future = worker.submit(answers.answer, question)
  waiting.add(future)
  future.add_done_callback(waiting.discard)
  try:
    return await answering.result(
        request, asyncio.wrap_future(future), limits.timeout)
  except errors.UserError as error:
    raise bodies.Refused(422, errors.as_flags(str(error), ())) from None
  finally:
    future.cancel()  # Unless it is computed: nobody waits for it.
