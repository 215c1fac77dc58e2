"""Tests of data.tags."""

import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.data import tags

# (tags, entities as (type, first word, word after the last))
CASES = (
    ('B-P I-P O B-L', [('P', 0, 2), ('L', 3, 4)]),
    ('I-P I-P O B-L B-L', [('P', 0, 2), ('L', 3, 4), ('L', 4, 5)]),  # IOB1.
    ('B-P E-P S-P S-L I-L', [('P', 0, 2), ('P', 2, 3), ('L', 3, 4),
                             ('L', 4, 5)]),
    ('B-P E-P I-P', [('P', 0, 2), ('P', 2, 3)]),
    ('B-P I-P L-P U-P', [('P', 0, 3), ('P', 3, 4)]),  # BILOU.
    ('B-P I-L O I-L-x', [('P', 0, 1), ('L', 1, 2), ('L-x', 3, 4)]),
    ('B I O', [('_', 0, 2)]), ('O O', []), ('', []))


@pytest.mark.parametrize('text, wanted', CASES)
def test_entities(text, wanted):
  assert [(one.type, one.first, one.end)
          for one in tags.entities(text.split())] == wanted


def test_scores_by_hand():
  right = [['B-P', 'I-P', 'O'], ['B-L', 'O']]
  found = [['B-P', 'O', 'O'], ['B-L', 'B-P']]
  assert tags.tagging_scores(right, found, tags.OF_ENTITIES) == {
      'entity_f1': 2 / 5, 'entity_precision': 1 / 3, 'entity_recall': 1 / 2,
      'tag_accuracy': 3 / 5}
  assert tags.by_type(right, found, True) == {'L': (1, 1, 1), 'P': (0, 2, 1)}
  assert tags.entity_rows(tags.by_type(right, found, True))[0] == {
      'type': 'L', 'precision': '100.0', 'recall': '100.0', 'F1': '100.0',
      'number': '1'}
  counts = tags.counts(right, found, True)
  assert {name: value.tolist() for name, value in counts.items()} == {
      'correct': [0, 1], 'predicted': [1, 2], 'true': [1, 1]}
  # NOUN: F1 of 2 / 3, VERB: 0, X: 0.
  assert tags.tagging_scores(
      [['NOUN', 'VERB']], [['NOUN', 'X']], tags.OF_TAGS) == {
          'tag_accuracy': 0.5, 'tag_macro_f1': 1 / 3}
  nothing = tags.tagging_scores([['O']], [['O']], tags.OF_ENTITIES)
  assert nothing['entity_f1'] == 0 and nothing['tag_accuracy'] == 1


def test_schemes():
  assert tags.with_all_prefixes(['O', 'B-P', 'I-P', 'B-L']) == (
      'B-L', 'B-P', 'I-L', 'I-P', 'O')
  assert tags.with_all_prefixes(['NOUN', 'S', 'B-X']) == ('B-X', 'NOUN', 'S')
  assert tags.of_entities(['O', 'B', 'I'])
  assert tags.of_entities(['O', 'S', 'B', 'I', 'E'])
  assert not tags.of_entities(['B', 'NOUN', 'I'])
  for mixed in (['O', 'B-PER', 'LOC'], ['O', 'B', 'I', 'LOC']):
    assert tags.without_prefix(mixed) == 'LOC'
    with pytest.raises(errors.UserError, match="'LOC' has no prefix"):
      tags.of_entities(mixed)


def test_parts_of_speech_of_tweets_are_no_entities():
  found = [*'NO^SZVARDP&TXY#@~UE$,GLM', '!']
  assert not tags.of_entities(found) and not tags.without_prefix(found)
  assert not tags.mark_entities(found)
  assert tags.with_all_prefixes(found) == tuple(sorted(found))


def test_predicted_tags_without_a_prefix_are_outside():
  labels = ('B-P', 'I-P', 'O', '[PAD]')
  assert tags.mark_entities(labels) and tags.mark_entities(labels[:3])
  assert not tags.mark_entities(['NOUN', 'B-X'])
  right, found = [['B-P', 'I-P', 'O']], [['B-P', '[PAD]', '[PAD]']]
  assert tags.tagging_scores(right, found, tags.OF_ENTITIES) == {
      'entity_f1': 0, 'entity_precision': 0, 'entity_recall': 0,
      'tag_accuracy': 1 / 3}
  assert tags.by_type(right, found, True) == {'P': (0, 1, 1)}
  assert tags.counts(right, found, True)['predicted'].tolist() == [1]


@pytest.mark.interop
@pytest.mark.parametrize('prefixes', ['BI', 'BIES'])
def test_scores_equal_those_of_seqeval(prefixes):
  metrics = pytest.importorskip('seqeval.metrics')
  rng = np.random.default_rng(0)
  names = ['O', *(f'{prefix}-{kind}' for prefix in prefixes
                  for kind in ('PER', 'LOC', 'creative-work'))]
  def draw():
    return [rng.choice(names, size).tolist() for size in range(1, 40)]

  right, found = draw(), draw()
  # Random sentences alone would agree in few entities.
  found = [one if row % 3 else other for row, (one, other) in enumerate(
      zip(right, found))]
  wanted = {
      'entity_f1': metrics.f1_score(right, found),
      'entity_precision': metrics.precision_score(right, found),
      'entity_recall': metrics.recall_score(right, found),
      'tag_accuracy': metrics.accuracy_score(right, found)}
  scores = tags.tagging_scores(right, found, tags.OF_ENTITIES)
  assert 0.1 < scores['entity_f1'] < 0.9
  assert scores == pytest.approx(wanted, abs=1e-12)
  report = metrics.classification_report(right, found, output_dict=True)
  for kind, row in tags.by_type(right, found, True).items():
    assert (*tags.precision_recall_f1(*row), row[2]) == pytest.approx(
        [report[kind][name] for name in (
            'precision', 'recall', 'f1-score', 'support')])
