"""Settings of tokenizer_config.json, with the ids of transformers 4.57."""

import json

import pytest
from tokenizers import AddedToken
import tokenizers
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import processors

from adapters_jax import errors
from adapters_jax.data import token_cache
from adapters_jax.data import tokenization
from adapters_jax.data import words
from tests.data import tokenizer_cases

_SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
_PIECES = (*_SPECIAL, 'good', 'Good', 'bad', 'a', 'film', 'café', 'cafe', 'ner')
_PAIR = processors.TemplateProcessing(
    single='[CLS]:0 $A:0 [SEP]:0', pair='[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1',
    special_tokens=[('[CLS]', 2), ('[SEP]', 3)])
_BYTES = ('<s>', '<pad>', '</s>', '<unk>', '<mask>',
          *sorted(pre_tokenizers.ByteLevel.alphabet()))
LENGTH = 8


def word_piece(processor=_PAIR, truncation=False, **options):
  """Returns tokenizer.json of a WordPiece tokenizer."""
  tokenizer = tokenizers.Tokenizer(models.WordPiece(
      {piece: number for number, piece in enumerate(_PIECES)},
      unk_token='[UNK]'))
  tokenizer.normalizer = normalizers.BertNormalizer(**options)
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  tokenizer.post_processor = processor
  tokenizer.add_special_tokens(list(_SPECIAL))
  tokenizer.add_tokens([AddedToken('ner', normalized=False)])
  if truncation:
    tokenizer.enable_truncation(LENGTH, direction='left')
  return json.loads(tokenizer.to_str())


def byte_pairs(space):
  """Returns tokenizer.json of a byte-level tokenizer without merges."""
  tokenizer = tokenizers.Tokenizer(models.BPE(
      {piece: number for number, piece in enumerate(_BYTES)}, []))
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
  tokenizer.post_processor = processors.RobertaProcessing(
      ('</s>', 2), ('<s>', 0))
  tokenizer.add_special_tokens(list(_BYTES[:5]))
  return json.loads(tokenizer.to_str())


def folder_of(path, whole, settings, model_type='bert'):
  files = {'tokenizer.json': whole, 'config.json': {'model_type': model_type}}
  if settings is not None:
    files['tokenizer_config.json'] = settings
  return tokenizer_cases.write(str(path), files)


def of_class(name, **settings):
  return {'tokenizer_class': name, **settings}


_CASED, _UNCASED = dict(lowercase=False), dict(lowercase=True)
_FLAGS = {'lstrip': False, 'rstrip': False, 'normalized': False,
          'special': False}
