"""Labels texts with saved adapters, answers questions, or tags words.

Each line of the input is a text; a tab separates the two texts of a pair. From
a file named .tsv, .csv, .jsonl or .parquet it reads the columns used in
training, or those that `--text_columns` names. With several adapters,
`--adapters=DIR,DIR`, each labels every input, or only those inputs whose
`--adapter_column` names it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
import dataclasses
import itertools
import json
import sys
from typing import Any, IO

from adapters_jax import errors
from adapters_jax.adapters import folders
from adapters_jax.api import flags
from adapters_jax.api import inputs
from adapters_jax.api import streams
from adapters_jax.data import predicted
from adapters_jax.runs import options
from adapters_jax.runs.options import option


@dataclasses.dataclass(frozen=True)
class PredictConfig:
  """Settings of a prediction; every field is a flag."""
  adapter: str = option(
      '', "A run's workdir, a saved adapter's folder, or a name on the Hugging "
      'Face hub.')
  adapters: str = option(
      '', 'Several of them, with commas, each DIR or name=DIR; with '
      '--format=jsonl, unless a setup makes one adapter of them.')
  adapter_column: str = option(
      '', "Column with the name of one of 'adapters' for each input; without "
      'it all label every input.')
  setup: str = option(
      '', "Setup of 'adapters', like 'stack(domain, task)', 'parallel(a, b)'.")
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
  if not config.adapter and not config.adapters:
    raise errors.UserError('`adapter`: name the workdir of a finished run')
  if config.adapter and config.adapters:
    raise errors.UserError('`adapter`, `adapters`: give one of them')
  if config.setup and (not config.adapters or config.adapter_column):
    raise errors.UserError(
        '`setup`: is for `adapters`, and without `adapter_column`')
  if config.adapters:
    given = folders.parse(config.adapters)
    if config.format != 'jsonl' and not _is_one(config.setup, given):
      raise errors.UserError(
          f'`format={config.format}`: give jsonl with `adapters`, whose '
          'classes differ')
  elif config.adapter_column:
    raise errors.UserError('`adapter_column`: is for `adapters`')
  if config.format not in predicted.FORMATS:
    raise errors.unknown('`format`', config.format, predicted.FORMATS)
  formats = (*inputs.FORMATS, 'conll')
  if config.input_format not in ('', *formats):
    raise errors.unknown('`input_format`', config.input_format, formats)
  if not 1 <= config.batch_size <= 2**20:
    raise errors.UserError(
        f'`batch_size={config.batch_size}`: give 1 to 1,048,576')
  if config.input == '-' and sys.stdin is None:
    raise errors.UserError(
        '`input=-`: standard input is closed; name a file')
  if config.adapter:
    folders.check_saved(config.adapter, '`adapter`')
  else:
    folders.parse_existing(config.adapters)


def _is_one(setup: str, given: Collection[str]) -> bool:
  """Returns whether a setup gives one answer per input; without one, all do.

  Args:
    setup: Setup, perhaps ''.
    given: Names of the adapters.
  """
  if not setup or setup in given:
    return bool(setup)
  from adapters_jax.model import setups  # Imports JAX.
  return len(setups.columns(setups.parse(setup))) == 1


def _columns_of(
    config: PredictConfig, names: Sequence[str]
) -> tuple[str, ...]:
  """Returns the columns of the texts, () for those used in training.

  Args:
    config: Settings.
    names: Names of the adapter's texts.

  Raises:
    errors.UserError: another number of columns than of texts.
  """
  columns = options.names(config.text_columns)
  if columns and len(columns) != len(names):
    raise errors.UserError(
        f'`text_columns={config.text_columns}`: the adapter reads '
        f'{len(names)} ({", ".join(names)})')
  return columns


def _given(
    config: PredictConfig, file: IO[bytes], adapter: Any
) -> Iterator[Any]:
  """Reads the texts of each input, or the words of each sentence.

  Args:
    config: Settings.
    file: File open for reading bytes.
    adapter: Adapter.
  """
  columns = _columns_of(config, adapter.texts)
  if adapter.head.reads_words:
    return inputs.read_words(
        file, config.input, config.input_format, ''.join(columns),
        str(adapter.settings.get('text_columns', '')), adapter.classes)
  return inputs.read_texts(
      file, config.input, config.input_format, adapter.texts, columns,
      adapter.head.choices)


def main(config: PredictConfig) -> None:
  """Labels every input."""
  _check(config)
  with inputs.opened(config.input) as file:
    from adapters_jax.adapters import prediction  # Slow: after the checks.
    from adapters_jax.runs import console
    from adapters_jax.runs import session
    console.show(flags.as_text, 'stderr')
    session.enable_compilation_cache()
    if config.adapters:
      _label_by_bank(config, file)
      return
    base, adapter = prediction.load(config.adapter, config.checkpoint)
    _label(config, file, base, adapter)


def _progress(config: PredictConfig, file: IO[bytes]) -> streams.Progress:
  jumps = inputs.form_of(config.input, config.input_format) == 'parquet'
  return streams.Progress(None if jumps else file)


def _label(config: PredictConfig, file: Any, base: Any, adapter: Any) -> None:
  """Prints the outputs of one adapter."""
  from adapters_jax.adapters import prediction
  from adapters_jax.analysis import predictions
  writer = predictions.writer_of(adapter, config.format)
  parts = streams.parts(file, lambda file: _given(config, file, adapter))
  first = next(parts, [])  # Without any input, there is a header alone.
  header = writer.header()
  progress = _progress(config, file)
  count = cut = 0
  for part in itertools.chain([first], parts):
    found, longer = prediction.values(
        base, {'': adapter}, [''] * len(part), part, config.batch_size,
        first=count)
    for line in header:  # Now: the first predictions may fail, too.
      print(line)
    header = []
    for row, (texts, one) in enumerate(zip(part, found, strict=True)):
      print(writer.line(
          texts, predictions.shown(adapter, one), cut=row in longer))
    sys.stdout.flush()
    count += len(part)
    cut += len(longer)
    progress.update(count)
  if cut:
    print(f'{cut:,} of {count:,} inputs were cut to the '
          f'{adapter.max_length} tokens of the training', file=sys.stderr)


def _label_by_bank(config: PredictConfig, file: Any) -> None:
  """Prints outputs of all adapters, of a setup, or of the one that is named."""
  from adapters_jax.adapters import every
  from adapters_jax.adapters import prediction
  from adapters_jax.adapters import readings
  from adapters_jax.adapters import resident
  from adapters_jax.analysis import predictions
  from adapters_jax.api import banks
  base, bank = banks.load(config.adapters, config.checkpoint, config.setup)
  if config.setup and len(bank) == 1:
    _label(config, file, base, *bank.values())
    return
  texts = _texts_of(config, bank)
  writers = {name: predictions.writer_of(adapter, 'jsonl')
             for name, adapter in bank.items()}

  def entries(name, one, cut):
    return writers[name].entries(predictions.shown(bank[name], one), cut)

  # The column with the adapter's name is read like one more text.
  last = [config.adapter_column] if config.adapter_column else []
  columns = _columns_of(config, texts)
  # Place all adapters once: the next inputs may name others, and a bank of
  # another size would be compiled again.
  placed = resident.place(base, bank) if last else None
  stacked = [] if last else every.place(base, bank)
  progress = _progress(config, file)
  count = 0
  for part in streams.parts(file, lambda file: inputs.read_texts(
      file, config.input, config.input_format, [*texts, *last],
      [*columns, *last] if columns else [])):
    rows = [row[:len(texts)] for row in part]
    if last:
      names = [_known(row[-1], bank, number)
               for number, row in enumerate(part, count)]
      found, cut = prediction.values(
          base, bank, names, rows, config.batch_size, placed, count)
      readings.log_cut(len(cut), len(rows))
      shown = [{'adapter': name, **entries(name, one, row in cut)}
               for row, (name, one) in enumerate(zip(
                   names, found, strict=True))]
    else:
      by_name, longer = every.by_adapter(
          base, bank, rows, config.batch_size, count, stacked)
      shown = [{'adapters': {
          name: entries(name, some[row], row in longer[name])
          for name, some in by_name.items()}} for row in range(len(rows))]
    for row, one in zip(rows, shown, strict=True):
      print(json.dumps({'texts': list(row), **one}, ensure_ascii=False))
    sys.stdout.flush()
    count += len(rows)
    progress.update(count)


def _texts_of(config: PredictConfig, bank: Mapping[str, Any]) -> Sequence[str]:
  """Returns the names of the texts that all adapters of a bank read.

  Args:
    config: Settings.
    bank: Adapters.

  Raises:
    errors.UserError: adapters of different texts.
  """
  first = next(iter(bank))
  # Names matter only where they select columns; lines have none.
  named = not config.text_columns and inputs.form_of(
      config.input, config.input_format) != 'lines'
  for name, adapter in bank.items():
    if adapter.head.choices or adapter.head.reads_words:
      raise errors.UserError(
          f'`adapters`: {name} is for multiple choice or tags; give it alone, '
          'as `adapter`')
    same = (adapter.texts == bank[first].texts if named
            else len(adapter.texts) == len(bank[first].texts))
    if not same:
      raise errors.UserError(
          f'`adapters`: {name} reads {", ".join(adapter.texts)}, {first} '
          f'{", ".join(bank[first].texts)}; give `text_columns` for names that '
          'differ, and adapters of equal numbers of texts')
  return bank[first].texts


def _known(name: str, bank: Mapping[str, Any], number: int) -> str:
  """Returns the name of an input's adapter; raises UserError if unknown."""
  if name not in bank:
    raise errors.unknown(f'`adapter_column`, input {number}', name, bank)
  return name


def start() -> None:
  """Runs the command with the flags of the command line."""
  flags.start(PredictConfig, main)
