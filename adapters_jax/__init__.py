"""Adapter-based transfer learning in JAX and Flax (Houlsby et al., 2019).

  import adapters_jax as aj

The names of `aj` are those of `adapters_jax.api.face`, which is imported at
the first use. `import adapters_jax` loads neither JAX nor data libraries, so
that scripts pay only for the modules they use.
"""

import importlib
from typing import Any
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from adapters_jax.api.face import Adapter as Adapter
  from adapters_jax.api.face import Average as Average
  from adapters_jax.api.face import Base as Base
  from adapters_jax.api.face import BatchSplit as BatchSplit
  from adapters_jax.api.face import compose as compose
  from adapters_jax.api.face import drop_layers as drop_layers
  from adapters_jax.api.face import encode as encode
  from adapters_jax.api.face import evaluate as evaluate
  from adapters_jax.api.face import Examples as Examples
  from adapters_jax.api.face import export as export
  from adapters_jax.api.face import fold as fold
  from adapters_jax.api.face import Fuse as Fuse
  from adapters_jax.api.face import fusion_attention as fusion_attention
  from adapters_jax.api.face import load_adapter as load_adapter
  from adapters_jax.api.face import load_base as load_base
  from adapters_jax.api.face import member as member
  from adapters_jax.api.face import merge as merge
  from adapters_jax.api.face import Pairs as Pairs
  from adapters_jax.api.face import Parallel as Parallel
  from adapters_jax.api.face import predict as predict
  from adapters_jax.api.face import Prediction as Prediction
  from adapters_jax.api.face import push as push
  from adapters_jax.api.face import Questions as Questions
  from adapters_jax.api.face import Split as Split
  from adapters_jax.api.face import Stack as Stack
  from adapters_jax.api.face import TaggedExamples as TaggedExamples
  from adapters_jax.api.face import Texts as Texts
  from adapters_jax.api.face import train as train
  from adapters_jax.api.face import UserError as UserError

__version__ = '0.2.0.dev0'
__all__ = (
    'Adapter', 'Average', 'Base', 'BatchSplit', 'Examples', 'Fuse', 'Pairs',
    'Parallel', 'Prediction', 'Questions', 'Split', 'Stack', 'TaggedExamples',
    'Texts', 'UserError', 'compose', 'drop_layers', 'encode', 'evaluate',
    'export', 'fold', 'fusion_attention', 'load_adapter', 'load_base',
    'member', 'merge', 'predict', 'push', 'train')


if not TYPE_CHECKING:  # Checkers would take any name for an attribute.

  def __getattr__(name: str) -> Any:
    if name not in __all__:
      raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module('adapters_jax.api.face'), name)


def __dir__() -> list[str]:
  return sorted([*globals(), *__all__])