_NO_SEGMENTS = ['input_ids', 'attention_mask']
_NAMES = {'cls_token': '[CLS]', 'sep_token': '[SEP]', 'pad_token': '[PAD]'}
_LONG = ('good ' * 5 + 'bad ' * 5,)
_TWO, _APART = ('good', 'bad film'), [0, 0, 0, 1, 1, 1]
_BERT, _GENERIC = 'BertTokenizer', 'PreTrainedTokenizerFast'
# {name: (tokenizer.json, settings, model_type, texts, ids, segments or None)}
CASES = {
    # The case of the class wins over tokenizer.json where none is given.
    'case': (word_piece(**_CASED), of_class(_BERT), 'bert', ('Good film',),
             [2, 5, 9, 3], None),
    'case_given': (
        word_piece(**_CASED), of_class(_BERT, do_lower_case=False), 'bert',
        ('Good film',), [2, 6, 9, 3], None),
    'case_of_electra': (word_piece(**_CASED), of_class('ElectraTokenizerFast'),
                        'electra', ('Good film',), [2, 5, 9, 3], None),
    'case_of_no_settings': (word_piece(**_CASED), None, 'bert', ('Good film',),
                            [2, 5, 9, 3], None),
    'case_generic': (word_piece(**_CASED), of_class(_GENERIC), 'bert',
                     ('Good film',), [2, 6, 9, 3], None),
    'case_of_modernbert': (word_piece(**_CASED), {}, 'modernbert',
                           ('Good film',), [2, 6, 9, 3], None),
    'accents': (word_piece(lowercase=True, strip_accents=False),
                of_class(_BERT, do_lower_case=True), 'bert', ('café',),
                [2, 11, 3], None),
    'accents_kept': (word_piece(lowercase=True, strip_accents=False),
                     of_class(_BERT, strip_accents=False), 'bert', ('café',),
                     [2, 10, 3], None),
    'space': (byte_pairs(True), of_class('RobertaTokenizer'), 'roberta',
              ('ab',), [0, 69, 70, 2], None),
    'space_generic': (byte_pairs(True), of_class(_GENERIC), 'roberta', ('ab',),
                      [0, 69, 70, 2], None),
    'space_given': (
        byte_pairs(False), of_class(_GENERIC, add_prefix_space=True), 'roberta',
        ('ab',), [0, 225, 69, 70, 2], None),
    'mask': (byte_pairs(False), of_class('RobertaTokenizer'), 'roberta',
             ('a <mask> b',), [0, 69, 4, 225, 70, 2], None),
    'mask_of_no_settings': (byte_pairs(False), None, 'camembert', ('a <mask>',),
                            [0, 69, 4, 2], None),
    'mask_given': (
        byte_pairs(False), of_class('RobertaTokenizer', mask_token='<mask>'),
        'roberta', ('a <mask>',), [0, 69, 225, 4, 2], None),
    'segments': (word_piece(**_UNCASED), of_class(_BERT), 'bert', _TWO,
                 [2, 5, 3, 7, 9, 3], _APART),
    'segments_not_named': (
        word_piece(**_UNCASED),
        of_class(_BERT, model_input_names=_NO_SEGMENTS), 'bert', _TWO,
        [2, 5, 3, 7, 9, 3], None),
    'segments_not_named_generic': (
        word_piece(processors.Sequence([_PAIR]), **_UNCASED),
        of_class(_GENERIC, model_input_names=_NO_SEGMENTS), 'bert', _TWO,
        [2, 5, 3, 7, 9, 3], None),
    'segments_of_distilbert': (
        word_piece(processors.BertProcessing(('[SEP]', 3), ('[CLS]', 2)),
                   **_UNCASED), of_class('DistilBertTokenizer'), 'bert', _TWO,
        [2, 5, 3, 7, 9, 3], None),
    'segments_of_distilbert_named': (
        word_piece(**_UNCASED), of_class(
            'DistilBertTokenizer',
            model_input_names=[*_NO_SEGMENTS, 'token_type_ids']),
        'distilbert', _TWO, [2, 5, 3, 7, 9, 3], _APART),
    'segments_of_roberta': (
        word_piece(**_UNCASED), of_class('RobertaTokenizer', **_NAMES),
        'roberta', _TWO, [2, 5, 3, 7, 9, 3], None),
    'end': (word_piece(**_UNCASED), of_class(_BERT, truncation_side='left'),
            'bert', _LONG, [2, 5, 7, 7, 7, 7, 7, 3], None),
    'end_of_the_file': (
        word_piece(truncation=True, **_UNCASED), of_class(_BERT), 'bert', _LONG,
        [2, 5, 7, 7, 7, 7, 7, 3], None),
    'end_of_the_file_not': (
        word_piece(truncation=True, **_UNCASED),
        of_class(_BERT, truncation_side='right'), 'bert', _LONG,
        [2, 5, 5, 5, 5, 5, 7, 3], None),
    'end_of_two': (
        word_piece(**_UNCASED), of_class(_BERT, truncation_side='left'), 'bert',
        ('a', 'good good good good bad'), [2, 8, 3, 5, 5, 5, 7, 3],
        [0, 0, 0, 1, 1, 1, 1, 1]),
    'split': (word_piece(**_UNCASED),
              of_class(_BERT, split_special_tokens=True), 'bert',
              ('a [SEP] film',), [2, 8, 1, 1, 1, 9, 3], None),
    'inside_a_word': (word_piece(**_UNCASED), of_class(_BERT), 'bert',
                      ('anerx',), [2, 8, 12, 1, 3], None),
    'flags': (
        word_piece(**_UNCASED), of_class(_BERT, added_tokens_decoder={
            '12': {'content': 'ner', 'single_word': True, **_FLAGS}}), 'bert',
        ('anerx',), [2, 1, 3], None),
}


