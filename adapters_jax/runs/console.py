"""Messages of a run: device, trained parameters, summary.

The library only logs, to the logger `adapters_jax`; a script calls `show` to
print the messages and to draw progress bars.
"""

from collections.abc import Callable, Mapping, Sequence
import contextlib
import io
import logging
import sys
from typing import Any

import jax
import rich.console
import rich.table
import tqdm

from adapters_jax import trees
from adapters_jax.downloads import progress

_LOGGER = logging.getLogger('adapters_jax')
_DOWNLOADS = logging.getLogger(progress.__name__)

# Columns; in a narrower console rich would cut cells, scores among them.
_UNBOUNDED = 10**6


def is_terminal(stream: Any) -> bool:
  """Returns whether a stream such as sys.stderr is a terminal."""
  try:
    return stream.isatty()
  except (AttributeError, ValueError):  # None or closed, as in a daemon.
    return False


class _Printer(logging.Handler):
  """Prints messages above progress bars."""

  text_of: Callable[[str], str] = staticmethod(str)
  stream = 'stdout'
  prefix = ''
  _bar: tqdm.tqdm | None = None

  def emit(self, record: logging.LogRecord) -> None:
    """Prints one message, or draws the bar of a download."""
    # Looked up now: `hosts.on_first` redirects stdout.
    stream = getattr(sys, self.stream)
    transfer = getattr(record, 'transfer', None)
    if transfer and is_terminal(sys.stderr):
      self._draw(transfer)
      return
    if record.levelno < logging.INFO:
      return
    text = self.text_of(self.format(record))
    if self.prefix:
      text = '\n'.join(self.prefix + line for line in text.splitlines())
    if record.levelno >= logging.ERROR:
      stream, text = sys.stderr, f'error: {text}'
    # Training outlives a closed terminal, and a full disk under a log.
    with contextlib.suppress(OSError):
      tqdm.tqdm.write(text, file=stream)
      stream.flush()

  def _draw(self, transfer: progress.Transfer) -> None:
    """Shows the state of a download as a bar, removed at its end."""
    if self._bar is None:
      self._bar = tqdm.tqdm(
          desc=transfer.name, total=transfer.total or None,
          initial=transfer.done, unit='B', unit_scale=True, leave=False,
          mininterval=0, dynamic_ncols=True)
    self._bar.update(transfer.done - self._bar.n)
    if transfer.ended:
      self._bar.close()
      self._bar = None


# A single handler, as a logger adds none twice. DEBUG lets downloads draw bars.
_HANDLER = _Printer(logging.DEBUG)


def show(
    text_of: Callable[[str], str] = str, stream: str = 'stdout',
    prefix: str = '',
) -> None:
  """Prints the library's messages and draws its progress bars from now on.

  Args:
    text_of: Rewrites a message, such as names of arguments into flags.
    stream: 'stdout', or 'stderr' where the output is data.
    prefix: Start of every line, such as the name of the run.
  """
  _HANDLER.prefix = prefix
  _HANDLER.stream = stream
  _HANDLER.text_of = text_of
  _LOGGER.addHandler(_HANDLER)
  _LOGGER.setLevel(logging.INFO)
  _DOWNLOADS.setLevel(logging.DEBUG)
  # A handler of the root logger would print every message again.
  _LOGGER.propagate = False


def is_shown() -> bool:
  """Returns whether `show` prints the messages."""
  return _HANDLER in _LOGGER.handlers


def hide() -> None:
  """Undoes `show`."""
  _LOGGER.removeHandler(_HANDLER)
  _LOGGER.setLevel(logging.NOTSET)
  _DOWNLOADS.setLevel(logging.NOTSET)
  _LOGGER.propagate = True


def device_line(versions: Mapping[str, str]) -> str:
  """Returns one line that names the device and the versions."""
  named = ', '.join(f'{name} {version}' for name, version in versions.items())
  return f'{describe_devices()}; {named}'


def describe_devices() -> str:
  """Returns e.g. '1 x cpu (cpu)'."""
  devices = jax.devices()
  return f'{len(devices)} x {devices[0].platform} ({devices[0].device_kind})'


def role_counts(tree: trees.Tree) -> dict[str, int]:
  """Returns {role: parameters} of the roles that occur in a tree."""
  counts = {}
  for path, leaf in trees.flatten(tree).items():
    role = trees.role(path)
    counts[role] = counts.get(role, 0) + trees.count({'leaf': leaf})
  return counts


def trained_table(tuned: trees.Tree, params: trees.Tree) -> str:
  """Returns a table of the trained parameters by role, with their shares.

  'of layers' divides by the pretrained Transformer layers, as the paper's
  2.1 % does; 'of all' by every parameter of the model, embeddings included.

  Args:
    tuned: Tuned tree.
    params: Whole tree; shapes are enough.
  """
  encoder = trees.count(trees.split(
      params, lambda path: path.startswith('encoder/')
      and trees.role(path) not in ('adapter', *trees.UNTRAINED))[0])
  total = trees.count(params)
  table = rich.table.Table(title='trained parameters', title_justify='left')
  for name in ('role', 'parameters', 'of layers', 'of all'):
    table.add_column(name, justify='left' if name == 'role' else 'right')
  counts = role_counts(tuned)
  for role, count in (*counts.items(), ('trained', trees.count_trained(tuned))):
    table.add_row(role, f'{count:,}', f'{count / encoder:.2%}',
                  f'{count / total:.2%}')
  table.add_row('model', f'{total:,}', '', '')
  return _text(table, 72)


def _text(table: rich.table.Table, width: int) -> str:
  """Returns a table as plain text."""
  text = io.StringIO()
  # In a notebook rich would display the table and leave the text empty. As
  # markup, the brackets of 'lora[r=8]' would be left out.
  rich.console.Console(
      file=text, width=width, force_jupyter=False, color_system=None,
      markup=False, emoji=False).print(table)
  return text.getvalue().rstrip('\n')


def rows_table(rows: Sequence[Mapping[str, str]], title: str) -> str:
  """Returns a table of rows of text, whose cells are never cut.

  It is as wide as its cells; a narrow terminal wraps the lines.

  Args:
    rows: {column: text}, with the same columns in every row.
    title: Title of the table.
  """
  table = rich.table.Table(title=title, title_justify='left')
  for name in rows[0]:
    words = name in ('task', 'method', 'metric')
    table.add_column(name, justify='left' if words else 'right', no_wrap=True)
  for row in rows:
    table.add_row(*row.values())
  return _text(table, _UNBOUNDED)


_PLAIN = ('perplexity',)  # Metrics that are not shown in percent.


def percent(metrics: Mapping[str, float]) -> str:
  """Returns metrics in percent, as in 'accuracy 82.31, f1 81.90'."""
  return ', '.join(
      f'{name} {(1 if name in _PLAIN else 100) * v:.2f}'
      for name, v in metrics.items())


def run_summary(record: Any, folder: str) -> str:
  """Returns the closing lines of a run.

  Args:
    record: Record of the run.
    folder: Workdir of the run.
  """
  lines = [
      f'{split}: {percent(metrics)}'
      for split, metrics in record.metrics.items()]
  share = record.trained_params / record.total_params
  lines.append(
      f'trained {record.trained_params:,} of {record.total_params:,} '
      f'parameters ({share:.2%}), {record.steps} steps, '
      f'{record.seconds:.0f} s')
  lines += [f'note: {note}' for note in record.notes]
  lines.append(f'saved in {folder}: record.json, adapter/')
  return '\n'.join(lines)
