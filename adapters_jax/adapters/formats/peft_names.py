"""Names in PEFT's files: tensors, saved modules and target modules."""

from collections.abc import Iterable, Mapping
import re

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax import trees
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import transformers_heads
from adapters_jax.methods import places
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import heads

STEM = 'base_model.model.'
# Linear layers outside the encoder's layers, which are saved as a whole: the
# pooler, and the one that widens ELECTRA's embeddings.
WHOLE = ('pooler', 'embeddings/project')


def shortened(key: str, family: str) -> str:
  """Returns a tensor's name without the prefixes of PEFT and transformers.

  Args:
    key: Name in a file.
    family: Key of models.FOREIGN.
  """
  for start in ('base_model.', 'model.', models.prefix_of(family)):
    key = key.removeprefix(start)
  # LN_TUNING nests its copy of a norm one level deeper.
  return key.replace('.ln_tuning_layers.', '.')


def key_of(
    config: methods.Method, where: places.Place, family: str
) -> str:
  """Returns the name of a method's leaf.

  Args:
    config: Method.
    where: Place of the leaf, with its module.
    family: Key of models.FOREIGN.
  """
  name = config.peft_names[where.leaf]
  if where.layer is not None:
    return f'{STEM}{models.prefix_of(family)}{where.module}.{name}'
  # Leaves outside the layers: of VeRA's projections, or of a prompt.
  return f'base_model.{name}' if at_linears(config) else name


def at_linears(config: methods.Method) -> bool:
  """Returns whether a method changes linear layers."""
  return config.kind in ('linear', 'input')


def site_of(key: str, family: str) -> tuple[tuple[int, str], str] | None:
  """Returns ((layer, site), rest of the name), None outside linear layers.

  Args:
    key: Shortened name of a tensor.
    family: Key of models.FOREIGN.
  """
  table, number = families.FAMILIES[family], re.search(r'\.(\d+)\.', key)
  if number:
    key = key.replace(number[0], '.{}.', 1)
    for site, module in families.linears(family).items():
      start = f'{table.modules[module]}.'
      if key.startswith(start):
        return (int(number[1]), site), key.removeprefix(start)
  return None


def is_saved(key: str, family: str) -> bool:
  """Returns whether a tensor belongs to a layer norm or to one of WHOLE.

  Args:
    key: Shortened name of a tensor.
    family: Key of models.FOREIGN.
  """
  path = families.our_name(key, family)
  # An update of such a layer is neither; the caller refuses it.
  return trees.role(path) == 'norm' and path.endswith(('/scale', '/bias')) or (
      path.endswith(('/kernel', '/bias')) and path.rpartition('/')[0] in WHOLE)


def is_in_head(path: str, head_input: str, family: str) -> bool:
  """Returns whether transformers counts a leaf as part of the head.

  Args:
    path: Path of the leaf.
    head_input: Key of heads.HEADS.
    family: Key of models.FOREIGN.
  """
  pooler = (heads.HEADS[head_input].pooled
            and transformers_heads.holds_pooler(family, head_input))
  return trees.role(path) == 'head' or pooler and path.startswith('pooler/')


def saved_name(path: str, head_input: str, family: str) -> str:
  """Returns transformers' name of a norm, or of a leaf of one of WHOLE.

  Args:
    path: Path of the leaf.
    head_input: Key of heads.HEADS.
    family: Key of models.FOREIGN.

  Raises:
    errors.UserError: another leaf, which PEFT does not save.
  """
  whole = path.rpartition('/')[0] in WHOLE and not (
      path.startswith('pooler/')
      and transformers_heads.holds_pooler(family, head_input))
  if not whole and trees.role(path) != 'norm':
    raise errors.UserError(f'{path} has no place in a PEFT adapter')
  return models.prefix_of(family) + families.their_name(path, family)


def saved_modules(keys: Iterable[str], family: str) -> list[str]:
  """Returns the names of the modules to which leaves belong.

  Args:
    keys: Names of the leaves, as of `saved_name`.
    family: Key of models.FOREIGN.
  """
  prefix = models.prefix_of(family)
  return sorted({key.removeprefix(prefix).rsplit('.', 1)[0] for key in keys})


def target_modules(
    configs: Mapping[str, list[methods.Method]], shape: encoder.BertConfig
) -> dict[str, list[str]]:
  """Returns {entry: suffixes of the names of target modules}.

  The lists are always written, since PEFT has no default for some families.
  Names include the index of the layer, unless short ones match the same layers.

  Args:
    configs: {entry of adapter_config.json: its methods}.
    shape: Shape of the base.
  """
  table = families.FAMILIES[shape.family]
  # Several sites may be parts of one module.
  modules = {site: families.whole(table.modules[path], shape.family)
             for site, path in families.linears(shape.family).items()}
  wanted = {
      entry: dict.fromkeys(
          (modules[site], layer) for site in modules
          for layer in range(shape.layers)
          if any(config.applies(site, layer) for config in chosen))
      for entry, chosen in configs.items()}
  short = {name: _short_name(name, shape.family) for name in modules.values()}
  # One form for all entries: PEFT wants feedforward_modules among the targets.
  if all(short[name] and len([n for n, _ in found if n == name]) == shape.layers
         for found in wanted.values() for name, _ in found):
    return {entry: list(dict.fromkeys(short[name] for name, _ in found))
            for entry, found in wanted.items()}
  return {entry: [name.replace('{}', str(layer)) for name, layer in found]
          for entry, found in wanted.items()}


def _short_name(name: str, family: str) -> str:
  """Returns the shortest suffix of a module's name that no other name has.

  It is '' if there is none: two kinds of layers in BERT end in 'output.dense'.
  """
  others = {families.whole(other, family)
            for other in families.FAMILIES[family].modules.values()} - {name}
  parts = name.partition('{}.')[2].split('.')
  for count in range(1, len(parts) + 1):
    end = '.'.join(parts[-count:])
    if not any(other.endswith(end) for other in others):
      return end
  return ''