@pytest.mark.parametrize('name', CASES)
def test_equal_to_transformers(name, tmp_path):
  whole, settings, model_type, texts, ids, segments = CASES[name]
  tokenizer = tokenization.load(folder_of(
      tmp_path, whole, settings, model_type))
  found = tokenization.encode(tokenizer, [texts], LENGTH)
  assert found[0][0].tolist() == ids
  assert found[1][0].tolist() == (segments or [0] * len(ids))


@pytest.mark.interop
@pytest.mark.parametrize('name', CASES)
def test_the_ids_of_transformers(name, tmp_path):
  transformers = pytest.importorskip('transformers')
  whole, settings, model_type, texts, ids, segments = CASES[name]
  tokenizer = transformers.AutoTokenizer.from_pretrained(folder_of(
      tmp_path, whole, settings, model_type))
  found = tokenizer(*texts, truncation=True, max_length=LENGTH)
  assert found['input_ids'] == ids
  assert found.get('token_type_ids') in (
      segments, None if segments else [0] * len(ids))


def test_the_class_of_transformers_5_leaves_the_file_alone(tmp_path):
  for settings, ids in (({}, [0, 225, 69, 2]),
                        ({'add_prefix_space': False}, [0, 69, 2])):
    tokenizer = tokenization.load(folder_of(
        tmp_path, byte_pairs(True), of_class('TokenizersBackend', **settings)))
    assert tokenizer.encode('a').ids == ids


def test_settings_of_other_types(tmp_path):
  for name, value, wanted in (
      ('truncation_side', 'middle', 'not left or right'),
      ('model_input_names', 'input_ids', 'list of texts'),
      ('split_special_tokens', 'no', 'not true or false')):
    with pytest.raises(errors.UserError, match=f'^`ch.*{name}.*{wanted}'):
      tokenization.load(folder_of(
          tmp_path, word_piece(), of_class(_BERT, **{name: value})))


def test_kept_tokens_depend_on_the_settings(tmp_path):
  keys = {token_cache._key(tokenization.load(folder_of(
      tmp_path, word_piece(), of_class(_BERT, **settings))), [('a',)], 8)
          for settings in ({}, {'truncation_side': 'left'},
                           {'split_special_tokens': True},
                           {'model_input_names': _NO_SEGMENTS})}
  assert len(keys) == 4


def test_words_split_special_tokens_too(tmp_path):
  tokenizer = tokenization.load(folder_of(
      tmp_path, byte_pairs(False),
      of_class('RobertaTokenizer', split_special_tokens=True), 'roberta'))
  found, = words.word_pieces(words.for_words(tokenizer), [['</s>']])
  assert 2 not in found.ids


@pytest.mark.parametrize('padding', [
    {'strategy': {'Fixed': 16}}, {'pad_to_multiple_of': 8}])
def test_padding_in_the_file_is_no_template(tmp_path, padding):
  stored = byte_pairs(False)
  folder = folder_of(tmp_path / 'plain', stored, {}, 'roberta')
  wanted = tokenization.load(folder)
  folder = folder_of(tmp_path / 'padded', {
      **stored, 'truncation': {
          'direction': 'Right', 'max_length': 4, 'strategy': 'LongestFirst',
          'stride': 0},
      'padding': {
          'strategy': 'BatchLongest', 'direction': 'Right', 'pad_id': 1,
          'pad_type_id': 0, 'pad_token': '<pad>', 'pad_to_multiple_of': None,
          **padding}}, {}, 'roberta')
  assert tokenization.load(folder).to_str() == wanted.to_str()


def test_padding_that_is_around_every_text(tmp_path):
  folder = str(tmp_path)
  for kind, padding, fails in (
      ('roberta', 2, True), ('xlm-roberta', 0, True), ('roberta', 1, False),
      ('camembert', 7, False), ('bert', 0, False), ('mpnet', 0, False)):
    tokenizer_cases.write(folder, {
        'tokenizer.json': byte_pairs(False), 'config.json': {
            'model_type': kind, 'pad_token_id': padding}})
    if fails:
      with pytest.raises(errors.UserError, match=f'pad_token_id {padding}, '):
        tokenization.load(folder)
    else:
      tokenization.load(folder)
