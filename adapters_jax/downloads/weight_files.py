"""Names of files in a checkpoint: weights, indexes of shards, modules.

And of those by which adapters are told from checkpoints.
"""

import os

from adapters_jax.downloads import json_files
from adapters_jax import errors

# Files with weights or an index of their shards, the preferred one first.
FILES = ('model.safetensors', 'model.safetensors.index.json',
         'pytorch_model.bin', 'pytorch_model.bin.index.json')
# Files by which a folder is that of an adapter: the weights of this package's,
# the config of AdapterHub's and PEFT's, and AdapterHub's setups.
OF_ADAPTERS = 'tuned.safetensors', 'adapter_config.json', 'adapter_setup.json'

# Modules of sentence-transformers; the first one is the encoder.
MODULES = 'modules.json'
# Files of sentence-transformers: the longest input, in the encoder's folder,
# and the prompts.
LENGTHS = 'sentence_bert_config.json'
PROMPTS = 'config_sentence_transformers.json'
# Older names of LENGTHS, in the order in which sentence-transformers reads the
# first that exists.
OLD_LENGTHS = tuple(f'sentence_{name}_config.json' for name in (
    'roberta', 'distilbert', 'camembert', 'albert', 'xlm-roberta', 'xlnet'))


def read_modules(path: str) -> str:
  """Returns the folder of the encoder, '' for the checkpoint's own.

  Sentence-transformers keeps a list of modules, and the first may lie in a
  folder of its own.

  Args:
    path: Path of a MODULES file.

  Raises:
    errors.UserError: the list is damaged, or points outside of its folder.
  """
  modules = json_files.read_any(path)
  try:
    inner = modules[0]['path']
    outside = os.path.isabs(inner) or '..' in inner.split('/')
  except (AttributeError, IndexError, KeyError, TypeError) as error:
    raise errors.UserError(
        f'{path} is no list of modules ({error!r})') from error
  if outside:
    raise errors.UserError(f'{path} points outside of its folder: {inner!r}')
  return inner.strip('/')


def files_of_modules(path: str) -> list[str]:
  """Returns the paths of the settings that a list of modules may have.

  Args:
    path: Path of a MODULES file; a damaged one has none, which `read_modules`
      reports.
  """
  try:
    modules = json_files.read_any(path)
    read_modules(path)
  except errors.UserError:
    return []
  found = [PROMPTS]
  for one in modules:
    inner = str(one.get('path', '')) if isinstance(one, dict) else ''
    kind = str(one.get('type', '')) if isinstance(one, dict) else ''
    name = {'Transformer': LENGTHS, 'Pooling': 'config.json'}.get(
        kind.rpartition('.')[2])
    if name and not os.path.isabs(inner) and '..' not in inner.split('/'):
      found.append(os.path.join(inner, name))
  return found


def read_index(path: str) -> dict[str, str]:
  """Returns {name of a tensor: name of its file} of an index.

  Args:
    path: Path of the index, one of FILES in any folder.

  Raises:
    errors.UserError: the index is damaged, or a file is outside of its folder.
  """
  index = json_files.read(path).get('weight_map')
  if not isinstance(index, dict) or not index:
    raise errors.UserError(f'{path} has no weight_map')
  ending = os.path.splitext(path.removesuffix('.index.json'))[1]
  for name in index.values():
    # A path could read any file of the user.
    if not isinstance(name, str) or os.path.basename(name) != name or (
        not name.endswith(ending)):
      raise errors.UserError(
          f'{path}: {name!r} is no name of a {ending} file in its folder')
  return index
