"""Checkpoints on the Hugging Face hub: config, tokenizer and weights."""

import functools
import itertools
import logging
import os

from adapters_jax import errors as errors_lib
from adapters_jax.downloads import hub
from adapters_jax.downloads import json_files
from adapters_jax.downloads import weight_files

_log = logging.getLogger(__name__)

# `data.tokenizer_files` reads the first of these groups that is complete, but
# not those of sentencepiece.
_SENTENCEPIECE = ('sentencepiece.bpe.model',), ('spm.model',)
_TOKENIZERS = (
    ('tokenizer.json',), ('vocab.txt',), ('vocab.json', 'merges.txt'),
    *_SENTENCEPIECE)
_SETTINGS = (
    'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json')
TOKENIZER_FILES = (*itertools.chain(*_TOKENIZERS), *_SETTINGS)


def _required(name: str, path: str, revision: str | None = None) -> str:
  """Calls `hub.file`; raises UserError for a file that the repository lacks."""
  try:
    return hub.file(name, path, revision)
  except FileNotFoundError as error:
    raise errors_lib.UserError(
        f'`checkpoint`: {error} on the Hugging Face hub; a repository of an '
        'encoder with config.json and weights is needed') from error


def _encoder(name: str) -> tuple[str, str]:
  """Downloads the config of a repository's encoder.

  Args:
    name: Name of the repository.

  Returns:
    (path of config.json in the cache, folder in the repository or '')
  """
  try:
    path = hub.file(name, 'config.json')
    # Early sentence-transformers keep their own version in a file of the name.
    if 'model_type' in json_files.read(path, what='`checkpoint`: '):
      return path, ''
  except FileNotFoundError:
    path = ''
  try:
    modules = hub.file(name, weight_files.MODULES)
    with errors_lib.within('`checkpoint`'):
      inner = weight_files.read_modules(modules)
  except (FileNotFoundError, hub.Unreachable):
    inner = ''
  if not inner:
    return path or _required(name, 'config.json'), ''
  revision = os.path.basename(os.path.dirname(modules))
  return _required(name, f'{inner}/config.json', revision), inner


def config(name: str) -> str:
  """Returns the path of the config.json of a repository's encoder."""
  return _encoder(name)[0]


def _weights(name: str, stem: str, revision: str) -> None:
  """Downloads the weights of a repository, in the first format that it has.

  Args:
    name: Name of the repository.
    stem: Folder in it, with a slash at the end, or ''.
    revision: Commit.
  """
  unreachable = None
  for path in weight_files.FILES:
    try:
      found = hub.file(name, stem + path, revision)
    except FileNotFoundError:
      continue
    except hub.Unreachable as error:
      unreachable = unreachable or error
      continue
    if path.endswith('.json'):
      for shard in sorted(set(weight_files.read_index(found).values())):
        _required(name, stem + shard, revision)
    return
  raise unreachable or errors_lib.UserError(
      f'`checkpoint`: {name} has no {weight_files.FILES[0]} and no '
      f'{weight_files.FILES[2]} on the Hugging Face hub, in shards or not')


def _settings(name: str, stem: str, revision: str, where: str) -> None:
  """Downloads the settings of a repository's tokenizer.

  Args:
    name: Name of the repository.
    stem: Folder in it, with a slash at the end, or ''.
    revision: Commit.
    where: Folder of the files in the cache.
  """
  first, *others = (stem + path for path in _SETTINGS)
  try:
    hub.present(name, [first], revision, sure=True)
  except hub.Unreachable:
    _warn_of_settings(name, where)
  hub.present(name, others, revision)


@functools.cache  # One line a process.
def _warn_of_settings(name: str, where: str) -> None:
  """Logs that a tokenizer may lack settings.

  Args:
    name: Name of the repository.
    where: Folder of its files in the cache.
  """
  _log.warning(
      '%s: %s is not in %s, and the Hugging Face hub cannot be reached: lower '
      'case, spaces and segments are guessed; load_base once with a network '
      'fetches it', name, _SETTINGS[0], where)


