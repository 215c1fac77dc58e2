"""Raw text for language modelling: lines, a column of a table, or in memory."""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
import os

from adapters_jax import errors
from adapters_jax.data import held_out
from adapters_jax.data import progress
from adapters_jax.data import rows
from adapters_jax.data import sequences
from adapters_jax.data import shown
from adapters_jax.data import tables

FORMATS = ('.txt', *rows.FORMATS)


@dataclasses.dataclass(frozen=True, eq=False)
class Texts:
  """Texts without labels, for masked language modelling.

  >>> len(aj.Texts(['A joy.', '', 'Dull.']))
  2

  Attributes:
    texts: Texts; empty ones are left out.
  """
  texts: Sequence[str]

  def __post_init__(self):
    texts = sequences.as_list('texts', self.texts)
    sequences.check_present('texts', texts)
    for number, text in enumerate(texts):
      if not isinstance(text, str):
        raise errors.UserError(
            f'`texts[{number}]`: give a string, not {type(text).__name__}')
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
      raise errors.UserError('`texts`: there is no text')
    object.__setattr__(self, 'texts', texts)

  def __len__(self) -> int:
    return len(self.texts)

  def __repr__(self) -> str:
    """Returns one line with the number of texts."""
    return shown.line(self, shown.count(len(self), 'text'))


# (texts, dev, test) -> {'train', 'dev' and perhaps 'test': texts}.
splits = functools.partial(
    held_out.in_memory, of=lambda one: one.texts,
    too_few='`texts`: two texts or more are needed', text=str)


def read(path: str, column: str) -> list[str]:
  """Returns the texts of a file, without empty ones.

  Args:
    path: A .txt file with a text a line, or a file that `rows.read` reads.
    column: Column of the text in a table.

  Raises:
    errors.UserError: a fault of the file, or no text in it.
  """
  form = os.path.splitext(path)[1].lower()
  if form not in FORMATS:
    raise errors.UserError(
        f'{path}: the name must end in {", ".join(FORMATS)}')
  if form == '.txt':
    try:
      with open(path, 'rb') as file:
        texts = []
        lines = progress.logged(
            rows.lines_of(file, path), 'read', f'lines of {path}')
        for number, line in enumerate(lines, 1):
          rows.check_return(path, number, line)
          texts.append(line.strip())
    except OSError as error:
      raise errors.UserError(f'{path}: cannot be read ({error})') from error
  else:
    texts = [tables.texts_of(path, line, row, (column,))[0].strip()
             for line, row in rows.read(path)]
  texts = [text for text in texts if text]
  if not texts:
    raise errors.UserError(f'{path}: no text in it')
  return texts


def load(
    paths: Mapping[str, str], column: str, dev_fraction: float = 0.0,
    test_fraction: float = 0.0,
) -> dict[str, list[str]]:
  """Reads the splits of a task.

  Args:
    paths: {'train' and possibly 'dev' and 'test': path}.
    column: Column of the text in a table.
    dev_fraction: Share of the training texts to hold out as dev.
    test_fraction: Share to hold out as test in addition.

  Returns:
    {'train', 'dev' and perhaps 'test': texts}

  Raises:
    errors.UserError: a fault of a file.
  """
  splits = {name: read(path, column) for name, path in paths.items()}
  if 'dev' not in splits:
    if len(splits['train']) < 3:
      raise errors.UserError(
          f'{paths["train"]}: three texts or more are needed to hold some out')
    return held_out.of_train(splits, dev_fraction, test_fraction, str)
  return splits
