"""Reads tokenizers from the files of a checkpoint's folder.

tokenizer.json holds a whole tokenizer. The older files hold a vocabulary and
settings; the rest follows the family's tokenizer in `transformers`.
"""

from collections.abc import Iterable, Mapping
import os
from typing import Any

import tokenizers
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import processors

from adapters_jax import errors
from adapters_jax.data import tokenizer_classes
from adapters_jax.data import tokenizer_settings
from adapters_jax.downloads import json_files

# All files that `read_tokenizer` may read.
FILES = ('tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json',
         'added_tokens.json', 'vocab.txt', 'vocab.json', 'merges.txt',
         'config.json')
_ROLES = ('cls', 'sep', 'unk', 'pad', 'mask')
# Default tokens of _ROLES.
_BERT = ('[CLS]', '[SEP]', '[UNK]', '[PAD]', '[MASK]')
_MPNET = ('<s>', '</s>', '[UNK]', '<pad>', '<mask>')
_ROBERTA = ('<s>', '</s>', '<unk>', '<pad>', '<mask>')

_SENTENCEPIECE = (
    'sentencepiece.bpe.model', 'spm.model', 'spiece.model', 'tokenizer.model')


def read_tokenizer(folder: str) -> tokenizers.Tokenizer:
  """Reads the tokenizer of a checkpoint.

  Args:
    folder: Folder with tokenizer.json, or vocab.txt (WordPiece), or vocab.json
      and merges.txt (byte-level BPE); and perhaps tokenizer_config.json,
      special_tokens_map.json, added_tokens.json and config.json.

  Raises:
    errors.UserError: none of these files, a damaged one, or an older one of a
      tokenizer of another class.
  """
  present = {name for name in os.listdir(folder)
             if os.path.exists(os.path.join(folder, name))}  # No dead links.
  settings = _settings(folder)
  config = _json(os.path.join(folder, 'config.json'))
  whole = 'tokenizer.json' in present
  if whole:
    path = os.path.join(folder, 'tokenizer.json')
    tokenizer = _parsed(path, tokenizers.Tokenizer.from_file, path)
  elif 'vocab.txt' in present:
    tokenizer_classes.check(
        folder, tokenizer_classes.WORD_PIECE, settings, config)
    tokenizer = _word_piece(
        folder, settings,
        mpnet=tokenizer_classes.family(settings, config) == 'mpnet')
  elif {'vocab.json', 'merges.txt'} <= present:
    tokenizer_classes.check(
        folder, tokenizer_classes.BYTE_PAIRS, settings, config)
    tokenizer = _byte_pairs(folder, settings)
  elif found := [name for name in _SENTENCEPIECE if name in present]:
    raise errors.UserError(
        f'`checkpoint`: {folder} has its tokenizer in {found[0]}, and no '
        'tokenizer.json; convert it with transformers: '
        '`AutoTokenizer.from_pretrained(DIR, use_fast=True)'
        '.save_pretrained(DIR)`')
  else:
    raise errors.UserError(
        f'`checkpoint`: {folder} has neither tokenizer.json nor vocab.txt, nor '
        'vocab.json with merges.txt')
  _add(tokenizer, folder, settings)
  if whole:
    tokenizer_settings.apply(tokenizer, settings, config)
  tokenizer_settings.apply_inputs(tokenizer, folder, settings, config)
  # tokenizer.json may contain both; lengths are set by `encode` and batching.
  tokenizer.no_padding()
  tokenizer.no_truncation()
  tokenizer_settings.check_padding(tokenizer, folder, config)
  return tokenizer


def _parsed(path: str, parse, *args: Any) -> Any:
  """Returns parse(*args); raises UserError with the path for damaged files."""
  try:
    with open(path, 'rb') as file:
      if file.read(23) == b'version https://git-lfs':
        raise ValueError(
            'it is a Git LFS pointer instead of the file; run `git lfs pull`')
    return parse(*args)
  except errors.UserError:
    raise
  # `tokenizers` raises no narrower class.
  except Exception as error:
    reason = ' '.join(str(error).split())[:200]
    raise errors.UserError(
        f'`checkpoint`: cannot read {path}: {reason}') from error


