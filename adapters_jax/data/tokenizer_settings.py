"""Applies the settings of tokenizer_config.json to a tokenizer.

They follow the fast tokenizers of transformers 4.57, whose classes have
defaults of their own: a setting that is absent may still change what
tokenizer.json says.
"""

from collections.abc import Mapping
import json
from typing import Any

import tokenizers
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers

from adapters_jax import errors
from adapters_jax.data import templates
from adapters_jax.data import tokenizer_classes
from adapters_jax.downloads import json_files

# {setting: option of `tokenizers`}
NORMALIZER = {'do_lower_case': 'lowercase', 'strip_accents': 'strip_accents',
              'tokenize_chinese_chars': 'handle_chinese_chars'}
# Their values in classes of BERT's kind. Without `strip_accents`, accents
# follow the case.
_DEFAULTS = {'do_lower_case': True, 'strip_accents': None,
             'tokenize_chinese_chars': True}
# Models that number positions from the padding token on, as config.json tells.
_COUNTING = ('roberta', 'xlm-roberta', 'camembert')
_SEGMENTS = 'token_type_ids'
# The mask of RoBERTa's kind eats the space before it, unless settings name it.
_MASK = tokenizers.AddedToken(
    '<mask>', lstrip=True, normalized=False, special=True)
# Attribute of a tokenizer; `tokenizers` has a place for it only where it cuts
# texts itself.
_KEEPS_END = 'keeps_end'


def apply(
    tokenizer: tokenizers.Tokenizer, settings: Mapping[str, Any],
    config: Mapping[str, Any],
) -> None:
  """Lets settings win over tokenizer.json, as the families' classes do.

  Args:
    tokenizer: Tokenizer from tokenizer.json, changed.
    settings: Settings of the folder, nulls left out.
    config: Entries of config.json, which may name the class.
  """
  kind = tokenizer_classes.kind_of(settings, config)
  normalizer = tokenizer.normalizer
  given = {name: settings[name] for name in NORMALIZER if name in settings}
  if kind in tokenizer_classes.OF_BERT:
    given = {**_DEFAULTS, **given}
    if kind == 'mpnet':  # Its class leaves them to tokenizer.json.
      given.pop('tokenize_chinese_chars')
  if (isinstance(normalizer, normalizers.BertNormalizer) and given
      and kind != 'generic'):
    state = json.loads(normalizer.__getstate__())
    state.pop('type')
    options = {NORMALIZER[name]: value for name, value in given.items()}
    tokenizer.normalizer = normalizers.BertNormalizer(**{**state, **options})
  if (kind in tokenizer_classes.OF_ROBERTA and 'mask_token' not in settings
      and tokenizer.token_to_id(_MASK.content) is not None):
    tokenizer.add_tokens([_MASK])
  splitter = tokenizer.pre_tokenizer
  # transformers 4 does not know the class of transformers 5.
  newer = settings.get('tokenizer_class') == 'TokenizersBackend'
  if isinstance(splitter, pre_tokenizers.ByteLevel) and (
      'add_prefix_space' in settings or not newer):
    # False in all classes that do not have the setting.
    space = settings.get('add_prefix_space', False)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=space, use_regex=splitter.use_regex)


def apply_inputs(
    tokenizer: tokenizers.Tokenizer, folder: str, settings: Mapping[str, Any],
    config: Mapping[str, Any],
) -> None:
  """Applies the settings of a model's inputs: segments, cuts, special tokens.

  Args:
    tokenizer: Tokenizer, changed.
    folder: Folder of its files, for messages.
    settings: Settings of the folder, nulls left out.
    config: Entries of config.json, which may name the class.

  Raises:
    errors.UserError: a setting of another type.
  """
  where = f'`checkpoint`: {folder}/tokenizer_config.json'
  kind = tokenizer_classes.kind_of(settings, config)
  segments = kind not in tokenizer_classes.WITHOUT_SEGMENTS
  if 'model_input_names' in settings:
    segments = _SEGMENTS in json_files.strings(
        settings, 'model_input_names', where)
  if not segments and tokenizer.post_processor is not None:
    _zero_segments(tokenizer)
  file = tokenizer.truncation or {}
  side = settings.get('truncation_side', str(file.get('direction', 'right')))
  if side not in ('left', 'right'):
    raise errors.UserError(
        f'{where} has truncation_side = {side!r}, not left or right')
  setattr(tokenizer, _KEEPS_END, side == 'left')
  if settings.get('split_special_tokens'):
    tokenizer.encode_special_tokens = True


def check_padding(
    tokenizer: tokenizers.Tokenizer, folder: str, config: Mapping[str, Any]
) -> None:
  """Checks that no special token of every text is the padding of config.json.

  In models that count positions from the padding token on, transformers leaves
  such tokens out of the count.

  Args:
    tokenizer: Tokenizer.
    folder: Folder of its files, for messages.
    config: Entries of config.json.

  Raises:
    errors.UserError: the template has the padding token.
  """
  if config.get('model_type') not in _COUNTING:
    return
  padding = config.get('pad_token_id', 1)
  tokens = templates.template_of(tokenizer, 2).tokens
  if padding in {number for gap in tokens for number in gap}:
    raise errors.UserError(
        f'`checkpoint`: {folder}/config.json has pad_token_id {padding}, which '
        'its tokenizer puts around every text; give it the id of the padding '
        'token')


def keeps_end(tokenizer: tokenizers.Tokenizer) -> bool:
  """Returns whether texts that are too long lose their beginning.

  Args:
    tokenizer: Tokenizer from `tokenization.load`, or any other.
  """
  return getattr(tokenizer, _KEEPS_END, False)


def _zero_segments(tokenizer: tokenizers.Tokenizer) -> None:
  """Gives all tokens of a tokenizer's template the segment 0."""
  blank = json.loads(tokenizers.Tokenizer(models.BPE()).to_str())
  blank['post_processor'] = _without_segments(
      json.loads(tokenizer.post_processor.__getstate__()))
  tokenizer.post_processor = tokenizers.Tokenizer.from_str(
      json.dumps(blank)).post_processor


def _without_segments(part: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the JSON of a post-processor with segment 0 throughout."""
  if part.get('type') == 'Sequence':
    return {**part, 'processors': [
        _without_segments(one) for one in part['processors']]}
  if part.get('type') == 'BertProcessing':  # It has no place for segments.
    special = {token: {'id': token, 'ids': [number], 'tokens': [token]}
               for token, number in (part['cls'], part['sep'])}
    cls, sep = ({'SpecialToken': {'id': token, 'type_id': 0}}
                for token, _ in (part['cls'], part['sep']))
    first, second = ({'Sequence': {'id': name, 'type_id': 0}} for name in 'AB')
    return {'type': 'TemplateProcessing', 'single': [cls, first, sep],
            'pair': [cls, first, sep, second, sep], 'special_tokens': special}
  if part.get('type') == 'TemplateProcessing':
    return {**part, **{
        name: [{kind: {**one, 'type_id': 0} for kind, one in piece.items()}
               for piece in part[name]] for name in ('single', 'pair')}}
  return dict(part)
