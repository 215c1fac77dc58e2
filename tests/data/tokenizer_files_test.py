import functools
import glob
import json
import os
import tempfile
from typing import Any

from absl.testing import parameterized
import numpy as np
import pytest
import tokenizers
from tokenizers import processors

from adapters_jax import errors
from adapters_jax.data import squad
from adapters_jax.data import templates
from adapters_jax.data import tokenization
from adapters_jax.downloads import pinned
from tests import tiny
from tests.data import tokenizer_cases

LINES = '\n'.join(tiny.VOCABULARY) + '\n'
POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n'
BPE = {'vocab.json': {'<s>': 0, '</s>': 1, 'a': 2, 'b': 3, 'ab': 4},
       'merges.txt': '#version: 0.2\na b\n'}
# Of all-mpnet-base-v2, by transformers.
MPNET = {
    ('Hello world!',): [0, 7596, 2092, 1003, 2],
    ('Hello world!', 'How are you?'): [
        0, 7596, 2092, 1003, 2, 2, 2133, 2028, 2021, 1033, 2],
    ('A joy from start to end.',): [0, 1041, 6573, 2017, 2711, 2004, 2207, 1016,
                                    2],
}


@functools.cache
def fixtures() -> dict[str, Any]:
  with open('tests/fixtures/tokenizers.json', encoding='utf-8') as file:
    return json.load(file)


def tiny_json() -> dict[str, Any]:
  """Returns tokenizer.json of the tiny vocabulary."""
  with tempfile.TemporaryDirectory() as folder:
    tokenizer_cases.write(folder, {'vocab.txt': LINES})
    return json.loads(tokenization.load(folder).to_str())


class TokenizerFilesTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = self.enter_context(tempfile.TemporaryDirectory())

  def write(self, files):
    return tokenizer_cases.write(self.folder, files)

  def load(self, files, vocab_size=None):
    return tokenization.load(self.write(files), vocab_size)

  def check(self, name, wanted):
    files = fixtures()[name]['files']
    size = self.load(files).get_vocab_size(with_added_tokens=True)
    for row, found, expected in zip(
        tokenizer_cases.TEXTS, tokenizer_cases.encode(self.folder, size),
        wanted, strict=True):
      self.assertEqual(found['ids'], expected['ids'], row)
      self.assertEqual(found['segments'], expected['segments'], row)

  @parameterized.parameters(*fixtures())
  def test_equal_to_transformers(self, name):
    self.check(name, fixtures()[name]['rows'])

  @parameterized.parameters(*fixtures())
  @pytest.mark.interop
  def test_equal_to_transformers_live(self, name):
    self.write(fixtures()[name]['files'])
    self.check(name, tokenizer_cases.run_transformers(self.folder))

  def test_mpnet_as_published(self):
    folders = glob.glob(os.path.join(
        pinned.cache_dir(), 'assets', 'mpnet-base-*', 'tokenizer.json'))
    if not folders:
      self.skipTest('mpnet-base is not in the cache')
    tokenizer = tokenization.load(os.path.dirname(folders[0]), 30527)
    for texts, wanted in MPNET.items():
      tokens, segments = tokenization.encode(tokenizer, [texts], 128)
      self.assertEqual(tokens[0].tolist(), wanted)
      self.assertEqual(segments[0].tolist(), [0] * len(wanted))

  @parameterized.parameters(*fixtures())
  def test_answers_are_read_from_any_tokenizer(self, name):
    tokenizer = self.load(fixtures()[name]['files'])
    context = 'The café film was  poor, and a joy from start to end.'
    for answer in ('The café', 'film was', 'poor', 'joy from start', 'end.'):
      question = squad.Question(
          'q', 'How was it?', context, ((answer, context.index(answer)),))
      examples, windows = squad.cut(tokenizer, [question], 120)
      logits = np.zeros((1, 120, 2))
      logits[0, examples.labels[0], [0, 1]] = 1.0
      self.assertEqual(
          squad.best_answers(logits, windows, [question]), [answer])

  def test_null_and_absent_settings_are_the_defaults(self):
    for settings in ({}, {'do_lower_case': None, 'cls_token': None}):
      tokenizer = self.load({
          'vocab.txt': LINES, 'tokenizer_config.json': settings})
      self.assertEqual(
          tokenizer.encode('Good FILM').tokens,
          ['[CLS]', 'good', 'film', '[SEP]'])

  def test_absent_settings_leave_tokenizer_json_alone(self):
    whole = tiny_json()
    whole['normalizer']['lowercase'] = False
    for settings, piece in (
        ({}, '[UNK]'), ({'strip_accents': None}, '[UNK]'),
        ({'do_lower_case': True}, 'good')):
      tokenizer = self.load({
          'tokenizer.json': whole, 'tokenizer_config.json': settings})
      self.assertEqual(tokenizer.encode('Good').tokens[1], piece)

  @parameterized.parameters(
      ({'tokenizer.json': POINTER}, 'tokenizer.json: .*Git LFS pointer'),
      ({'tokenizer.json': ''}, 'cannot read .*tokenizer.json: '),
      ({'tokenizer.json': '{"version": "1.0"'}, 'tokenizer.json: '),
      ({'tokenizer.json': {'version': '1.0', 'model': {'type': 'New'}}},
       'cannot read .*tokenizer.json: '),
      ({'vocab.txt': POINTER}, 'vocab.txt: .*Git LFS pointer'),
      ({'vocab.txt': ''}, r"vocab.txt has no piece '\[CLS\]'"),
      ({'vocab.txt': LINES.replace('[SEP]', '</s>')},
       r"no piece '\[SEP\]'; name the sep_token in tokenizer_config.json"),
      ({'vocab.txt': LINES, 'tokenizer_config.json': '[]'},
       'tokenizer_config.json should hold a JSON object, not a list'),
      ({'vocab.txt': LINES, 'special_tokens_map.json': '{'},
       'special_tokens_map.json cannot be read'),
      ({'vocab.txt': LINES, 'tokenizer_config.json': {'do_lower_case': 'no'}},
       "do_lower_case = 'no', not true or false"),
      ({'vocab.txt': LINES, 'tokenizer_config.json': {'strip_accents': 1}},
       'strip_accents = 1, not true or false'),
      ({'vocab.txt': LINES, 'tokenizer_config.json': {'cls_token': 7}},
       'cls_token = 7, not the name of a token'),
      ({'vocab.txt': LINES, 'tokenizer_config.json': {
          'added_tokens_decoder': {'x': 'y'}}},
       'cannot read .*tokenizer_config.json: '),
      ({'vocab.txt': LINES, 'added_tokens.json': {'@user': 19}},
       r"added_tokens.json gives '@user' the id 19, the tokenizer gives it 17"),
      ({**BPE, 'merges.txt': POINTER}, 'merges.txt: .*Git LFS pointer'),
      ({**BPE, 'merges.txt': '#version: 0.2\na\n'},
       'cannot read .*merges.txt: '),
      ({**BPE, 'vocab.json': '{"<s>": 0'}, 'vocab.json cannot be read'),
      ({'vocab.json': BPE['vocab.json']}, 'neither tokenizer.json nor'),
      ({}, 'neither tokenizer.json nor vocab.txt, nor vocab.json with merges'),
      ({'spm.model': 'x'},
       r'in spm.model, and no tokenizer.json; convert it with transformers'),
      ({'sentencepiece.bpe.model': 'x'}, 'in sentencepiece.bpe.model'),
      ({'vocab.txt': LINES,
        'config.json': {'tokenizer_class': 'BertJapaneseTokenizer'}},
       'vocab.txt, .* BertJapaneseTokenizer; add the tokenizer.json'),
      ({'vocab.txt': LINES, 'tokenizer_config.json': {
          'tokenizer_class': 'BertTokenizer', 'word_tokenizer_type': 'mecab'}},
       "word_tokenizer_type = 'mecab'; add the tokenizer.json"),
      ({'vocab.txt': LINES, 'bpe.codes': 'x',
        'tokenizer_config.json': {'tokenizer_class': 'BertweetTokenizer'}},
       'BertweetTokenizer'),
      ({**BPE, 'tokenizer_config.json': {
          'tokenizer_class': 'HerbertTokenizerFast'}},
       'vocab.json and merges.txt, .* HerbertTokenizerFast; add'))
  def test_one_line_for_files_that_cannot_work(self, files, message):
    with self.assertRaisesRegex(
        errors.UserError, f'^`checkpoint`: .*{message}.*$') as caught:
      self.load(files)
    self.assertNotIn('\n', str(caught.exception))

  def test_classes_with_the_tokenizer_of_a_vocabulary(self):
    for name in ('RobertaTokenizerFast', 'LongformerTokenizer', None):
      self.load({**BPE, 'tokenizer_config.json': {'tokenizer_class': name}})
    for name in ('MobileBertTokenizer', 'PreTrainedTokenizerFast', None):
      self.load({'vocab.txt': LINES, 'config.json': {
          'model_type': 'bert', 'tokenizer_class': name}})
    # The settings of the tokenizer win over those of the model.
    self.load({'vocab.txt': LINES, 'tokenizer_config.json': {
        'tokenizer_class': 'BertTokenizer', 'word_tokenizer_type': 'basic',
    }, 'config.json': {'tokenizer_class': 'BertJapaneseTokenizer'}})

  def test_a_vocabulary_that_is_not_utf_8(self):
    self.write({})
    with open(os.path.join(self.folder, 'vocab.txt'), 'wb') as file:
      file.write(LINES.encode() + b'caf\xe9\n')
    with self.assertRaisesRegex(errors.UserError, 'cannot read .*vocab.txt: '):
      tokenization.load(self.folder)

  def test_every_cut_of_tokenizer_json(self):
    text = json.dumps(tiny_json())
    for length in range(0, len(text), 97):
      with self.assertRaisesRegex(errors.UserError, 'tokenizer.json'):
        self.load({'tokenizer.json': text[:length]})

  def test_ids_beyond_the_embedding(self):
    tokenizer = self.load({'vocab.txt': LINES}, 17)
    self.load({'vocab.txt': LINES}, 24)  # Padded: common.
    with self.assertRaisesRegex(
        errors.UserError, r"ids up to 16, the embedding 15 rows .*: no row for "
        r"'plot' \(15\), '##s' \(16\); "):
      self.load({'vocab.txt': LINES}, 15)
    tokenizer.add_tokens(['@user'])
    whole = json.loads(tokenizer.to_str())
    with self.assertRaisesRegex(
        errors.UserError, r"ids up to 17, .* 17 rows .*row for '@user' \(17\)"):
      self.load({'tokenizer.json': whole}, 17)
    with self.assertRaisesRegex(errors.UserError, r' \(9\) and 8 more; '):
      self.load({'tokenizer.json': whole}, 5)

  def test_ids_of_the_template_beyond_the_embedding(self):
    whole = tiny_json()
    whole['post_processor'] = json.loads(
        processors.BertProcessing(('[END]', 40), ('[CLS]', 2)).__getstate__())
    with self.assertRaisesRegex(errors.UserError, r"ids up to 40.*'\[END\]'"):
      self.load({'tokenizer.json': whole}, 17)

  def test_a_tokenizer_without_special_tokens(self):
    whole = {**tiny_json(), 'post_processor': None}
    with self.assertRaisesRegex(errors.UserError, 'no special token before'):
      self.load({'tokenizer.json': whole})

  @parameterized.parameters('good \ud800', None)
  def test_a_text_that_is_none(self, text):
    tokenizer = self.load({'vocab.txt': LINES})
    with self.assertRaisesRegex(
        errors.UserError, r'^text 1: the tokenizer cannot read .*$'):
      tokenization.encode(tokenizer, [('good',), (text,)], 8)

  def test_truncation_and_padding_of_the_file_are_off(self):
    tokenizer = self.load(fixtures()['mpnet_json']['files'])
    self.assertIsInstance(tokenizer, tokenizers.Tokenizer)
    self.assertIsNone(tokenizer.truncation)
    self.assertIsNone(tokenizer.padding)
    self.assertEqual(
        templates.template_of(tokenizer, 2).tokens, ((0,), (2, 2), (2,)))