def _json(path: str) -> dict[str, Any]:
  """Returns the JSON object in a file, {} without the file."""
  if not os.path.exists(path):
    return {}
  return _parsed(
      path, lambda: json_files.read(path, what='`checkpoint`: '))


def _settings(folder: str) -> dict[str, Any]:
  """Returns the settings and token names of a folder, nulls left out.

  'strip_accents' keeps its null, which means: as `do_lower_case`.
  """
  found = {
      **_json(os.path.join(folder, 'special_tokens_map.json')),
      **_json(os.path.join(folder, 'tokenizer_config.json'))}
  found = {name: value for name, value in found.items()
           if value is not None or name == 'strip_accents'}
  for name in (*tokenizer_settings.NORMALIZER, 'add_prefix_space',
               'split_special_tokens'):
    # Of the nulls, only that of 'strip_accents' is left.
    if not isinstance(found.get(name), bool | None):
      raise errors.UserError(
          f'`checkpoint`: {folder}/tokenizer_config.json has '
          f'{name} = {found[name]!r}, not true or false')
  for name in (f'{role}_token' for role in _ROLES):
    if name in found and not _name_of(found[name]):
      raise errors.UserError(
          f'`checkpoint`: {folder}/tokenizer_config.json has '
          f'{name} = {found[name]!r}, not the name of a token')
  return found


def _name_of(value: Any) -> str:
  """Returns the text of a token, '' for JSON of another form."""
  if isinstance(value, Mapping):
    value = value.get('content')
  return value if isinstance(value, str) else ''


def _added_token(value: Any, **flags: Any) -> tokenizers.AddedToken:
  """Returns a token with its flags.

  Args:
    value: String, or a dict with 'content' and flags.
    **flags: Flags that `value` does not give.
  """
  if not _name_of(value):
    raise ValueError(f'{value!r} is not the name of a token')
  if isinstance(value, Mapping):
    known = ('lstrip', 'rstrip', 'single_word', 'normalized', 'special')
    flags |= {name: bool(value[name]) for name in known if name in value}
  return tokenizers.AddedToken(_name_of(value), **flags)


def _special(
    path: str, vocabulary: Mapping[str, int], settings: Mapping[str, Any],
    defaults: tuple[str, ...],
) -> dict[str, tokenizers.AddedToken]:
  """Returns {role: special token} of the roles with a token in the vocabulary.

  Args:
    path: File of the vocabulary, for messages.
    vocabulary: {piece: id}
    settings: Settings of the folder.
    defaults: Name of each of _ROLES without a setting.

  Raises:
    errors.UserError: the vocabulary lacks a token that every text needs.
  """
  found = {}
  for role, default in zip(_ROLES, defaults, strict=True):
    token = _added_token(
        settings.get(f'{role}_token', default), special=True, normalized=False,
        # The mask of these families eats the space before it.
        lstrip=role == 'mask' and defaults is not _BERT)
    if token.content in vocabulary:
      found[role] = token
    elif role in ('cls', 'sep') or role == 'unk' and defaults is not _ROBERTA:
      raise errors.UserError(
          f'`checkpoint`: {path} has no piece {token.content!r}; name the '
          f'{role}_token in tokenizer_config.json')
  return found


def _pair(token: tokenizers.AddedToken, vocabulary) -> tuple[str, int]:
  """Returns (piece, id) of a token."""
  return token.content, vocabulary[token.content]


