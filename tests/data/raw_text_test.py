"""Raw texts in memory; language_modeling_test.py has files."""

import pytest

import adapters_jax as aj
from adapters_jax.data import raw_text


def test_texts_without_the_empty_ones_and_held_out():
  texts = aj.Texts([f' text {number} ' for number in range(20)] + ['', ' \n'])
  assert len(texts) == 20 and texts.texts[3] == 'text 3'
  found = raw_text.splits(texts)
  assert [len(split) for split in found.values()] == [18, 2]
  assert sorted(sum(found.values(), [])) == sorted(texts.texts)
  other = aj.Texts(['other'])
  assert raw_text.splits(other, texts, other) == {
      'train': ['other'], 'dev': texts.texts, 'test': ['other']}
  with pytest.raises(aj.UserError, match='two texts or more'):
    raw_text.splits(other)


def test_a_line_of_a_file_is_a_text(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_bytes(b'\ra b\r\n\n c\r\r\nd\r')
  assert raw_text.read(str(path), 'text') == ['a b', 'c', 'd']
  path.write_bytes(b'a\nb\rc\rd\n')
  with pytest.raises(aj.UserError, match='a.txt, line 2: lines end with a car'):
    raw_text.read(str(path), 'text')


@pytest.mark.parametrize('texts, message', [
    ('one text', 'not a single string'), (['a', 3], r'`texts\[1\]`.*not int'),
    ([], 'there is no text'), (['', ' '], 'there is no text')])
def test_what_is_no_text(texts, message):
  with pytest.raises(aj.UserError, match=message):
    aj.Texts(texts)
