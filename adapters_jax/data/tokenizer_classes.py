"""Classes of tokenizers, as the settings of checkpoints name them.

A vocabulary does not determine how a text is cut into words, or how words
become pieces: the class does. Each layout of files fits only a few classes.
"""

from collections.abc import Mapping
from typing import Any

from adapters_jax import errors

# The classes of `transformers` that read everything from tokenizer.json.
GENERIC = ('PreTrainedTokenizerFast', 'PreTrainedTokenizer',
           'TokenizersBackend')
WORD_PIECE, BYTE_PAIRS = 'vocab.txt', 'vocab.json and merges.txt'
# {files: classes that they describe, apart from the names of special tokens}
_KNOWN = {
    WORD_PIECE: ('bert', 'convbert', 'distilbert', 'electra', 'layoutlm',
                 'mobilebert', 'mpnet', 'squeezebert'),
    BYTE_PAIRS: ('bart', 'led', 'longformer', 'roberta')}
# Classes that override the normalizer of tokenizer.json.
OF_BERT = frozenset((
    'bert', 'convbert', 'distilbert', 'electra', 'funnel', 'layoutlm', 'lxmert',
    'mobilebert', 'mpnet', 'squeezebert'))
# Classes with RoBERTa's mask, which override that of tokenizer.json.
OF_ROBERTA = frozenset((
    'bart', 'camembert', 'led', 'longformer', 'mpnet', 'roberta', 'xlmroberta'))
# Classes without segments (token_type_ids) among a model's inputs.
WITHOUT_SEGMENTS = frozenset((
    'bart', 'barthez', 'bigbird', 'camembert', 'distilbert', 'esm', 'gpt2',
    'gptneox', 'led', 'llama', 'longformer', 'luke', 'mbart', 'mpnet',
    'roberta', 't5', 'xlmroberta'))
# {setting of BertJapaneseTokenizer: its value for BERT's words and pieces}
_CUTS = {'word_tokenizer_type': 'basic', 'subword_tokenizer_type': 'wordpiece'}


def named(settings: Mapping[str, Any], config: Mapping[str, Any]) -> str:
  """Returns the name of a tokenizer's class, '' for none or a generic one.

  Args:
    settings: Settings of the tokenizer.
    config: Entries of config.json; those of the tokenizer win.
  """
  name = str(settings.get('tokenizer_class')
             or config.get('tokenizer_class') or '')
  return '' if name in GENERIC else name


def family(settings: Mapping[str, Any], config: Mapping[str, Any]) -> str:
  """Returns e.g. 'mpnet', after the tokenizer's class or the model's type.

  Args:
    settings: Settings of the tokenizer.
    config: Entries of config.json.
  """
  name = named(settings, config)
  return (_family_of(name) if name
          else str(config.get('model_type', '')).lower())


def kind_of(settings: Mapping[str, Any], config: Mapping[str, Any]) -> str:
  """Returns e.g. 'xlmroberta' of the class that transformers takes.

  Args:
    settings: Settings of the tokenizer.
    config: Entries of config.json.

  Returns:
    Its name in small letters, 'generic' for a class that reads everything from
    tokenizer.json, '' if unknown.
  """
  name = settings.get('tokenizer_class') or config.get('tokenizer_class')
  kind = family(settings, config).replace('-', '').replace('_', '')
  return 'generic' if name in GENERIC or kind == 'modernbert' else kind


def check(
    folder: str, files: str, settings: Mapping[str, Any],
    config: Mapping[str, Any],
) -> None:
  """Checks that the files of a vocabulary describe the tokenizer of a folder.

  Args:
    folder: Folder, for messages.
    files: WORD_PIECE or BYTE_PAIRS.
    settings: Settings of the tokenizer.
    config: Entries of config.json.

  Raises:
    errors.UserError: the settings name a tokenizer of another kind.
  """
  found = [f'{setting} = {settings[setting]!r}'
           for setting, value in _CUTS.items()
           if settings.get(setting, value) != value]
  name = named(settings, config)
  if name and _family_of(name) not in _KNOWN[files]:
    found.insert(0, name)
  if found:
    raise errors.UserError(
        f'`checkpoint`: {folder} has its tokenizer in {files}, which cannot '
        f'describe {found[0]}; add the tokenizer.json that the library of the '
        'tokenizer saves')


def _family_of(name: str) -> str:
  """Returns e.g. 'mpnet' of the class MPNetTokenizerFast."""
  return name.removesuffix('Fast').removesuffix('Tokenizer').lower()
