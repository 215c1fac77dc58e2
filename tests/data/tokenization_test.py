import json
import os
import tempfile
from unittest import mock

from absl.testing import parameterized
import pytest

from adapters_jax.data import tokenization
from adapters_jax.downloads import pinned
from adapters_jax import errors
from tests.methods import parity
from tests import tiny


def encode_nasty(tokenizer):
  rows = []
  for first, second, longest in parity.NASTY:
    texts = (first,) if second is None else (first, second)
    tokens, segments = tokenization.encode(tokenizer, [texts], longest)
    rows.append({'ids': tokens[0].tolist(), 'segments': segments[0].tolist()})
  return rows


class TokenizationTest(parameterized.TestCase):

  def check(self, wanted):
    folder = pinned.fetch('minilm-l6')
    with tempfile.TemporaryDirectory() as plain:
      os.symlink(f'{folder}/vocab.txt', f'{plain}/vocab.txt')
      for tokenizer in (tokenization.load(folder), tokenization.load(plain)):
        for row, found, expected in zip(
            parity.NASTY, encode_nasty(tokenizer), wanted, strict=True):
          self.assertEqual(found, expected, row)

  def test_equal_to_berttokenizer_on_nasty_inputs(self):
    with open('tests/fixtures/tokenization.json') as file:
      self.check(json.load(file))

  @pytest.mark.interop
  def test_equal_to_berttokenizer_live(self):
    self.check(parity.tokenize_with_transformers(pinned.fetch('minilm-l6')))

  def test_long_text_is_cut_to_the_length(self):
    tokenizer = tokenization.load(pinned.fetch('minilm-l6'))
    tokens, _ = tokenization.encode(tokenizer, [('word ' * 600,)], 128)
    self.assertLen(tokens[0], 128)
    self.assertEqual(
        [tokenizer.id_to_token(tokens[0][i]) for i in (0, -1)],
        ['[CLS]', '[SEP]'])

  @parameterized.parameters(
      ([], []), (['a' * 6], [(0, 1)]), (['aa'] * 5, [(0, 3), (3, 5)]),
      ([('a', 'bbb'), ('cc', None), ('dd', 'ee'), ('', '')],
       [(0, 2), (2, 4)]), ([['a'], ['b'] * 9, ['c']], [(0, 2), (2, 3)]),
      (['a'] * 8, [(0, 4), (4, 8)]), (['a' * 9, 'b'], [(0, 1), (1, 2)]))
  def test_chunks_end_at_a_number_of_texts_or_of_characters(
      self, texts, wanted):
    with mock.patch.multiple(tokenization, _CHUNK=4, _CHARACTERS=6):
      found = [*tokenization.chunks_of(texts)]
    self.assertEqual(
        found, [(start, texts[start:stop]) for start, stop in wanted])

  def test_long_texts_have_the_ids_of_texts_alone(self):
    texts = [('good film ' * 9, 'bad'), ('a', 'plot ' * 20), ('', 'fine'),
             ('dull', 'great ' * 3)]
    tokenizer = tokenization.load(pinned.fetch('minilm-l6'))
    wanted = [tokenization.encode_counted(tokenizer, [text], 12)
              for text in texts]
    with mock.patch.object(tokenization, '_CHARACTERS', 50):
      self.assertLen([*tokenization.chunks_of(texts)], 3)
      tokens, segments, cut = tokenization.encode_counted(
          tokenizer, texts, 12)
    for row, (ids, kinds, longer) in enumerate(wanted):
      self.assertEqual(tokens[row].tolist(), ids[0].tolist())
      self.assertEqual(segments[row].tolist(), kinds[0].tolist())
      self.assertEqual(cut[row], longer[0])

  @parameterized.parameters(
      ('good', '`texts`: give a list of tuples'),
      (['good', 'bad'], r"`texts\[0\]`: give a tuple .* as in \('A joy.',\)"),
      ([('good',), 'ab'], r'`texts\[1\]`: give a tuple of its one or two'),
      ([('good',), ()], r'`texts\[1\]`: give a tuple of its one or two'),
      ([('a', 'b', 'c')], r'`texts\[0\]`: give a tuple of its one or two'),
      ([('good',), ('a', 'film')],
       r'`texts\[1\]`: has 2 texts, and the first example 1'))
  def test_other_forms_of_texts_are_named(self, texts, message):
    with tempfile.TemporaryDirectory() as folder:
      with open(f'{folder}/vocab.txt', 'w') as file:
        file.write('\n'.join(tiny.VOCABULARY) + '\n')
      tokenizer = tokenization.load(folder)
      with self.assertRaisesRegex(errors.UserError, f'^{message}'):
        tokenization.encode(tokenizer, texts, 8)

  def test_cased_vocabulary(self):
    with tempfile.TemporaryDirectory() as folder:
      with open(f'{folder}/vocab.txt', 'w') as file:
        file.write('\n'.join((*tiny.VOCABULARY, 'Good')) + '\n')
      with open(f'{folder}/tokenizer_config.json', 'w') as file:
        json.dump({'do_lower_case': False}, file)
      tokenizer = tokenization.load(folder)
      self.assertEqual(
          tokenizer.encode('Good good').tokens,
          ['[CLS]', 'Good', 'good', '[SEP]'])

  def test_no_vocabulary(self):
    with tempfile.TemporaryDirectory() as folder:
      with self.assertRaisesRegex(errors.UserError, 'neither tokenizer.json'):
        tokenization.load(folder)