def _word_piece(
    folder: str, settings: Mapping[str, Any], *, mpnet: bool
) -> tokenizers.Tokenizer:
  """Builds the tokenizer of a folder with vocab.txt.

  Args:
    folder: Folder.
    settings: Its settings.
    mpnet: Whether special tokens are those of MPNet rather than BERT.
  """
  path = os.path.join(folder, 'vocab.txt')
  vocabulary = _parsed(path, models.WordPiece.read_file, path)
  special = _special(path, vocabulary, settings, _MPNET if mpnet else _BERT)
  tokenizer = tokenizers.Tokenizer(models.WordPiece(
      vocabulary, unk_token=special['unk'].content,
      max_input_chars_per_word=100))
  tokenizer.add_special_tokens(list(special.values()))
  # BERT's released files have no settings: lower case. Without a setting,
  # accents follow the case.
  tokenizer.normalizer = normalizers.BertNormalizer(
      clean_text=True,
      handle_chinese_chars=settings.get('tokenize_chinese_chars', True),
      strip_accents=settings.get('strip_accents'),
      lowercase=settings.get('do_lower_case', True))
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  template = (processors.RobertaProcessing if mpnet  # Two </s> in a pair.
              else processors.BertProcessing)
  tokenizer.post_processor = template(
      _pair(special['sep'], vocabulary), _pair(special['cls'], vocabulary))
  return tokenizer


def _byte_pairs(
    folder: str, settings: Mapping[str, Any]
) -> tokenizers.Tokenizer:
  """Builds the tokenizer of a folder with vocab.json and merges.txt."""
  paths = [os.path.join(folder, name) for name in ('vocab.json', 'merges.txt')]
  _json(paths[0])  # Errors below are of merges.txt.
  vocabulary, merges = _parsed(paths[1], models.BPE.read_file, *paths)
  special = _special(paths[0], vocabulary, settings, _ROBERTA)
  tokenizer = tokenizers.Tokenizer(
      _parsed(paths[1], models.BPE, vocabulary, merges))
  tokenizer.add_special_tokens(list(special.values()))
  space = settings.get('add_prefix_space', False)
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
  tokenizer.post_processor = processors.RobertaProcessing(
      _pair(special['sep'], vocabulary), _pair(special['cls'], vocabulary),
      trim_offsets=True, add_prefix_space=space)
  return tokenizer


def _declared(folder: str, settings: Mapping[str, Any]) -> Iterable[tuple]:
  """Yields (id or None, added token) of a folder's settings, by id."""
  named = {_name_of(settings.get(f'{role}_token')) for role in _ROLES}
  tokens = {int(number): _added_token(value) for number, value in
            settings.get('added_tokens_decoder', {}).items()}
  for token in tokens.values():
    token.special |= token.content in named
  path = os.path.join(folder, 'added_tokens.json')
  for name, number in _json(path).items():
    tokens.setdefault(int(number), _added_token(name))
  yield from sorted(tokens.items())
  for value in settings.get('additional_special_tokens', ()):
    yield None, _added_token(value, special=True, normalized=False)


def _add(
    tokenizer: tokenizers.Tokenizer, folder: str, settings: Mapping[str, Any]
) -> None:
  """Adds the tokens that the settings declare, or changes their flags.

  Args:
    tokenizer: Tokenizer, changed.
    folder: Folder of the files.
    settings: Its settings.

  Raises:
    errors.UserError: a token whose id cannot be kept.
  """
  path = os.path.join(folder, 'tokenizer_config.json')
  if not os.path.exists(path):
    path = os.path.join(folder, 'added_tokens.json')
  if not os.path.exists(path):
    return
  known = {token.content
           for token in tokenizer.get_added_tokens_decoder().values()}
  for number, token in _parsed(path, lambda: [*_declared(folder, settings)]):
    # As in transformers, flags of numbered tokens win over tokenizer.json's.
    if number is not None or token.content not in known:
      tokenizer.add_tokens([token])
    found = tokenizer.token_to_id(token.content)
    if number is not None and found != number:
      raise errors.UserError(
          f'`checkpoint`: {path} gives {token.content!r} the id {number}, the '
          f'tokenizer gives it {found}; save the tokenizer with transformers')
