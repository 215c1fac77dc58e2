"""Settings of sentence embeddings in the folders of sentence-transformers.

No JAX here, apart from `pooling`.
"""

from collections.abc import Mapping, Sequence
import os
from typing import Any

from adapters_jax import errors
from adapters_jax.downloads import assets
from adapters_jax.downloads import atomic
from adapters_jax.downloads import hub
from adapters_jax.downloads import hub_checkpoints
from adapters_jax.downloads import json_files
from adapters_jax.downloads import weight_files
from adapters_jax.model import pooling as pooling_lib

Pooling = pooling_lib.Pooling

_TYPES = 'sentence_transformers.models.'
# {embedded checkpoint: settings of its publisher}
_EMBEDDED = {'minilm-l6': Pooling(max_length=256),
             'mpnet-base': Pooling(max_length=384)}
# {entry of older files: mode}
_OLD = {'pooling_mode_cls_token': 'cls', 'pooling_mode_mean_tokens': 'mean',
        'pooling_mode_max_tokens': 'max',
        'pooling_mode_mean_sqrt_len_tokens': 'mean_sqrt_len_tokens',
        'pooling_mode_weightedmean_tokens': 'weightedmean',
        'pooling_mode_lasttoken': 'lasttoken'}
_LONGEST = 10**6  # Tokens; tokenizers write larger numbers for no limit.


def of_checkpoint(checkpoint: str, *, known: bool = False) -> Pooling:
  """Returns the settings with which a checkpoint makes sentence embeddings.

  Args:
    checkpoint: Name of an embedded checkpoint, folder, or name on the Hugging
      Face hub. Without files of sentence-transformers, embeddings are the
      normalised means.
    known: Whether the caller knows the pooling. If so, files count as absent
      when the hub cannot be reached and the cache does not know them.

  Raises:
    errors.UserError: a damaged file, a module that is not supported, or files
      that are not in the cache, without a network to look for them.
  """
  if checkpoint in _EMBEDDED:
    return _EMBEDDED[checkpoint]
  if assets.is_folder(checkpoint):
    return of_folder(checkpoint)
  try:
    folder = hub_checkpoints.sentence_files(checkpoint, None, sure=not known)
  except hub.Unreachable as error:
    # Another program may have cached the weights alone. Means would be wrong
    # embeddings of many models.
    raise errors.UserError(
        f'`checkpoint`: the cache does not tell how {checkpoint} makes '
        'sentence embeddings, and the Hugging Face hub cannot be reached; call '
        'load_base once with a network, or give `pooling`') from error
  return of_folder(folder, known=known) if folder else Pooling()


def prompts_of(checkpoint: str) -> dict[str, str]:
  """Returns the named prompts of a checkpoint, {name: text before every text}.

  Args:
    checkpoint: As for `of_checkpoint`. Files of which neither the hub nor the
      cache tells count as absent.

  Raises:
    errors.UserError: a damaged file.
  """
  if checkpoint in _EMBEDDED:
    return {}
  folder = (checkpoint if assets.is_folder(checkpoint)
            else hub_checkpoints.sentence_files(checkpoint, None))
  path = os.path.join(folder, weight_files.PROMPTS)
  if not folder or not os.path.isfile(path):
    return {}
  found = json_files.inner(
      json_files.read(path, what='`checkpoint`: '), 'prompts', path)
  return {name: json_files.string(found, name, path) for name in found}


def of_folder(folder: str, *, known: bool = False) -> Pooling:
  """Returns the settings in a folder; see `of_checkpoint`.

  Args:
    folder: Folder of a checkpoint.
    known: Whether the file of the pooling may be absent.
  """
  path = os.path.join(folder, weight_files.MODULES)
  if not os.path.isfile(path):
    return Pooling()
  found: dict[str, Any] = {'normalize': False}
  for module in _modules(path):
    name = str(module.get('type', '')).rpartition('.')[2]
    inner = os.path.join(folder, str(module.get('path', '')))
    if name == 'Transformer':
      found |= _lengths(inner)
    elif name == 'Pooling':
      path = os.path.join(inner, 'config.json')
      if not known or os.path.isfile(path):
        found['mode'] = _mode(path)
    elif name == 'Normalize':
      found['normalize'] = True
    else:
      raise errors.UserError(
          f'`checkpoint`: {path} has a module {name}; supported are '
          'Transformer, Pooling and Normalize')
  return Pooling(
      **found, **_prompt(os.path.join(folder, weight_files.PROMPTS)))


