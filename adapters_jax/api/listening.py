"""Ports and sockets of the commands that answer over HTTP."""

import socket

from adapters_jax import errors


def check_port(port: int) -> None:
  """Raises UserError for a number that is no port; 0 stands for a free one."""
  if not 0 <= port <= 65535:
    raise errors.UserError(f'`port={port}`: give 0 to 65535')


def listen(host: str, port: int) -> socket.socket:
  """Returns a socket that listens.

  Args:
    host: Address or name.
    port: Port; 0 for a free one.

  Raises:
    errors.UserError: the address is in use, or not one of this machine.
  """
  family = socket.AF_INET6 if ':' in host else socket.AF_INET
  try:
    return socket.create_server((host, port), family=family, backlog=64)
  except (OSError, UnicodeError) as error:
    why = getattr(error, 'strerror', None) or error
    raise errors.UserError(
        f'`host={host}` `port={port}`: {why}; give another, or port 0 for a '
        'free one') from error


def url_of(host: str, listener: socket.socket) -> str:
  """Returns the address of a socket for a browser.

  Args:
    host: Address or name given to `listen`.
    listener: Socket of `listen`.
  """
  name = f'[{host}]' if ':' in host else host
  return f'http://{name}:{listener.getsockname()[1]}/'
