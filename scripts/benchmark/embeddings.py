"""Measures sentence embeddings against sentence-transformers with PEFT.

  pip install -e '.[interop]'
  python -m scripts.benchmark.embeddings --out=EMBEDDINGS.json

Both sides train LoRA of rank 8 on pairs of film sentences (multiple negatives,
32 pairs a step) and embed the sentences with it, on `minilm-l6`, in float32 and
with bfloat16 products (autocast in torch; for embedding, bfloat16 weights too).
Training starts from tokenised pairs; the time of embedding includes
tokenising. Each setting is a process; all take turns. The result compares the
best setting of each side.
Measure on an idle machine, or compare processor times.
"""

import dataclasses

from adapters_jax.api import flags
from adapters_jax import errors
from adapters_jax.runs.options import option
from scripts.benchmark import results
from scripts.benchmark import sentences
from scripts.benchmark import settings

# {call of the workers: precisions of the peer}
PARTS = {'train': ('float32', 'bfloat16'),
         'encode': ('float32', 'bfloat16', 'bfloat16_weights')}
_LARGEST = 4096  # Pairs of the 8,485 sentences.


@dataclasses.dataclass(frozen=True)
class Config:
  """Work to measure."""
  pairs: int = option(512, 'Pairs of a turn; twice as many texts are embedded.')
  turns: int = option(7, 'Timed calls of each setting, in turns.')
  out: str = option('', 'File for the result.')


def sides(part: str, pairs: int) -> settings.Sides:
  """Returns both sides with their settings.

  Args:
    part: Key of PARTS.
    pairs: Pairs of an epoch.
  """

  def named(precisions):
    return {name: {'precision': name, 'pairs': pairs} for name in precisions}

  return {'ours': ('scripts.benchmark.embeddings_ours',
                   named(('float32', 'bfloat16_products'))),
          'peer': ('scripts.benchmark.embeddings_peer', named(PARTS[part]))}


def main(config: Config) -> None:
  """Measures, prints and writes."""
  size = sentences.BATCH_SIZE
  if config.pairs % size or not 0 < config.pairs <= _LARGEST:
    raise errors.UserError(
        f'--pairs={config.pairs}: give a multiple of {size} up to {_LARGEST:,}')
  if config.turns < 1:
    raise errors.UserError(f'--turns={config.turns}: give at least 1')
  parts = {}
  for part in PARTS:
    found = settings.measure(
        sides(part, config.pairs), config.turns, (part, {}))
    print(f'{part}:\n{settings.report(found)}')
    parts[part] = {'settings': found, 'ratios': settings.ratios(found)}
  results.write(config, parts=parts)


if __name__ == '__main__':
  flags.start(Config, main)
