"""Labels texts with a saved adapter, answers questions, or tags words.

Each line of the input is a text; a tab separates the two texts of a pair. Of a
file named .tsv, .csv or .jsonl the columns of the training are read, or those
that `--text_columns` names.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import itertools
import sys
from typing import Any, IO

from adapters_jax import errors
from adapters_jax.api import flags
from adapters_jax.api import inputs
from adapters_jax.data import predicted
from adapters_jax.runs.options import option

_CHUNK = 1024  # Inputs per call, which bounds the memory.


@dataclasses.dataclass(frozen=True)
class PredictConfig:
  """Settings of a prediction; every field is a flag."""
  adapter: str = option('', "A run's workdir, or a saved adapter's folder.")
  checkpoint: str = option(
      '', 'The base, where the adapter was trained on a folder.')
  input: str = option('-', "File to read; '-' for standard input.")
  input_format: str = option(
      '', f'Input: {", ".join(inputs.FORMATS)}, or conll for taggers; when '
      'empty, by the end of the name, lines otherwise.')
  text_columns: str = option(
      '', 'Column of the text in a table, or of two texts: a,b; those of the '
      'training when empty.')
  format: str = option('tsv', "Output: 'tsv' or 'jsonl'.")
  batch_size: int = option(32, 'Inputs a step.')


def _check(config: PredictConfig) -> None:
  """Raises UserError for a setting that cannot work."""
  if not config.adapter:
    raise errors.UserError('`adapter`: name the workdir of a finished run')
  if config.format not in predicted.FORMATS:
    raise errors.unknown('`format`', config.format, predicted.FORMATS)
  formats = (*inputs.FORMATS, 'conll')
  if config.input_format not in ('', *formats):
    raise errors.unknown('`input_format`', config.input_format, formats)
  if not 1 <= config.batch_size <= 2**20:
    raise errors.UserError(
        f'`batch_size={config.batch_size}`: give 1 to 1,048,576')


def _columns_of(config: PredictConfig, names: Sequence[str]) -> list[str]:
  """Returns the columns of the texts, [] for those of the training.

  Args:
    config: Settings.
    names: Names of the adapter's texts.

  Raises:
    errors.UserError: another number of columns than of texts.
  """
  columns = [name for column in config.text_columns.split(',')
             if (name := column.strip())]
  if columns and len(columns) != len(names):
    raise errors.UserError(
        f'`text_columns={config.text_columns}`: the adapter reads '
        f'{len(names)} ({", ".join(names)})')
  return columns


def _given(
    config: PredictConfig, file: IO[bytes], adapter: Any
) -> Iterator[Any]:
  """Returns the texts of each input, or the words of each sentence.

  Args:
    config: Settings.
    file: File open for reading bytes.
    adapter: Adapter.
  """
  columns = _columns_of(config, adapter.texts)
  if adapter.head.name == 'tags':
    return inputs.read_words(
        file, config.input, config.input_format, ''.join(columns))
  return inputs.read_texts(
      file, config.input, config.input_format, adapter.texts, columns,
      adapter.head.choices)


def _chunks(texts: Iterator[Any]) -> Iterator[list[Any]]:
  """Yields the inputs in parts that bound the memory."""
  # Output starts before the input ends, and a fault in a late line comes late.
  while chunk := list(itertools.islice(texts, _CHUNK)):
    yield chunk


def main(config: PredictConfig) -> None:
  """Labels every input."""
  _check(config)
  with inputs.opened(config.input) as file:
    from adapters_jax.adapters import prediction  # Slow: after the checks.
    from adapters_jax.analysis import predictions
    from adapters_jax.runs import console
    from adapters_jax.runs import session
    console.show(flags.as_text, 'stderr')
    session.enable_compilation_cache()
    base, adapter = prediction.load(config.adapter, config.checkpoint)
    writer = predictions.writer_of(adapter, config.format)
    print(*writer.header(), sep='\n', end='\n' * bool(writer.header()))
    count = cut = 0
    for chunk in _chunks(_given(config, file, adapter)):
      found = predictions.outputs(base, adapter, chunk, config.batch_size)
      for texts, one in zip(chunk, found, strict=True):
        print(writer.line(texts, one))
      sys.stdout.flush()
      count += len(chunk)
      cut += prediction.count_cut(base, adapter, chunk)
  if cut:
    print(f'{cut:,} of {count:,} inputs were cut to the '
          f'{adapter.max_length} tokens of the training', file=sys.stderr)


def start() -> None:
  """Runs the command with the flags of the command line."""
  flags.define(PredictConfig)
  flags.start(PredictConfig, main)
