"""Measures MPNet's training step against transformers' on torch.

  pip install -e '.[bench]'
  python -m scripts.benchmark.mpnet --length=32 --out=MPNET.json

Both sides train adapters, layer norms and a linear head of `mpnet-base` on 32
texts of random words, in float32 and with bfloat16 products (autocast in
torch). Each setting is a process; all take turns. The result compares the best
setting of each side. Measure on an idle machine, or compare processor times.
"""

import dataclasses

from adapters_jax.api import flags
from adapters_jax import errors
from adapters_jax.runs.options import option
from scripts.benchmark import results
from scripts.benchmark import settings

SIDES: settings.Sides = {
    'ours': ('scripts.benchmark.ours', {
        name: {'task': 'movie_sentiment', 'tune': 'adapters', 'data_dir': '',
               'checkpoint': 'mpnet-base', 'precision': name,
               'train_examples': 64}
        for name in ('float32', 'bfloat16_products')}),
    'peer': ('scripts.benchmark.mpnet_peer', {
        name: {'precision': name, 'size': 64}
        for name in ('float32', 'bfloat16')}),
}


@dataclasses.dataclass(frozen=True)
class Config:
  """Steps to measure."""
  length: int = option(64, 'Words of each of the 32 texts.')
  turns: int = option(7, 'Timed steps of each setting, in turns.')
  out: str = option('', 'File for the result.')


def main(config: Config) -> None:
  """Measures, prints and writes."""
  for name, largest in (('length', 512), ('turns', 10**6)):
    value = getattr(config, name)
    if not 1 <= value <= largest:
      raise errors.UserError(f'--{name}={value}: give 1 to {largest:,}')
  found = settings.measure(
      SIDES, config.turns, ('step', {'length': config.length}), awaken=True)
  print(settings.report(found))
  results.write(config, settings=found, ratios=settings.ratios(found))


if __name__ == '__main__':
  flags.start(Config, main)