def _modules(path: str) -> Sequence[Mapping[str, Any]]:
  """Returns the entries of a list of modules."""
  with errors.within('`checkpoint`'):
    weight_files.read_modules(path)  # Raises for a damaged list.
    return json_files.read_any(path)


def _lengths(folder: str) -> dict[str, Any]:
  """Returns the settings of the module of the encoder."""
  found = {}
  path = os.path.join(folder, 'tokenizer_config.json')
  if os.path.isfile(path):
    longest = json_files.read(path, what='`checkpoint`: ').get(
        'model_max_length')
    if isinstance(longest, int) and 0 < longest < _LONGEST:
      found['max_length'] = longest
  paths = [os.path.join(folder, name) for name in (
      weight_files.LENGTHS, *weight_files.OLD_LENGTHS)]
  for path in filter(os.path.isfile, paths):
    values = json_files.read(path, what='`checkpoint`: ')
    if not values:
      continue
    # The arguments of the tokenizer win, those of the older name first.
    for inner, name in (
        (values, 'max_seq_length'),
        (json_files.inner(values, 'processor_kwargs' if 'tokenizer_args' not in
                          values else 'tokenizer_args', path),
         'model_max_length')):
      if inner.get(name) is not None:
        found['max_length'] = json_files.integer(
            inner, name, path, 1, _LONGEST)
    found['lowercase'] = bool(values.get('do_lower_case'))
    break
  return found


def _mode(path: str) -> str:
  """Returns the mode of a pooling; raises for a concatenation of several."""
  values = json_files.read(path, what='`checkpoint`: ')
  modes = values.get('pooling_mode') or [
      mode for name, mode in _OLD.items() if values.get(name)] or ['mean']
  modes = [modes] if isinstance(modes, str) else list(modes)
  if len(modes) != 1 or modes[0] not in pooling_lib.MODES:
    raise errors.UserError(
        f'`checkpoint`: {path} has the pooling {", ".join(map(str, modes))}; '
        f'supported is one of {", ".join(pooling_lib.MODES)}')
  if values.get('include_prompt') is False:
    raise errors.UserError(
        f'`checkpoint`: {path} leaves prompts out of the pooling, which is not '
        'supported')
  return modes[0]


def _prompt(path: str) -> dict[str, Any]:
  """Returns the prompt that texts begin with by default, and the dimensions."""
  if not os.path.isfile(path):
    return {}
  values, found = json_files.read(path, what='`checkpoint`: '), {}
  name = values.get('default_prompt_name')
  if name is not None:
    found['prompt'] = json_files.string(
        json_files.inner(values, 'prompts', path), str(name), path)
  if values.get('truncate_dim') is not None:
    found['dims'] = json_files.integer(
        values, 'truncate_dim', path, 1, _LONGEST)
  return found


def write(
    folder: str, pooling: Pooling, dim: int, longest: int,
    prompts: Mapping[str, str] | None = None,
) -> None:
  """Writes the files around an encoder's that make a sentence-transformer.

  Args:
    folder: Folder with config.json, weights and tokenizer.
    pooling: Settings.
    dim: Width of the encoder.
    longest: Longest input in tokens where the settings state none.
    prompts: Named prompts beside that of the settings, the default one.
  """
  modules = [('', 'Transformer'), ('1_Pooling', 'Pooling')]
  if pooling.normalize:
    modules.append(('2_Normalize', 'Normalize'))
  atomic.write_json(os.path.join(folder, weight_files.MODULES), [
      {'idx': index, 'name': str(index), 'path': path, 'type': _TYPES + name}
      for index, (path, name) in enumerate(modules)])
  atomic.write_json(os.path.join(folder, weight_files.LENGTHS), {
      'max_seq_length': pooling.max_length or longest,
      'do_lower_case': pooling.lowercase})
  atomic.write_json(os.path.join(folder, '1_Pooling', 'config.json'), {
      'word_embedding_dimension': dim,
      # Releases before 5.4 know one entry a mode.
      **{name: mode == pooling.mode for name, mode in _OLD.items()},
      'include_prompt': True})
  if pooling.normalize:
    os.makedirs(os.path.join(folder, '2_Normalize'), exist_ok=True)
  default = {'default': pooling.prompt} if pooling.prompt else {}
  atomic.write_json(os.path.join(folder, weight_files.PROMPTS), {
      **({'truncate_dim': pooling.dims} if pooling.dims else {}),
      'prompts': {**(prompts or {}), **default},
      'default_prompt_name': 'default' if default else None,
      'similarity_fn_name': 'cosine'})
