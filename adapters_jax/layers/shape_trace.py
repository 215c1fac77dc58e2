"""Marks a trace of a model that only asks for the shapes of its parameters.

Within it, modules skip work that makes no parameter or repeats a known one.
"""

from collections.abc import Hashable, Iterator
import contextlib
import contextvars
import dataclasses


@dataclasses.dataclass(frozen=True)
class ShapeTrace:
  """The marked trace.

  Attributes:
    encoder: Whether the shapes of the encoder are wanted too.
    same_as: {index of a layer: index of a lower layer with the same leaves},
      filled by the trace.
  """
  encoder: bool
  same_as: dict[int, int] = dataclasses.field(default_factory=dict)
  _first: dict[Hashable, int] = dataclasses.field(default_factory=dict)

  def repeats(self, layer: int, key: Hashable) -> bool:
    """Returns whether a lower layer has the same leaves, and notes that layer.

    Args:
      layer: Index of the layer.
      key: Equal in layers with the same leaves.
    """
    first = self._first.setdefault(key, layer)
    if first != layer:
      self.same_as[layer] = first
    return first != layer


# A context variable: other threads may compute values meanwhile.
_current: contextvars.ContextVar[ShapeTrace | None] = contextvars.ContextVar(
    'shape_trace', default=None)


def current() -> ShapeTrace | None:
  """Returns the marked trace that runs, None outside one."""
  return _current.get()


@contextlib.contextmanager
def marked(*, encoder: bool) -> Iterator[ShapeTrace]:
  """Marks the traces inside.

  Args:
    encoder: Whether the shapes of the encoder are wanted too.
  """
  trace = ShapeTrace(encoder)
  token = _current.set(trace)
  try:
    yield trace
  finally:
    _current.reset(token)
