"""What holds of every row of HEADS."""

import pytest

from adapters_jax.model import heads
from adapters_jax.model import shapes
from adapters_jax.runs import checks
from adapters_jax import trees
from tests import tiny

HUB_TASKS = {
    'cls': 'text-classification', 'tokens': 'question-answering',
    'tags': 'token-classification', 'masked_lm': 'fill-mask',
    'multilabel': 'text-classification', 'multiple_choice': 'multiple-choice',
    'embedding_mean': 'sentence-similarity'}


def paths(head):
  model = head.make(tiny.TWO_LAYERS, head.outputs or 2)
  return trees.flatten(shapes.of(model)).keys()


@pytest.mark.parametrize('name', heads.HEADS)
def test_the_layers_of_a_head_have_its_role(name):
  base = {path for path in paths(heads.HEADS['pooler'])
          if not trees.is_head(path)}
  own = paths(heads.HEADS[name]) - base
  assert bool(own) == heads.HEADS[name].dense
  wrong = [path for path in own if trees.role(path) != 'head']
  assert not wrong, 'name the last layer head, and others head_...'


def test_the_choices_of_an_input_are_those_of_the_rows():
  # `checks` loads no JAX, so it cannot read the rows.
  # Their outputs are classes, or one is a score.
  assert checks.CHOICES['head_input'] == tuple(
      head.name for head in heads.HEADS.values() if head.least_classes == 2), (
          'list the head in runs/checks.py')


@pytest.mark.parametrize('name', HUB_TASKS)
def test_the_task_on_the_hub(name):
  assert heads.HEADS[name].hub_task == HUB_TASKS[name]
