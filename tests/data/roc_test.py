import warnings

from absl.testing import parameterized
import numpy as np
from scipy import special
from sklearn import metrics

from adapters_jax.data import label_metrics
from adapters_jax.data import roc


def _drawn(classes, count=40):
  """Returns (labels of all classes, logits)."""
  rng = np.random.default_rng(classes)
  labels = np.concatenate([np.arange(classes), rng.integers(
      classes, size=count - classes)])
  return labels, rng.normal(size=(count, classes)).astype(np.float32)


class RocTest(parameterized.TestCase):

  def test_by_hand(self):
    # 3 of the 4 pairs of a positive and a negative are ranked correctly.
    logits = np.array([[0, 1], [0, 3], [0, 2], [0, 4]])
    self.assertEqual(roc.of_classes(np.array([0, 0, 1, 1]), logits), 0.75)

  def test_two_classes_as_sklearn(self):
    labels, logits = _drawn(2)
    self.assertAlmostEqual(
        roc.of_classes(labels, logits), metrics.roc_auc_score(
            labels, special.softmax(logits, axis=-1)[:, 1]))

  @parameterized.parameters(3, 5)
  def test_more_classes_as_sklearn(self, classes):
    labels, logits = _drawn(classes)
    shares = special.softmax(logits.astype(np.float64), axis=-1)
    self.assertAlmostEqual(
        roc.of_classes(labels, logits), metrics.roc_auc_score(
            labels, shares, multi_class='ovr', average='macro'))

  def test_classes_that_do_not_occur_are_left_out(self):
    labels, logits = _drawn(4)
    rows = labels != 2
    shares = special.softmax(logits.astype(np.float64), axis=-1)[rows]
    self.assertAlmostEqual(
        roc.of_classes(labels[rows], logits[rows]),
        np.mean([metrics.roc_auc_score(labels[rows] == one, shares[:, one])
                 for one in (0, 1, 3)]))

  def test_several_labels_as_sklearn(self):
    rng = np.random.default_rng(0)
    labels, shares = rng.integers(2, size=(20, 3)), rng.random((20, 3))
    self.assertAlmostEqual(
        label_metrics.compute_at_threshold(
            ['roc_auc'], labels, shares, 0.5)['roc_auc'],
        metrics.roc_auc_score(labels, shares, average='macro'))
    # Labels that no text has, or all texts have, are left out.
    labels[:, 1], labels[:, 2] = 0, 1
    self.assertAlmostEqual(
        roc.of_labels(labels, shares),
        metrics.roc_auc_score(labels[:, 0], shares[:, 0]))

  @parameterized.parameters(1, 2, 3)
  def test_one_class_has_the_area_of_chance_without_a_warning(self, classes):
    logits = np.random.default_rng(0).normal(size=(6, classes))
    for label in range(classes):
      with warnings.catch_warnings():
        warnings.simplefilter('error')
        self.assertEqual(roc.of_classes(np.full(6, label), logits), 0.5)
        self.assertEqual(roc.of_labels(np.ones((6, classes)), logits), 0.5)

  def test_confident_outputs_are_no_ties(self):
    logits = np.array([[0, 40], [0, 50]], np.float32)
    self.assertEqual(roc.of_classes(np.array([0, 1]), logits), 1.0)
