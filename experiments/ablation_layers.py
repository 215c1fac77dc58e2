"""Importance of the layers' adapters (section 3.6; figure 6, left, centre).

  python -m experiments.ablation_layers

Trains adapters in all layers, in each third of them, and at one sublayer only.
Then removes, from each run with adapters in all layers, the adapters of every
span of layers i..j, and scores dev again without training. Layer norms and head
keep their trained values, unless `--restore_norms`.
"""

import dataclasses
import os

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options
from adapters_jax.sweeps import grid
from experiments import ablations


@dataclasses.dataclass(frozen=True)
class Spans:
  """Options of this ablation."""
  restore_norms: bool = options.option(
      False, "Put the pretrained layer norms of a span's layers back as well.")


def placements(layers: int) -> str:
  """Returns the grid: all layers, each third of them, one sublayer."""
  third = max(1, layers // 3)
  spans = ((0, third - 1), (third, layers - third - 1),
           (layers - third, layers - 1))
  # Without empty spans, which models of one or two layers have.
  thirds = '|'.join(f'{first}-{last}' for first, last in spans if first <= last)
  return (f'adapter_layers=all|{thirds}; '
          'adapter_sites=attention_output|ffn_output')


def main(
    config: config_lib.Config, many: grid.Options, spans: Spans
) -> None:
  """Trains the runs, and scores the spans of those with all adapters.

  Args:
    config: Settings.
    many: Grid, seeds and pick.
    spans: Options of the removal.

  Raises:
    errors.UserError: frozen adapters below those of the runs.
  """
  if config.adapters or any(
      point.get('adapters') for point in grid.parse_grid(many.grid)):
    # The removal knows the leaves of the run alone, not those below it.
    raise errors.UserError(
        '`adapters`: spans are removed from adapters right above the base; '
        'leave it out')
  from adapters_jax.model import pretrained  # Imports JAX.
  from adapters_jax.analysis import layer_removal
  if not many.grid:
    layers = pretrained.config_of(config.checkpoint).layers
    many = dataclasses.replace(many, grid=placements(layers))
  outcome = ablations.make_runs(config, many)
  for record, folder, own in outcome.runs():
    # Spans of the others would be partly empty already.
    if not layer_removal.adapts_all_layers(record):
      continue
    found = layer_removal.span_scores(
        record, folder, own, restore_norms=spans.restore_norms,
        path=layer_removal.map_path(
            os.path.join(many.records or 'runs', 'spans'), record,
            spans.restore_norms))
    print(layer_removal.table(found))
  if outcome.failures:
    raise SystemExit(1)


if __name__ == '__main__':
  ablations.start('', main, Spans)
