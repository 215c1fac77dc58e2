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
    table = files.read(path, ('sentence',), 'label')
    self.assertEqual(table.texts, [('"an open quote',), ('it\'s "fine"',)])
    self.assertEqual(table.labels, ['x', 'y'])
    self.assertEqual(table.lines, [2, 3])

  def test_csv_is_quoted_and_may_span_lines(self):
    path = self.write(
        'a.csv', '\ufeffid,text,label\n1,"two, ""lines""\nhere",x\n')
    table = files.read(path, ('text',), 'label')
    self.assertEqual(table.texts, [('two, "lines"\nhere',)])
    self.assertEqual(table.labels, ['x'])

  def test_jsonl_pairs_and_number_labels(self):
    path = self.write(
        'a.jsonl', '{"a": "p", "b": "q", "label": 1}\n\n'
        '{"a": "r", "b": "s", "label": 0}\n')
    table = files.read(path, ('a', 'b'), 'label')
    self.assertEqual(table.texts, [('p', 'q'), ('r', 's')])
    self.assertEqual((table.labels, table.lines), (['1', '0'], [1, 3]))

  @parameterized.parameters(
      ('a.txt', 'x', 'must end in'),
      ('a.tsv', '', 'no examples'),
      ('a.tsv', 'sentence\tlabel\n', 'no examples'),
      ('a.tsv', 'text\tlabel\na\tb\n',
       "line 2: no column 'sentence', only 'text', 'label'; .*`text_columns`"),
      ('a.tsv', 'sentence\ty\na\tb\n', "no column 'label'.*`label_column`"),
      ('a.csv', 'sentence, label\na,b\n', "blanks around ' label'"),
      ('a.csv', 'Sentence,label\na,b\n', 'mean `text_columns=Sentence`'),
      ('a.tsv', 'sentence\tlabel\na\t \n',
       "line 2, column 'label': the label is empty"),
      ('a.tsv', 'sentence\tlabel\na\tb\n\t\n', 'line 3, .* the label is empty'),
      ('a.jsonl', '{"sentence": "a", "label": null}\n', 'line 1, .* is empty'),
      ('a.jsonl', '{"sentence": "a", "label": NaN}\n', 'nan is no label'),
      ('a.jsonl', '{"sentence": "a", "label": 1e999}\n', 'inf is no label'),
      ('a.jsonl', '{"sentence": "a", "label": ["b"]}\n', 'the label is a list'),
      ('a.jsonl', '{"sentence": "a", "label": "\\udfff"}\n',
       "line 1, column 'label': '.udfff' is half of a character"),
      ('a.jsonl', '{"sentence": null, "label": "b"}\n',
       "line 1, column 'sentence': the text is null"),
      ('a.jsonl', '{"sentence": ["a"], "label": "b"}\n', 'the text is a list'),
      ('a.jsonl', '{"sentence": {}, "label": "b"}\n', 'the text is an object'),
      ('a.jsonl', '{"sentence": 7, "label": "b"}\n', 'the text is a number'),
      ('a.jsonl', '{"sentence": true, "label": 1}\n', 'is a truth value'),
      ('a.jsonl', '{"sentence": "\\ud800", "label": 1}\n', 'half of a char'))
  def test_errors_name_file_row_and_column(self, name, text, message):
    path = self.write(name, text)
    with self.assertRaisesRegex(errors.UserError, message) as found:
      files.read(path, ('sentence',), 'label')
    self.assertStartsWith(str(found.exception), path)
    self.assertLen(str(found.exception).splitlines(), 1)

  def test_empty_texts_are_reported(self):
    path = self.write('a.tsv', 'sentence\tlabel\na\tx\n \ty\n\tz\n')
    with self.assertLogs('adapters_jax', 'WARNING') as logged:
      table = files.read(path, ('sentence',), 'label')
    self.assertEqual(table.texts, [('a',), (' ',), ('',)])
    self.assertRegex(logged.output[0], '2 empty texts, the first in line 3')

  def test_absent_and_undecodable_files(self):
    with self.assertRaisesRegex(errors.UserError, 'nowhere.tsv'):
      files.read('nowhere.tsv', ('sentence',), 'label')
    path = self.write('a.tsv', 'sentence\tlabel\ncaf\xe9\tx\n', 'latin-1')
    with self.assertRaisesRegex(errors.UserError, 'line 2: byte 0xe9 is not'):
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
        errors.UserError,
        "d.tsv, line 3, column 'label': the label 'new' does not occur"):
      files.load({'train': train, 'dev': dev}, ('sentence',), 'label', False)

  def test_one_class_is_no_task(self):
    train = self.write('t.tsv', 'sentence\tlabel\na\tx\nb\tx\n')
    with self.assertRaisesRegex(errors.UserError, 'two classes'):
      files.load({'train': train, 'dev': train}, ('sentence',), 'label', False)

  @parameterized.parameters(
      (['0.5', '1.5', '2'], "line 2, .*'0.5' is not a whole number"),
      (['1', '0', 'NaN'], "line 4, .*'NaN' among numbers"),
      (['1', 'inf', '0'], "line 3, .*'inf' is not a whole number"))
  def test_scores_are_no_classes(self, labels, message):
    rows = ''.join(f'a\t{label}\n' for label in labels)
    path = self.write('t.tsv', 'sentence\tlabel\n' + rows)
    with self.assertRaisesRegex(errors.UserError, message):
      files.load({'train': path, 'dev': path}, ('sentence',), 'label', False)

  @parameterized.parameters(
      ('a.tsv', '1 0 1.0', "line 4, .*label '1.0' is '1' of line 2 in another"),
      ('a.tsv', '0 0 1 01', "line 5, .*'01' is '1' of line 4"),
      ('a.tsv', '0 1 +0', "'.0' is '0' of line 2"),
      ('a.tsv', '-0 1 0', "'0' is '-0'"), ('a.tsv', '1e0 0 1', "'1' is '1e0'"),
      ('a.tsv', 'x 1 1.', "line 4, .*'1.' is '1' of line 3"),
      ('a.jsonl', '1 0 1.0', "line 3, .*'1.0' is '1' of line 1"),
      ('a.jsonl', '1 "01" 0', "'01' is '1'"),
      ('a.jsonl', 'true false "true"', "'true' is 'True' of line 1"))
  def test_one_number_in_two_spellings(self, name, labels, message):
    row = {'a.tsv': 'a\t{}\n', 'a.jsonl': '{{"sentence": "a", "label": {}}}\n'}
    path = self.write(name, 'sentence\tlabel\n' * (name == 'a.tsv') + ''.join(
        row[name].format(label) for label in labels.split()))
    with self.assertRaisesRegex(errors.UserError, message):
      files.load({'train': path, 'dev': path}, ('sentence',), 'label', False)

  @parameterized.parameters(
      (['1e1', '10', 'x'], ('10', '1e1', 'x')),
      (['1_0', '10', 'yes', 'Yes'], ('10', '1_0', 'Yes', 'yes')),
      (['9007199254740993', '9007199254740992'],
       ('9007199254740992', '9007199254740993')),
      (['1.0', '0.0'], ('0.0', '1.0')), (['10', '9'], ('10', '9')),
      (['nan', 'zh', 'nl'], ('nan', 'nl', 'zh')), (['7', 'x'], ('7', 'x')))
  def test_whole_numbers_and_words_are_classes(self, labels, classes):
    rows = ''.join(f'a\t{label}\n' for label in labels)
    path = self.write('t.tsv', 'sentence\tlabel\n' + rows)
    task, _ = files.load(
        {'train': path, 'dev': path}, ('sentence',), 'label', False)
    self.assertEqual(task.labels, classes)

  @parameterized.parameters('good', 'nan', 'inf', '-inf', '1e39', '9' * 400)
  def test_regression_wants_numbers(self, label):
    good = self.write('t.tsv', 'sentence\tlabel\na\t1.5\nb\t-2\nc\t3.4e38\n')
    bad = self.write('d.tsv', f'sentence\tlabel\na\t1\nb\t{label}\n')
    task, splits = files.load(
        {'train': good, 'dev': good}, ('sentence',), 'label', True)
    self.assertEqual((task.labels, task.outputs), ((), 1))
    np.testing.assert_array_equal(
        splits['train'].labels, np.array([1.5, -2, 3.4e38], np.float32))
    with self.assertRaisesRegex(errors.UserError, 'd.tsv, line 3.* is no numb'):
      files.load({'train': good, 'dev': bad}, ('sentence',), 'label', True)

  def test_scores_of_minus_one_are_scores(self):
    path = self.write('t.tsv', 'sentence\tlabel\na\t-1\nb\t-1\n')
    _, splits = files.load(
        {'train': path, 'dev': path, 'test': path}, ('sentence',), 'label',
        True)
    self.assertTrue(splits['test'].labelled)
    np.testing.assert_array_equal(splits['dev'].labels, [-1, -1])

  @parameterized.parameters('-1', '-1.0')
  def test_scores_that_are_unknown(self, score):
    train = self.write('t.tsv', 'sentence\tlabel\na\t0.5\nb\t4\n')
    test = self.write(
        'e.tsv', f'sentence\tlabel\na\t{score}\nb\t{score}\n')
    paths = {'train': train, 'dev': train, 'test': test}
    _, splits = files.load(paths, ('sentence',), 'label', True)
    self.assertFalse(splits['test'].labelled)
    self.assertTrue(splits['dev'].labelled)
    paths['dev'] = self.write('d.tsv', 'sentence\tlabel\na\t-1\nb\t1\n')
    _, splits = files.load(paths, ('sentence',), 'label', True)
    self.assertTrue(splits['test'].labelled)

  @parameterized.parameters(
      ('sentence\na\nb\n', False), ('sentence\tlabel\na\t\nb\t\n', False),
      ('sentence\tlabel\na\t-1\nb\t-1\n', False),
      ('sentence\tlabel\na\tx\nb\tz\n', True))
  def test_the_test_file_may_lack_labels(self, text, labelled):
    train = self.write('t.tsv', 'sentence\tlabel\na\tz\nb\tx\n')
    test = self.write('e.tsv', text)
    _, splits = files.load({'train': train, 'dev': train, 'test': test},
                           ('sentence',), 'label', False)
    self.assertEqual(splits['test'].labelled, labelled)
    self.assertEqual(splits['test'].texts, [('a',), ('b',)])
    np.testing.assert_array_equal(
        splits['test'].labels, [0, 1] if labelled else [-1, -1])
    with self.assertRaisesRegex(errors.UserError, 'e.tsv, line'):
      files.load({'train': train, 'dev': self.write(
          'e.tsv', 'sentence\tlabel\na\tx\nb\t\n')}, ('sentence',), 'label',
                 False)

  def test_dev_is_held_out_of_train(self):
    rows = [(f'text {n}', 'xyz'[n % 3]) for n in range(20)]
    train = self.write('t.tsv', 'sentence\tlabel\n' + ''.join(
        f'{text}\t{label}\n' for text, label in rows))
    task, splits = files.load(
        {'train': train}, ('sentence',), 'label', False, dev_fraction=0.25)
    self.assertEqual((len(splits['train']), len(splits['dev'])), (15, 5))
    self.assertCountEqual(
        [(text, task.labels[label]) for split in splits.values()
         for (text,), label in zip(split.texts, split.labels)], rows)
