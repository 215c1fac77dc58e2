import os
import tempfile

from absl.testing import parameterized
import numpy as np

from adapters_jax.data import files
from adapters_jax import errors


class FilesTest(parameterized.TestCase):

  def write(self, name, text, encoding='utf-8'):
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    path = os.path.join(folder.name, name)
    with open(path, 'w', encoding=encoding, newline='') as file:
      file.write(text)
    return path

  def test_tsv_has_no_quoting(self):
    path = self.write(
        'a.tsv', 'sentence\tlabel\n"an open quote\tx\nit\'s "fine"\ty\r\n')
    texts, labels, numbers = files.read(path, ('sentence',), 'label')
    self.assertEqual(texts, [('"an open quote',), ('it\'s "fine"',)])
    self.assertEqual(labels, ['x', 'y'])
    self.assertEqual(numbers, [2, 3])

  def test_csv_is_quoted_and_may_span_lines(self):
    path = self.write(
        'a.csv', '\ufeffid,text,label\n1,"two, ""lines""\nhere",x\n')
    texts, labels, _ = files.read(path, ('text',), 'label')
    self.assertEqual(texts, [('two, "lines"\nhere',)])
    self.assertEqual(labels, ['x'])

  def test_jsonl_pairs_and_number_labels(self):
    path = self.write(
        'a.jsonl', '{"a": "p", "b": "q", "label": 1}\n\n'
        '{"a": "r", "b": "s", "label": 0}\n')
    texts, labels, numbers = files.read(path, ('a', 'b'), 'label')
    self.assertEqual(texts, [('p', 'q'), ('r', 's')])
    self.assertEqual((labels, numbers), (['1', '0'], [1, 3]))

  @parameterized.parameters(
      ('a.txt', 'x', 'must end in'),
      ('a.tsv', '', 'no examples'),
      ('a.tsv', 'sentence\tlabel\n', 'no examples'),
      ('a.tsv', 'sentence\tlabel\na\tb\tc\n', 'line 2: 3 columns.*has 2'),
      ('a.csv', 'sentence,label\na\n', 'line 2: the row does not have the 2'),
      ('a.csv', 'sentence,label\na,b,c\n', 'line 2'),
      ('a.tsv', 'text\tlabel\na\tb\n', "no column 'sentence'.*`text_columns`"),
      ('a.tsv', 'sentence\ty\na\tb\n', "no column 'label'.*`label_column`"),
      ('a.tsv', 'sentence\tlabel\na\t \n', 'line 2: the label is empty'),
      ('a.jsonl', '{"sentence": "a", "label": "b"}\n{oops\n', 'line 2: not JS'),
      ('a.jsonl', '[1]\n', 'line 1: a JSON object'))
  def test_errors_name_file_and_row(self, name, text, message):
    path = self.write(name, text)
    with self.assertRaisesRegex(errors.UserError, message):
      files.read(path, ('sentence',), 'label')

  def test_absent_and_undecodable_files(self):
    with self.assertRaisesRegex(errors.UserError, 'nowhere.tsv'):
      files.read('nowhere.tsv', ('sentence',), 'label')
    path = self.write('a.tsv', 'sentence\tlabel\ncaf\xe9\tx\n', 'latin-1')
    with self.assertRaisesRegex(errors.UserError, 'cannot be read'):
      files.read(path, ('sentence',), 'label')

  def test_classes_are_those_of_training(self):
    train = self.write('t.tsv', 'sentence\tlabel\na\tz\nb\tx\nc\tz\n')
    dev = self.write('d.tsv', 'sentence\tlabel\na\tx\nb\tz\n')
    task, splits = files.load(
        {'train': train, 'dev': dev}, ('sentence',), 'label', False)
    self.assertEqual(task.labels, ('x', 'z'))
    np.testing.assert_array_equal(splits['train'].labels, [1, 0, 1])
    np.testing.assert_array_equal(splits['dev'].labels, [0, 1])

  def test_label_unseen_in_training(self):
    train = self.write('t.tsv', 'sentence\tlabel\na\tz\nb\tx\n')
    dev = self.write('d.tsv', 'sentence\tlabel\na\tx\nb\tnew\n')
    with self.assertRaisesRegex(
        errors.UserError, "d.tsv, line 3: the label 'new'"):
      files.load({'train': train, 'dev': dev}, ('sentence',), 'label', False)

  def test_one_class_is_no_task(self):
    train = self.write('t.tsv', 'sentence\tlabel\na\tx\nb\tx\n')
    with self.assertRaisesRegex(errors.UserError, 'two classes'):
      files.load({'train': train, 'dev': train}, ('sentence',), 'label', False)

  @parameterized.parameters('good', 'nan', 'inf')
  def test_regression_wants_numbers(self, label):
    good = self.write('t.tsv', 'sentence\tlabel\na\t1.5\nb\t-2\n')
    bad = self.write('d.tsv', f'sentence\tlabel\na\t1\nb\t{label}\n')
    task, splits = files.load(
        {'train': good, 'dev': good}, ('sentence',), 'label', True)
    self.assertEqual((task.labels, task.outputs), ((), 1))
    np.testing.assert_array_equal(splits['train'].labels, [1.5, -2.0])
    with self.assertRaisesRegex(errors.UserError, 'd.tsv, line 3.*not a numb'):
      files.load({'train': good, 'dev': bad}, ('sentence',), 'label', True)
