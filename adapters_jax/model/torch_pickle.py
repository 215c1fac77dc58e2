"""The pickles in files of `torch.save`, read without executing them.

A pickle is a program, which the standard library would run. `interpret` follows
the few instructions that a dict of tensors consists of, and refuses all others.
It allocates nothing that the file does not contain.
"""

from collections.abc import Callable
import dataclasses
import math
import pickletools
from typing import Any

import ml_dtypes
import numpy as np

# {type of a storage in the pickle: type of its numbers}
_TYPES = {
    'torch DoubleStorage': np.float64, 'torch FloatStorage': np.float32,
    'torch HalfStorage': np.float16,
    'torch BFloat16Storage': ml_dtypes.bfloat16,
    'torch LongStorage': np.int64, 'torch IntStorage': np.int32,
    'torch ShortStorage': np.int16, 'torch CharStorage': np.int8,
    'torch ByteStorage': np.uint8, 'torch BoolStorage': np.bool_,
}
_ORDERED_DICT = 'collections OrderedDict'
_TENSOR = 'torch._utils _rebuild_tensor_v2'
_PARAMETER = 'torch._utils _rebuild_parameter'
_NAMES = {*_TYPES, _ORDERED_DICT, _TENSOR, _PARAMETER}
_MOST_AXES = 64  # Limit of numpy.


class FormatError(ValueError):
  """A file that is damaged, or holds more than a dict of tensors."""


@dataclasses.dataclass(frozen=True)
class Storage:
  """Consecutive numbers in the file, which tensors are views of.

  Attributes:
    key: Name in the file.
    dtype: Type of the numbers.
    size: Count of the numbers.
  """
  key: str
  dtype: np.dtype
  size: int

  @property
  def bytes(self) -> int:
    """Size in the file."""
    return self.size * self.dtype.itemsize


@dataclasses.dataclass(frozen=True)
class View:
  """A tensor as torch describes it: a view of a storage.

  Attributes:
    storage: Numbers of the tensor, and perhaps of others.
    offset: Index of its first number.
    shape: Shape of the tensor.
    strides: Distance between neighbours along each axis, in numbers.
  """
  storage: Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  def __post_init__(self):
    numbers = (self.offset, *self.shape, *self.strides)
    if (len(self.shape) != len(self.strides) or len(self.shape) > _MOST_AXES
        or not all(type(n) is int and n >= 0 for n in numbers)):
      raise FormatError('a tensor has no valid shape')
    last = self.offset + sum(
        (count - 1) * step for count, step in zip(self.shape, self.strides))
    if self.bytes and last >= self.storage.size:
      raise FormatError('a tensor reaches outside its storage')

  @property
  def bytes(self) -> int:
    """Size in memory."""
    return math.prod(self.shape) * self.storage.dtype.itemsize


@dataclasses.dataclass(frozen=True)
class _Name:
  """A class or function that the pickle names; never imported."""
  name: str


def interpret(file: Any) -> Any:
  """Returns the value of a pickle; tensors are `View`s.

  Args:
    file: Binary file at the start of the pickle; left after its end.

  Raises:
    FormatError: the pickle is damaged or has other values than tensors, names
      and plain values of Python.
  """
  machine = _Machine()
  try:
    for opcode, argument, _ in pickletools.genops(file):
      if opcode.name == 'STOP':
        return machine.pop()
      if opcode.name not in _INSTRUCTIONS:
        raise FormatError(f'its pickle has the instruction {opcode.name}')
      _INSTRUCTIONS[opcode.name](machine, argument)
  # Damage shows as an empty stack, an unknown entry of the memo, or a value of
  # another type.
  except (AttributeError, IndexError, KeyError, MemoryError, OverflowError,
          TypeError, ValueError) as error:
    if isinstance(error, FormatError):
      raise
    raise FormatError(f'its pickle is damaged ({error!r})') from error
  raise FormatError('its pickle has no end')


