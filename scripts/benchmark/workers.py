"""Processes that work in turns: a JSON line asks, a JSON line answers.

Two libraries in one process disturb each other, as the threads of one wait
actively while the other computes. So each side is a process of its own, and
the parent, which imports neither, asks one at a time. Every call is clocked
inside the worker, around the work. What a worker used of the processor between
two calls comes with each answer: it ought to be nothing.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import json
import os
import subprocess
import sys
import time
from typing import Any

from adapters_jax import errors

# Before a turn: threads of the side that worked last have gone to sleep.
_PAUSE = 0.1  # seconds


@dataclasses.dataclass(frozen=True)
class Answer:
  """What came of a call.

  Attributes:
    value: Returned by the call.
    seconds: Its wall time.
    cpu_seconds: Its processor time, all threads.
    idle_cpu_seconds: The worker's processor time since its answer before.
  """
  value: Any
  seconds: float
  cpu_seconds: float
  idle_cpu_seconds: float


class Worker:
  """A process that serves calls; see `serve`."""

  def __init__(self, command: Sequence[str], **environment: str):
    """Starts `python *command` with variables added to the environment."""
    self._name = ' '.join(command)
    self._process = subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})

  def ask(self, call: str, **arguments: Any) -> Answer:
    """Calls a method of the worker's object and waits for what it returns.

    Args:
      call: Name of the method.
      **arguments: For it, as JSON has them.

    Raises:
      options.UserError: the call raised one.
      RuntimeError: the call failed otherwise, or the worker ended.
    """
    try:
      self._process.stdin.write(json.dumps([call, arguments]) + '\n')
      self._process.stdin.flush()
      line = self._process.stdout.readline()
    except BrokenPipeError:
      line = ''
    if not line:
      raise RuntimeError(
          f'{self._name}: ended with status {self._process.wait()}')
    kind, content = json.loads(line)
    if kind == 'user error':
      raise errors.UserError(content)
    if kind == 'error':
      raise RuntimeError(f'{self._name}: {call}: {content}')
    return Answer(**content)

  def close(self) -> None:
    """Ends the worker, and waits for it."""
    self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()

  def __enter__(self) -> 'Worker':
    return self

  def __exit__(self, *_: Any) -> None:
    self.close()


def serve(side: Any) -> None:
  """Answers calls of a side's methods until the parent closes the pipe."""
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)  # What libraries print must not come between the answers.
  before = time.process_time()
  for line in sys.stdin:
    idle = time.process_time() - before
    call, arguments = json.loads(line)
    try:
      cpu, wall = time.process_time(), time.perf_counter()
      value = getattr(side, call)(**arguments)
      seconds = time.perf_counter() - wall
      reply = 'answer', dataclasses.asdict(Answer(
          value, seconds, time.process_time() - cpu, idle))
    except errors.UserError as error:
      reply = 'user error', str(error)
    except Exception as error:  # pylint: disable=broad-except
      reply = 'error', f'{type(error).__name__}: {error}'
    answers.write(json.dumps(reply) + '\n')
    answers.flush()
    before = time.process_time()


def best_seconds(call: Callable[[], Any], repeats: int) -> float:
  """Returns the wall seconds of the fastest of some calls."""
  fastest = float('inf')
  for _ in range(repeats):
    start = time.perf_counter()
    call()
    fastest = min(fastest, time.perf_counter() - start)
  return fastest


def turn(worker: Worker, call: str, **arguments: Any) -> Answer:
  """Returns the answer of a worker once the other has come to rest."""
  time.sleep(_PAUSE)
  return worker.ask(call, **arguments)


def in_turns(
    sides: Mapping[str, Worker], turns: int,
    calls: Mapping[str, tuple[str, dict[str, Any]]],
    awaken: tuple[str, dict[str, Any]] | None = None,
) -> dict[str, list[Answer]]:
  """Returns {side: answers} of calls made A B A B, one at a time.

  Args:
    sides: {side: worker}.
    turns: Calls of each side that count; one before them warms up.
    calls: {side: (call, arguments)}.
    awaken: A call made before each of them that does not count: the other side
      has had the caches meanwhile.
  """
  answers = {name: [] for name in sides}
  for number in range(-1, turns):
    for name, worker in sides.items():
      call, arguments = calls[name]
      time.sleep(_PAUSE)  # The other comes to rest.
      if awaken:
        worker.ask(awaken[0], **awaken[1])
      answer = worker.ask(call, **arguments)
      if number >= 0:
        answers[name].append(answer)
  return answers
