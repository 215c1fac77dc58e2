import os
import tempfile
from unittest import mock

from absl.testing import parameterized
import numpy as np

from adapters_jax import errors
from adapters_jax.data import batching
from adapters_jax.data import bucketing
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import ragged
from adapters_jax.data import token_cache
from adapters_jax.data import progress
from adapters_jax.data import tokenization
from adapters_jax.data import tokenizer_settings
from tests import tiny
from tests.data import tokenizer_cases

TEXTS = [('good film', 'a plot'), ('', 'dull'), ('the very bad film', '')]


class RaggedTest(parameterized.TestCase):

  def test_rows_of_a_flat_array(self):
    rows = ragged.Ragged.join(
        [np.array([1, 2, 3], np.int8), np.array([4], np.int8)], [1, 0, 3])
    self.assertLen(rows, 3)
    self.assertEqual([row.tolist() for row in rows], [[1], [], [2, 3, 4]])
    self.assertEqual(rows[-1].tolist(), [2, 3, 4])
    self.assertEqual([row.tolist() for row in rows[1:]], [[], [2, 3, 4]])
    self.assertEqual(rows[2].dtype, np.int32)
    self.assertEqual(rows.lengths.tolist(), [1, 0, 3])
    with self.assertRaises(IndexError):
      rows[3]
    self.assertEmpty(ragged.Ragged.join([], []))

  def test_batches_are_those_of_arrays(self):
    rows = ragged.Ragged.join([np.arange(9, dtype=np.int8)], [4, 2, 3])
    kinds = ragged.Ragged.join([np.arange(9, dtype=np.int8) % 2], [4, 2, 3])
    labels = np.arange(3, dtype=np.int32)
    plan = bucketing.Plan(np.array([2, 0]), 5)
    found, wanted = (
        batching.make_batch(examples, plan, 3) for examples in (
            examples_lib.Examples(rows, kinds, labels),
            examples_lib.Examples([*rows], [*kinds], labels)))
    for name, value in wanted.items():
      np.testing.assert_array_equal(found[name], value, strict=True)


class TokenCacheTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    root = self.enter_context(tempfile.TemporaryDirectory())
    self.folder = os.path.join(root, 'cache', 'tokens')
    self.enter_context(mock.patch.dict(
        os.environ, {'ADAPTERS_JAX_CACHE': os.path.join(root, 'cache')}))
    self.enter_context(mock.patch.object(token_cache, '_AT_LEAST', 3))
    self.enter_context(mock.patch.object(tokenization, '_CHUNK', 2))
    self.base = tokenizer_cases.write(
        os.path.join(root, 'base'),
        {'vocab.txt': '\n'.join(tiny.VOCABULARY) + '\n'})
    self.tokenizer = tokenization.load(self.base)

  def entries(self):
    if not os.path.isdir(self.folder):
      return []
    return sorted(os.path.join(self.folder, name)
                  for name in os.listdir(self.folder))

  def check(self, texts=TEXTS, tokenizer=None, max_length=8, calls=0):
    """Compares with a call without a cache; `calls` are of the tokenizer."""
    tokenizer = tokenizer or self.tokenizer
    *wanted, longer = tokenization.encode_counted(tokenizer, texts, max_length)
    with mock.patch.object(
        tokenization, 'encode_counted',
        wraps=tokenization.encode_counted) as encode:
      *found, cut = token_cache.encode(tokenizer, texts, max_length)
    self.assertEqual(encode.call_count, calls)
    self.assertEqual(cut, longer.sum())
    for one, other in zip(found, wanted, strict=True):
      np.testing.assert_array_equal(one.flat, other.flat, strict=True)
      np.testing.assert_array_equal(one.offsets, other.offsets, strict=True)

  def test_a_second_call_reads_what_the_first_found(self):
    self.check(calls=1)
    self.assertLen(self.entries(), 1)
    self.check()
    self.check(tokenizer=tokenization.load(self.base))

  def test_everything_that_changes_the_tokens_is_another_entry(self):
    other = tokenization.load(self.base)
    other.add_tokens(['plot'])
    # Settings that the JSON of a tokenizer lacks.
    whole, end = (tokenization.load(self.base) for _ in range(2))
    whole.encode_special_tokens = True
    setattr(end, tokenizer_settings._KEEPS_END, True)
    calls = [
        {}, {'max_length': 7}, {'tokenizer': other}, {'tokenizer': whole},
        {'tokenizer': end},
        {'texts': TEXTS[::-1]}, {'texts': [*TEXTS, ('', '')]},
        {'texts': [('good fil', 'ma plot'), *TEXTS[1:]]},
        {'texts': [(f'{a} {b}',) for a, b in TEXTS]}]
    for number, call in enumerate(calls):
      self.check(**call, calls=1)
      self.assertLen(self.entries(), number + 1)
    for call in calls:
      self.check(**call)

  def test_ids_beyond_16_bits(self):
    self.check(max_length=6, calls=1)
    self.check(max_length=6)
    with np.load(self.entries()[0]) as arrays:
      self.assertEqual(arrays['tokens'].dtype, np.uint16)
      self.assertGreater(arrays['cut'], 0)
    path = os.path.join(self.folder, 'a.npz')
    for last in (2**16 - 1, 2**16, 2**18):
      tokens = ragged.Ragged.join([np.array([1, last], np.int32)], [1, 1])
      token_cache._write(path, tokens, tokens, 0)
      found, _, _ = token_cache._read(path, 2)
      np.testing.assert_array_equal(found.flat, tokens.flat, strict=True)

  def test_few_examples_are_not_kept(self):
    self.check(texts=TEXTS[:2], calls=1)
    self.assertEmpty(self.entries())

  def test_damaged_entries_are_made_again(self):
    self.check(calls=1)
    path, = self.entries()
    with open(path, 'rb') as file:
      whole = file.read()
    zeros = bytes(len(whole))
    flipped = bytearray(whole)
    # In the numbers of the first array, which its check sum covers.
    flipped[whole.index(b'\n', whole.index(b'NUMPY')) + 3] ^= 1
    for content in (b'', whole[:40], whole[:-1], zeros, bytes(flipped),
                    b'no zip'):
      with open(path, 'wb') as file:
        file.write(content)
      with self.assertLogs('adapters_jax', 'INFO') as said:
        self.check(calls=1)
      self.assertRegex(said.output[0], 'cannot be read .*tokenising again')
      self.check()

  def test_entries_of_other_lengths_are_made_again(self):
    self.check(calls=1)
    path, = self.entries()
    np.savez(path, tokens=np.zeros(4, np.int32), segments=np.zeros(4, np.int8),
             offsets=np.array([0, 1, 3, 5]), cut=0)
    self.check(calls=1)

  def test_entries_without_the_number_of_cut_ones_are_made_again(self):
    self.check(calls=1)
    path, = self.entries()
    with np.load(path) as arrays:
      older = {name: arrays[name] for name in arrays if name != 'cut'}
    np.savez(path, **older)
    self.check(calls=1)

  def test_the_least_recently_used_entries_go_first(self):
    paths = []
    for age, length in enumerate((6, 7, 8)):
      self.check(max_length=length, calls=1)
      path, = {*self.entries()} - {*paths}
      os.utime(path, (100 + age, 100 + age))
      paths.append(path)
    self.check(max_length=6)  # Now the entry of 7 is the oldest.
    most = int(3.5 * os.path.getsize(paths[2]))
    with mock.patch.object(token_cache, '_MOST_BYTES', most):
      self.check(max_length=9, calls=1)
    self.assertLen(self.entries(), 3)
    self.assertNotIn(paths[1], self.entries())

  def test_too_large_entries_are_not_kept(self):
    with mock.patch.object(token_cache, '_MOST_BYTES', 10):
      with self.assertLogs('adapters_jax', 'INFO') as said:
        self.check(calls=1)
    self.assertRegex(said.output[-1], 'not kept for the next run: they take')
    self.assertEmpty(self.entries())

  def test_a_folder_that_cannot_be_written(self):
    os.makedirs(os.path.dirname(self.folder))
    with open(self.folder, 'w') as file:
      file.write('a file in its place')
    with self.assertLogs('adapters_jax', 'INFO') as said:
      self.check(calls=1)
    self.assertRegex(said.output[-1], 'not kept for the next run')

  def test_texts_that_cannot_be_read(self):
    texts = [*TEXTS, ('good', 'half \ud800 pair')]
    with self.assertRaisesRegex(errors.UserError, '^text 3: the tokenizer'):
      token_cache.encode(self.tokenizer, texts, 8)

  def test_progress_is_logged(self):
    with mock.patch.object(progress, '_SECONDS', 0.0):
      with self.assertLogs('adapters_jax', 'INFO') as said:
        tokenization.encode(self.tokenizer, TEXTS, 8)
    self.assertEqual(
        [line.split(':')[-1] for line in said.output],
        ['tokenised 2 of 3 texts', 'tokenised 3 of 3 texts'])
