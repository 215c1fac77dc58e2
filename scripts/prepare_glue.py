"""Writes GLUE for TFDS from raw folders, without a network.

  python -m scripts.prepare_glue --raw=DIR --data_dir=DIR

DIR of `--raw` holds GLUE's own folders (CoLA, SST-2, MRPC, QQP, STS-B, MNLI,
QNLI, RTE, WNLI) or some of them. Experiments read the datasets with the same
`--data_dir`, and so does any other TFDS reader.
"""

import contextlib
import dataclasses
import io
import sys

from adapters_jax.api import flags
from adapters_jax import errors
from adapters_jax.runs import options


@dataclasses.dataclass(frozen=True)
class Config:
  """Source and target."""
  raw: str = options.option('', "Folder with GLUE's raw folders.")
  data_dir: str = options.option(
      '', 'Where to write; the cache folder when empty.')


def main(config: Config) -> None:
  """Prepares the datasets at hand, and names those that are missing."""
  if not config.raw:
    raise errors.UserError('--raw: name the folder with CoLA, SST-2, ...')
  from adapters_jax.data import raw_glue  # Slow to import.
  from adapters_jax.data import prepared
  data_dir = config.data_dir or prepared.default_data_dir()

  def say(line):
    print(line, file=sys.stderr, flush=True)

  # Hides TFDS's long reports of progress.
  with contextlib.redirect_stdout(io.StringIO()):
    done = raw_glue.prepare_all(config.raw, data_dir, say)
  print(f'{", ".join(done)}: ready in {data_dir}')
  print(f'python -m experiments.glue --task={done[0]} --data_dir={data_dir}')


if __name__ == '__main__':
  flags.start(Config, main)