def _tokenizer(
    name: str, stem: str, revision: str, *, needed: bool
) -> None:
  """Downloads the tokenizer of a repository, in the first form that it has.

  Args:
    name: Name of the repository.
    stem: Folder in it, with a slash at the end, or ''.
    revision: Commit.
    needed: Whether it must be one that `data.tokenizer_files` reads.

  Raises:
    hub.Unreachable: if needed, one that may exist.
    errors.UserError: a download fails; or no tokenizer that can be read, if
      needed.
  """
  unreachable, complete = None, ()
  for group in _TOKENIZERS:
    files = [stem + path for path in group]
    try:
      if hub.present(name, files, revision, sure=True) == files:
        complete = group
        break
    except hub.Unreachable as error:
      unreachable = unreachable or error
  if not needed or complete and complete not in _SENTENCEPIECE:
    return
  if unreachable:
    raise unreachable
  repository, commit = hub.split(name)
  place = f'DIR/{stem}'.rstrip('/')
  lack, remedy = (
      (f'its tokenizer in {complete[0]}, and no tokenizer.json',
       'convert the tokenizer with transformers, `AutoTokenizer.from_pretrained'
       f"('{place}', use_fast=True).save_pretrained('{place}')`")
      if complete else
      ('neither tokenizer.json nor vocab.txt, nor vocab.json with merges.txt',
       f'put one of them into {place}'))
  raise errors_lib.UserError(
      f'`checkpoint`: {name} has {lack}; download it with `hf download '
      f'{repository}{f" --revision {commit}" if commit else ""} --local-dir '
      f'DIR`, {remedy}, and give DIR as `checkpoint`')


def folder(name: str, *, tokenizer: bool = True) -> str:
  """Returns a folder with a repository's config, weights and tokenizer.

  Args:
    name: Name of the repository.
    tokenizer: Whether to refuse a repository whose tokenizer cannot be read;
      otherwise its files may be of any kind, or absent.

  Raises:
    errors.UserError: config or weights cannot be downloaded, or there is no
      tokenizer that can be read.
  """
  path, inner = _encoder(name)
  where, stem = os.path.dirname(path), f'{inner}/' if inner else ''
  # The hub's cache names folders by commit. All files come from the commit of
  # the config: an update in between would mix two versions.
  root = where.removesuffix(os.path.join('', *inner.split('/')))
  revision = os.path.basename(root.rstrip(os.sep))
  _settings(name, stem, revision, where)
  # Before the weights, whose download would be in vain.
  _tokenizer(name, stem, revision, needed=tokenizer)
  _weights(name, stem, revision)
  sentence_files(name, revision)
  return where


def sentence_files(
    name: str, revision: str | None, *, sure: bool = False
) -> str:
  """Downloads the files of sentence-transformers in a repository, if any.

  They come with the weights, so that embeddings need no network later.

  Args:
    name: Name of the repository.
    revision: Commit, or None for the newest.
    sure: As for `hub.present`.

  Returns:
    Folder in the cache with the list of modules, '' without one.

  Raises:
    hub.Unreachable: as for `hub.present`.
    errors.UserError: a download fails.
  """
  if not hub.present(name, [weight_files.MODULES], revision, sure=sure):
    return ''
  folder = os.path.dirname(hub.file(name, weight_files.MODULES, revision))
  paths = weight_files.files_of_modules(
      os.path.join(folder, weight_files.MODULES))
  found = hub.present(name, paths, os.path.basename(folder), sure=sure)
  for path in {*paths} - {*found}:
    where, end = os.path.split(path)
    if end == weight_files.LENGTHS:  # Few repositories have an older one.
      revision = os.path.basename(folder)
      any(hub.present(name, [os.path.join(where, old)], revision)
          for old in weight_files.OLD_LENGTHS)
  return folder
