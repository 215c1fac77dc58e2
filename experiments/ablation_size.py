"""Scores against trained parameters (sections 3.4 and 3.6, figures 3 and 4).

Adapters of several sizes, the top k layers, layer norms alone, the head alone,
and full fine-tuning:

  python -m experiments.ablation_size

Each method tries two learning rates with the seed of `--pick_seeds`. The
reported seeds then use the rate that scored best on dev. The paper's sizes
range from 2^0 to 2^9, and its k from 1 to 12:

  --grid='adapter_size=1,2,4,8,16,32,64,128,256,512; tune=norms; tune=head;
  tune=full; tune=top_k top_k=1,2,3,4,5,6,7,8,9,10,11,12'
"""

import dataclasses

from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import grid
from experiments import ablations

_SIZES = (1, 4, 16, 64, 256)
_TOP = (1, 2, 4, 6, 9, 12, 18, 24)


def points(layers: int, dim: int) -> str:
  """Returns the grid for a model.

  Args:
    layers: Number of layers.
    dim: Width of the hidden states.
  """
  sizes = ','.join(str(size) for size in _SIZES if size <= dim)
  # The last k is all layers; the embeddings stay frozen.
  top = ','.join(str(k) for k in (*(k for k in _TOP if k < layers), layers))
  return (
      f'adapter_size={sizes} learning_rate=1e-3,3e-3; '
      f'tune=top_k top_k={top} learning_rate=1e-4,3e-4; '
      'tune=norms learning_rate=3e-3,1e-2; '
      # Baselines: a task separates methods if full fine-tuning beats the head.
      'tune=head learning_rate=1e-2,1e-1; '
      'tune=full learning_rate=1e-4,3e-4')


def main(config: config_lib.Config, many: grid.Options) -> None:
  """Trains the runs.

  Args:
    config: Settings.
    many: Grid, seeds and pick; without a grid, the default for the checkpoint.
  """
  from adapters_jax.model import pretrained  # Imports JAX.
  if not many.grid:
    shape = pretrained.config_of(config.checkpoint)
    many = dataclasses.replace(
        many, grid=points(shape.layers, shape.dim),
        pick=many.pick or 'learning_rate')
  ablations.main(config, many)


if __name__ == '__main__':
  ablations.start('', main)
