"""Processes that work in turns, by one JSON line for each call and answer.

Two libraries in one process disturb each other: the threads of one wait
actively while the other computes. So each side is a process of its own, and the
parent, which imports neither, asks one at a time. The worker itself times the
work of a call. Each answer includes the processor time of the worker since its
previous answer, which should be none.
"""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from typing import Any

from adapters_jax import errors

# Pause before a turn, in which the threads of the other side go to sleep.
_PAUSE = 0.1  # Seconds.


@dataclasses.dataclass(frozen=True)
class Answer:
  """Result and times of a call.

  Attributes:
    value: Value that the call returned.
    seconds: Wall time of the call.
    cpu_seconds: Processor time of the call, over all threads.
    idle_cpu_seconds: Processor time of the worker since its previous answer.
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
    """Calls a method of the worker's object and waits for the result.

    Args:
      call: Name of the method.
      **arguments: Arguments of the method, of types that JSON can hold.

    Raises:
      errors.UserError: the call raised one.
      RuntimeError: the call failed otherwise, or the worker ended.
    """
    try:
      self._process.stdin.write(json.dumps([call, arguments]) + '\n')
      self._process.stdin.flush()
      line = self._process.stdout.readline()
    except BrokenPipeError:
      line = ''  # The worker has ended.
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
    # `serve` returns at the end of its input.
    with contextlib.suppress(BrokenPipeError):  # The worker has ended already.
      self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()

  def __enter__(self) -> 'Worker':
    return self

  def __exit__(self, *_: Any) -> None:
    self.close()


def serve(side: Any) -> None:
  """Answers calls of a side's methods until the parent closes the pipe."""
  # A copy of the pipe: 1 itself is redirected below.
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)  # Keeps libraries' prints out of the answers.
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
  """Returns the wall seconds of the fastest call.

  Args:
    call: Function to time.
    repeats: Number of calls.
  """
  fastest = float('inf')
  for _ in range(repeats):
    start = time.perf_counter()
    call()
    fastest = min(fastest, time.perf_counter() - start)
  return fastest


def turn(worker: Worker, call: str, **arguments: Any) -> Answer:
  """Asks a worker after a pause, in which the other's threads go to sleep.

  Args:
    worker: Worker to ask.
    call: Name of the method.
    **arguments: Arguments of the method.
  """
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
    turns: Calls of each side that count, after one that warms up.
    calls: {side: (call, arguments)}.
    awaken: Untimed call before each of them, to fill the caches again: the
      other side has replaced their contents.
  """
  answers = {name: [] for name in sides}
  # -1 is the call that warms up.
  for number in range(-1, turns):
    for name, worker in sides.items():
      call, arguments = calls[name]
      time.sleep(_PAUSE)  # The other side's threads go to sleep.
      if awaken:
        worker.ask(awaken[0], **awaken[1])
      answer = worker.ask(call, **arguments)
      if number >= 0:
        answers[name].append(answer)
  return answers
