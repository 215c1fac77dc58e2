"""Commands in processes that share one import of JAX and of the library.

The import takes two seconds of processor time, more than most of such tests
compute. `start` forks a process that has made it, and executes a module in the
fork as `python -m` does. Variables that JAX reads when it is imported, as
JAX_LOG_COMPILES, need a process of their own.
"""

import functools
import gc
import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import time

from adapters_jax.runs import allocator

ROOT = pathlib.Path(__file__).parents[1]


class Command:
  """A process that executes a module, like `subprocess.Popen`."""

  def __init__(self, job: dict, folder: tempfile.TemporaryDirectory):
    self._folder = folder  # Lives as long as its files are read.
    self._out, self._err = job['out'], job['err']
    self.pid, self.returncode = _ask(job), None

  def wait_for(self, text: str, timeout: float = 120) -> None:
    """Waits until the process has printed a text."""
    end = time.monotonic() + timeout
    while text not in pathlib.Path(self._out).read_text():
      assert self.poll() is None and time.monotonic() < end, self.read()
      time.sleep(0.02)

  def send_signal(self, number: int) -> None:
    os.kill(self.pid, number)

  def poll(self) -> int | None:
    """Returns the exit status; None while the process runs."""
    if self.returncode is None:
      self.returncode = _ask({'ended': self.pid})
    return self.returncode

  def read(self) -> tuple[str, str]:
    """Returns the output and the errors so far."""
    return tuple(pathlib.Path(path).read_text()
                 for path in (self._out, self._err))

  def communicate(self, timeout: float = 600) -> tuple[str, str]:
    """Returns the output and the errors of a process that has ended.

    Args:
      timeout: Seconds after which the process is killed.
    """
    end = time.monotonic() + timeout
    while self.poll() is None:
      if time.monotonic() > end:
        self.send_signal(9)
        raise TimeoutError(self.read())
      time.sleep(0.02)
    return self.read()


def start(
    *command: str, cores: list[int] | None = None, **variables: str
) -> Command:
  """Starts a module, with the environment of this process.

  Args:
    *command: Name of the module, and its flags; or '-c', a program, and its
      arguments.
    cores: Numbers of the cores that the process may use; None for all.
    **variables: Further variables of the environment.
  """
  folder = tempfile.TemporaryDirectory()
  out, err = (os.path.join(folder.name, name) for name in ('out', 'err'))
  for path in out, err:
    pathlib.Path(path).touch()
  return Command({
      'command': command, 'cores': cores, 'out': out, 'err': err,
      'environment': {**_environment(), **variables}}, folder)


def _environment() -> dict[str, str]:
  """Returns the environment of a command that need not start anew."""
  return {**os.environ, 'JAX_PLATFORMS': 'cpu',
          allocator.VARIABLE: allocator.SETTINGS}


@functools.cache
def _server() -> subprocess.Popen:
  return subprocess.Popen(
      [sys.executable, '-m', 'tests.forks'], cwd=ROOT, text=True,
      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
      env=_environment())


def _ask(question: dict) -> int | None:
  server = _server()
  server.stdin.write(json.dumps(question) + '\n')
  server.stdin.flush()
  return json.loads(server.stdout.readline())


def _serve() -> dict | None:
  """Forks for every job; returns the job in the fork, None in the end."""
  while line := sys.stdin.readline():
    question = json.loads(line)
    if 'ended' in question:
      pid, status = os.waitpid(question['ended'], os.WNOHANG)
      answer = os.waitstatus_to_exitcode(status) if pid else None
    elif not (answer := os.fork()):
      return question
    print(json.dumps(answer), flush=True)
  return None


def _execute(job: dict) -> None:
  """Makes this process a command, which ends as any process does."""
  with open(os.devnull, 'rb') as nothing:
    os.dup2(nothing.fileno(), 0)
  sys.stdin = open(0)  # The server's has read ahead.
  for number, path in ((1, job['out']), (2, job['err'])):
    with open(path, 'ab') as file:
      os.dup2(file.fileno(), number)
  os.environ.clear()
  os.environ.update(job['environment'])
  if job['cores']:
    os.sched_setaffinity(0, job['cores'])
  name, *arguments = job['command']
  if name == '-c':
    sys.argv = [name, *arguments[1:]]
    exec(compile(arguments[0], name, 'exec'), {'__name__': '__main__'})
  else:
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name='__main__', alter_sys=True)


def _main() -> None:
  import orbax.checkpoint  # noqa: F401
  from adapters_jax.api.commands import train  # noqa: F401
  from adapters_jax.runs import run  # noqa: F401
  from adapters_jax.sweeps import vmapped  # noqa: F401
  gc.freeze()  # A collection in a fork copies all pages otherwise.
  if job := _serve():
    _execute(job)


if __name__ == '__main__':
  _main()
