"""Finds or infers the shape of a base, for files of other libraries."""

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters.formats import masked_lm_heads
from adapters_jax.adapters.formats import models
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import pretrained


def shape_for(
    adapter: adapter_lib.Adapter, form: str, checkpoint: str
) -> encoder.BertConfig:
  """Returns the shape of the base that a format of AdapterHub or PEFT needs.

  Args:
    adapter: Adapter.
    form: 'adapterhub' or 'peft'.
    checkpoint: Name or folder of the base, '' if unknown.

  Raises:
    errors.UserError: a base of another family, or one that must be named.
  """
  shape = (pretrained.config_of(checkpoint) if checkpoint
           else infer(adapter))
  if shape.family != adapter.family:
    raise errors.UserError(
        f'`checkpoint={checkpoint}`: it is a {shape.family}, and the adapter '
        f'is for a {adapter.family}')
  inside = any(config.kind in ('embedding', 'key_value')
               for config in adapter.methods)
  if not checkpoint and inside and form == 'peft':
    raise missing('PEFT wants the attention heads of the base')
  names = families.FAMILIES[shape.family].modules
  if not checkpoint and inside and 'embeddings/project' in names:
    raise missing('it shows the width of the embeddings')
  if not checkpoint and _configured(adapter, form):
    raise missing("the head depends on the base's config.json")
  return shape


def _configured(adapter: adapter_lib.Adapter, form: str) -> bool:
  """Returns whether entries of the base's config.json decide on a head.

  Args:
    adapter: Adapter.
    form: 'adapterhub' or 'peft'.
  """
  row, family = adapter.head, adapter.family
  if adapter.outputs is None:
    return False
  if form == 'peft':  # A head with a layer of its own is no classifier.
    return not row.layer and bool(models.FOREIGN[family].classifier_entries)
  return (row is masked_lm_heads.ROW and not adapter.hidden_activation
          and not families.FAMILIES[family].masked_lm_activation)


def infer(adapter: adapter_lib.Adapter) -> encoder.BertConfig:
  """Infers the width and the number of layers of an adapter's base.

  Only `dim`, `layers` and `family` of the result are valid.

  Args:
    adapter: Adapter with a head or tuned norms, which give the width. The
      number of layers needs a method or a norm in the last layer.

  Raises:
    errors.UserError: the tree does not determine them.
  """
  flat = trees.flatten(adapter.tuned)
  widths = {leaf.shape[0] for path, leaf in flat.items()
            if path in ('head/kernel', 'head/dense/kernel')
            or trees.role(path) == 'norm'}
  # Other methods may be absent from the last layer.
  everywhere = any(config.layers is None and not config.leave_out
                   for config in adapter.methods)
  layers = {trees.layer_of(path) for path in flat if everywhere
            or trees.role(path) == 'norm'} - {None}
  if len(widths) != 1 or not layers:
    raise missing('the adapter does not show the shape of its base')
  return encoder.BertConfig(
      dim=widths.pop(), layers=max(layers) + 1, family=adapter.family)


def missing(reason: str) -> errors.UserError:
  """Returns the error for an export that needs the base."""
  return errors.UserError(
      f'`base`: {reason}; give it, as in base=load_base(...)')
