"""AdapterDrop: steps without the adapters of the lowest layers.

Rücklé et al. (2021), section 3. A layer without its adapters uses its
pretrained layer norms as well, so that the layers below the first adapted one
are those of the base: they need no gradient, and several adapters can share
them.
"""

import numpy as np

from adapters_jax import errors
from adapters_jax import trees

DROPPED = 'dropped'  # Entry of a batch: layers without adapters, [n] int.
_STREAM = 20  # Separates these random numbers from other draws of a step.


def number_at(choices: tuple[int, ...], step: int) -> int:
  """Returns the number of layers without adapters in a step.

  It depends on no seed: the runs of a group train as one program.

  Args:
    choices: Numbers of layers, each as likely as the others.
    step: Number of the step.
  """
  return int(np.random.default_rng((_STREAM, step)).choice(choices))


def survives(path: str, layers: int) -> bool:
  """Returns whether a tuned leaf is still used without the lowest adapters.

  Args:
    path: Path of the leaf.
    layers: Number of layers without adapters.
  """
  layer = trees.layer_of(path)
  if layer is not None:
    return layer >= layers
  return not layers or not path.startswith(trees.BELOW)


def check(
    choices: tuple[int, ...], methods: tuple, layers: int, what: str
) -> None:
  """Checks the numbers of layers against a model.

  Args:
    choices: Numbers of layers without adapters.
    methods: Methods of the model.
    layers: Number of layers of the model.
    what: The setting or argument, which starts the message.

  Raises:
    errors.UserError: more layers than the model has, or a method that acts on
      the embeddings or shifts their positions.
  """
  if max(choices) > layers:
    raise errors.UserError(
        f'{what}: the model has {layers} layers')
  for method in methods:
    if method.kind == 'embedding':
      raise errors.UserError(
          f'{what}: {type(method).__name__} acts on the '
          'embeddings, below all layers; leave it out')
    if method.position_shift and any(0 < n < layers for n in choices):
      raise errors.UserError(
          f'{what}: {type(method).__name__} shifts the positions of texts, '
          'below all layers; train it with shift_positions=False')
