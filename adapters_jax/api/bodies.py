"""Requests of the HTTP services: limits, bodies and refusals."""

import asyncio
import dataclasses
import json
from typing import Any

from starlette import requests

from adapters_jax.adapters import readings


class Refused(Exception):
  """Raised to refuse a request.

  Attributes:
    status: HTTP status.
    message: Reason, for the client.
  """

  def __init__(self, status: int, message: str):
    super().__init__(message)
    self.status, self.message = status, message


@dataclasses.dataclass(frozen=True)
class Limits:
  """Limits on a request.

  Attributes:
    max_body: Maximum bytes of a body.
    max_inputs: Maximum inputs of a request.
    timeout: Seconds for the body to arrive, and again for the predictions.
  """
  max_body: int = 2**20
  max_inputs: int = 256
  timeout: float = 60.0


async def read(request: requests.Request, limits: Limits) -> Any:
  """Returns the JSON value of a request's body.

  Args:
    request: Request.
    limits: Limits on it.

  Raises:
    Refused: a body that is late, too long or no JSON, or a client that left.
  """
  try:
    body = await asyncio.wait_for(_body(request, limits), limits.timeout)
  except TimeoutError:
    raise Refused(408, 'the body did not arrive in time') from None
  except requests.ClientDisconnect:
    raise Refused(400, 'the client left before the end of the body') from None
  try:
    return json.loads(body)
  except (ValueError, RecursionError):
    raise Refused(422, 'the body is no JSON') from None


async def _body(request: requests.Request, limits: Limits) -> bytes:
  """Returns the body; raises Refused once it is longer than the limit."""
  body = b''
  async for part in request.stream():
    body += part
    if len(body) > limits.max_body:
      raise Refused(413, f'the body is longer than {limits.max_body} bytes')
  return body


def entries(one: readings.Prediction) -> dict[str, Any]:
  """Returns a prediction as a JSON object, without absent fields."""
  return {name: value for name, value in dataclasses.asdict(one).items()
          if value is not None}
