"""One line for the `repr` of each kind of data in memory."""

import numpy as np
import pytest

import adapters_jax as aj


@pytest.mark.parametrize('data, wanted', [
    (aj.Examples(['a'] * 2, ['x', 'y']), 'Examples(2 texts, labels x, y)'),
    (aj.TaggedExamples([['a', 'b'], ['c']], [['O', 'B-PER'], ['O']]),
     'TaggedExamples(2 sentences, 3 words, tags B-PER, O)'),
    (aj.Questions(['Who?', 'When?'], ['Ann left.'] * 2, ['Ann', 'left']),
     'Questions(2 questions, 1 paragraph)'),
    (aj.Texts(['a'] * 3000), 'Texts(3,000 texts)'),
    (aj.Pairs([('a', 'b')]), 'Pairs(1 pair)'),
    (aj.Pairs([('a', 'b', 'c')] * 2), 'Pairs(2 pairs with negatives)'),
    (aj.Pairs([('a', 'b')] * 3, np.array([0.1, 5, 1])),
     'Pairs(3 pairs, scores 0.1 to 5)'),
    (aj.Pairs([('a', 'b')], where='pairs.tsv'), 'Pairs(1 pair, pairs.tsv)')])
def test_a_repr_is_one_line(data, wanted):
  assert repr(data) == wanted
