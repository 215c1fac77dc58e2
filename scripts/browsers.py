"""A headless Chromium for the tests and the picture of the demo."""

from collections.abc import Iterator
import contextlib
import os
import shutil
import threading
import time
from typing import Any

_NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')


def missing() -> str:
  """Returns why no browser can be started, or ''."""
  try:
    from playwright import sync_api  # noqa: F401
  except ImportError:
    return "playwright is missing: pip install -e '.[browser]'"
  if _path() is None:
    return 'no Chromium is installed: apt-get install chromium'
  return ''


def _path() -> str | None:
  """Returns the program of an installed browser."""
  return os.environ.get('CHROMIUM') or next(
      filter(None, map(shutil.which, _NAMES)), None)


@contextlib.contextmanager
def page(**context: Any) -> Iterator[Any]:
  """Opens an empty page in a browser without a window.

  Args:
    **context: Options of playwright's `Browser.new_context`.
  """
  from playwright import sync_api
  with sync_api.sync_playwright() as driver:
    # The sandbox does not start in most containers; the page is our own.
    browser = driver.chromium.launch(
        executable_path=_path(), args=['--no-sandbox', '--disable-gpu'])
    try:
      yield browser.new_context(**context).new_page()
    finally:
      browser.close()


@contextlib.contextmanager
def serving(app: Any, **options: Any) -> Iterator[tuple[int, Any]]:
  """Serves an application in a thread, and yields (port, uvicorn's server).

  Args:
    app: ASGI application.
    **options: Options of `uvicorn.Config`.

  Raises:
    TimeoutError: the server does not end within a minute.
  """
  import uvicorn
  server = uvicorn.Server(uvicorn.Config(
      app, port=0, log_level='error', **options))
  thread = threading.Thread(target=server.run)
  thread.start()
  while not server.started:
    time.sleep(0.01)
  try:
    yield server.servers[0].sockets[0].getsockname()[1], server
  finally:
    server.should_exit = True
    thread.join(60)
  if thread.is_alive():
    raise TimeoutError('the server has not ended')