class _Machine:
  """The stack and the memo of a pickle's interpreter."""

  def __init__(self):
    self._stack = []
    self._marks = []  # Heights of the stack.
    self._memo = {}

  def push(self, value: Any) -> None:
    """Puts a value on the stack."""
    self._stack.append(value)

  def pop(self) -> Any:
    """Takes the last value from the stack."""
    return self._stack.pop()

  def pop_last(self, count: int) -> tuple[Any, ...]:
    """Takes the last values from the stack."""
    return tuple(reversed([self._stack.pop() for _ in range(count)]))

  def mark(self) -> None:
    """Marks the height of the stack."""
    self._marks.append(len(self._stack))

  def pop_marked(self) -> tuple[Any, ...]:
    """Takes the values above the last mark from the stack."""
    return self.pop_last(len(self._stack) - self._marks.pop())

  def remember(self, index: int | None) -> None:
    """Puts the last value into the memo; without an index, at its end."""
    self._memo[len(self._memo) if index is None else index] = self._stack[-1]

  def recall(self, index: int) -> None:
    """Puts a value of the memo on the stack."""
    self.push(self._memo[index])

  def name(self, name: str) -> None:
    """Puts a class or function on the stack."""
    if name not in _NAMES:
      raise FormatError(f'{name.replace(" ", ".")} is not part of a tensor')
    self.push(_Name(name))

  def append(self, values: tuple[Any, ...]) -> None:
    """Appends values to the list that is last on the stack."""
    if type(self._stack[-1]) is not list:
      raise FormatError('its pickle appends to no list')
    self._stack[-1].extend(values)

  def set(self, values: tuple[Any, ...]) -> None:
    """Puts (key, value, key, value, ...) into the dict on the stack."""
    for key, value in zip(values[::2], values[1::2], strict=True):
      # Tuples of tuples could take forever to hash.
      if type(self._stack[-1]) is not dict or type(key) not in (str, int):
        raise FormatError('its pickle has other keys than names')
      self._stack[-1][key] = value

  def call(self) -> None:
    """Calls the stand-in of the function on the stack."""
    function, arguments = self.pop_last(2)
    if function == _Name(_ORDERED_DICT) and arguments == ():
      self.push({})
    elif function == _Name(_TENSOR) and isinstance(arguments[0], Storage):
      # Gradients and hooks follow.
      storage, offset, shape, strides = arguments[:4]
      self.push(View(storage, offset, tuple(shape), tuple(strides)))
    elif function == _Name(_PARAMETER) and isinstance(arguments[0], View):
      self.push(arguments[0])
    else:
      raise FormatError('its pickle calls a function that makes no tensor')

  def build(self) -> None:
    """Drops the attributes that torch adds to the dict of a model."""
    self.pop()
    # Attributes of anything else could change how the tensors are read.
    if type(self._stack[-1]) is not dict:
      raise FormatError('its pickle changes other values than a dict')

  def storage(self) -> None:
    """Replaces the description of a storage on the stack."""
    # The device follows. Files before torch 1.0 may end with a view.
    kind, name, key, _, size, *view = self.pop()
    if (kind != 'storage' or name.name not in _TYPES or type(key) is not str
        or type(size) is not int or size < 0 or any(view)):
      raise FormatError('its pickle has a storage of an unknown kind')
    self.push(Storage(key, np.dtype(_TYPES[name.name]), size))


_Instruction = Callable[[_Machine, Any], None]
# {instruction of a pickle: (machine, its argument) -> None}
_INSTRUCTIONS: dict[str, _Instruction] = {
    'PROTO': lambda machine, _: None, 'FRAME': lambda machine, _: None,
    'NONE': lambda machine, _: machine.push(None),
    'NEWTRUE': lambda machine, _: machine.push(True),
    'NEWFALSE': lambda machine, _: machine.push(False),
    **dict.fromkeys(
        ('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'BINUNICODE',
         'SHORT_BINUNICODE'), _Machine.push),
    'EMPTY_DICT': lambda machine, _: machine.push({}),
    'EMPTY_LIST': lambda machine, _: machine.push([]),
    'EMPTY_TUPLE': lambda machine, _: machine.push(()),
    'MARK': lambda machine, _: machine.mark(),
    'TUPLE': lambda machine, _: machine.push(machine.pop_marked()),
    'TUPLE1': lambda machine, _: machine.push(machine.pop_last(1)),
    'TUPLE2': lambda machine, _: machine.push(machine.pop_last(2)),
    'TUPLE3': lambda machine, _: machine.push(machine.pop_last(3)),
    'APPEND': lambda machine, _: machine.append(machine.pop_last(1)),
    'APPENDS': lambda machine, _: machine.append(machine.pop_marked()),
    'SETITEM': lambda machine, _: machine.set(machine.pop_last(2)),
    'SETITEMS': lambda machine, _: machine.set(machine.pop_marked()),
    **dict.fromkeys(('BINPUT', 'LONG_BINPUT', 'MEMOIZE'), _Machine.remember),
    **dict.fromkeys(('BINGET', 'LONG_BINGET'), _Machine.recall),
    'GLOBAL': _Machine.name,
    'STACK_GLOBAL': lambda machine, _: machine.name(
        ' '.join(machine.pop_last(2))),
    'REDUCE': lambda machine, _: machine.call(),
    'BUILD': lambda machine, _: machine.build(),
    'BINPERSID': lambda machine, _: machine.storage(),
}
