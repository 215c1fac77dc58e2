from absl.testing import parameterized
import tokenizers
from tokenizers import models
from tokenizers import pre_tokenizers
from tokenizers import processors

from adapters_jax import errors
from adapters_jax.data import squad
from adapters_jax.data import templates
from adapters_jax.data import tokenization

# As in MPNet, BERT's names are ordinary pieces behind the special tokens.
VOCABULARY = ('<s>', '<pad>', '</s>', '[UNK]', '[CLS]', '[SEP]', 'good', 'film',
              'a', 'plot')
BERT = processors.BertProcessing(('</s>', 2), ('<s>', 0))
ROBERTA = processors.RobertaProcessing(('</s>', 2), ('<s>', 0))
START_ONLY = processors.TemplateProcessing(
    single='<s> $A', pair='<s> $A </s>:1 $B:1',
    special_tokens=[('<s>', 0), ('</s>', 2)])
SWAPPED = processors.TemplateProcessing(
    single='<s> $A', pair='<s> $B $A', special_tokens=[('<s>', 0)])
AT_THE_END = processors.TemplateProcessing(
    single='$A <s>', pair='$A $B <s>', special_tokens=[('<s>', 0)])


def make(post_processor=None):
  tokenizer = tokenizers.Tokenizer(models.WordPiece(
      {name: i for i, name in enumerate(VOCABULARY)}, unk_token='[UNK]'))
  tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  if post_processor is not None:
    tokenizer.post_processor = post_processor
  return tokenizer


class TemplatesTest(parameterized.TestCase):

  @parameterized.parameters(
      (BERT, 1, ((0,), (2,)), ((0,), (0,)), (0,)),
      (BERT, 2, ((0,), (2,), (2,)), ((0,), (0,), (1,)), (0, 1)),
      (ROBERTA, 2, ((0,), (2, 2), (2,)), ((0,), (0, 0), (0,)), (0, 0)),
      (START_ONLY, 2, ((0,), (2,), ()), ((0,), (1,), ()), (0, 1)))
  def test_read_off_the_tokenizer(
      self, post_processor, texts, tokens, segments, kinds):
    self.assertEqual(
        templates.template_of(make(post_processor), texts),
        templates.Template(tokens, segments, kinds))

  @parameterized.parameters(None, SWAPPED, AT_THE_END)
  def test_no_usable_template(self, post_processor):
    with self.assertRaisesRegex(
        errors.UserError, r'^`checkpoint`: .* no special token before .*$'):
      templates.template_of(make(post_processor), 2)

  def test_an_unknown_piece_without_an_id(self):
    tokenizer = tokenizers.Tokenizer(
        models.WordPiece({'b': 0}, unk_token='[UNK]'))
    with self.assertRaisesRegex(errors.UserError, r'fails on .a. \(.*UNK'):
      templates.template_of(tokenizer, 1)

  @parameterized.parameters(
      (BERT, 1, 2), (BERT, 2, 4), (ROBERTA, 1, 2), (ROBERTA, 2, 5))
  def test_no_room_for_text(self, post_processor, texts, length):
    template = templates.template_of(make(post_processor), texts)
    with self.assertRaisesRegex(
        errors.UserError, rf'`max_length={length}`.*give {length + 1} or more'):
      template.room(length)
    self.assertEqual(template.room(length + 1), texts)

  @parameterized.parameters(
      # One text, two; the longer one is cut first, then the second.
      (BERT, ('good film',), 4, [0, 6, 7, 2], [0] * 4),
      (BERT, ('good film', 'a plot'), 6, [0, 6, 7, 2, 8, 2], [0] * 4 + [1] * 2),
      (ROBERTA, ('good film', 'a'), 8, [0, 6, 7, 2, 2, 8, 2], [0] * 7),
      (ROBERTA, ('good film', 'a plot'), 7, [0, 6, 7, 2, 2, 8, 2], [0] * 7),
      (ROBERTA, ('', 'a plot'), 7, [0, 2, 2, 8, 9, 2], [0] * 6))
  def test_encoded_with_the_special_tokens(
      self, post_processor, texts, length, tokens, segments):
    found = tokenization.encode(make(post_processor), [texts, texts], length)
    for rows, wanted in zip(found, (tokens, segments), strict=True):
      self.assertEqual([row.tolist() for row in rows], [wanted] * 2)

  @parameterized.parameters(
      (BERT, 3, [0] * 3 + [1] * 3), (ROBERTA, 4, [0] * 7))
  def test_windows_of_a_paragraph(self, post_processor, prefix, segments):
    question = squad.Question('q', 'a', 'good plot', (('plot', 5),))
    examples, windows = squad.cut(make(post_processor), [question], 12)
    self.assertEqual(
        examples.tokens[0].tolist(),
        [0, 8, *[2] * (prefix - 2), 6, 9, 2])
    self.assertEqual(examples.segments[0].tolist(), segments)
    self.assertEqual(windows[0].prefix, prefix)
    self.assertEqual(examples.labels.tolist(), [[prefix + 1] * 2])

  def test_a_question_leaves_room_for_its_paragraph(self):
    question = squad.Question('q', 'a good film', 'plot a', (('plot', 0),))
    examples, windows = squad.cut(make(ROBERTA), [question], 6)
    self.assertEqual([row.tolist() for row in examples.tokens],
                     [[0, 8, 2, 2, 9, 2], [0, 8, 2, 2, 8, 2]])
    self.assertEqual([window.prefix for window in windows], [4, 4])
