"""Tests that the Python programs of README and docs run."""

import ast
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adapters_jax import trees
from adapters_jax.data import tasks
from tests import docs_test
from tests import tiny


def run_blocks(
    page: str, checkpoint: str, namespace: dict | None = None
) -> dict:
  """Executes the Python blocks of a page on another checkpoint.

  Args:
    page: Path of the page.
    checkpoint: Folder in place of 'minilm-l6'.
    namespace: Names at the start.

  Returns:
    Names at the end.
  """
  namespace = namespace if namespace is not None else {}
  for block in docs_test.blocks(docs_test.PAGES[page], 'python'):
    code = block.replace("'minilm-l6'", repr(checkpoint))
    exec(compile(code, page, 'exec'), namespace)  # pylint: disable=exec-used
  return namespace


@pytest.fixture(scope='module')
def base_folder(tmp_path_factory) -> str:
  """A tiny checkpoint with one layer, and 128 positions as programs need."""
  return tiny.write_checkpoint(
      str(tmp_path_factory.mktemp('base')), layers=1, positions=128)


@pytest.fixture
def small_world(monkeypatch, tmp_path):
  """Replaces the tasks' data by a few sentences, and the working folder."""

  def split(count):
    rng = np.random.default_rng(count)
    texts = [(' '.join(rng.choice(tiny.WORDS[:11], 4)),)  # One shape.
             for _ in range(count)]
    return tasks.Split(texts, (np.arange(count) % 2).astype(np.int32))

  monkeypatch.setattr(tasks, 'load', lambda task, data_dir='': {
      'train': split(40), 'dev': split(12), 'test': split(10)})
  monkeypatch.setenv('ADAPTERS_JAX_CACHE', str(tmp_path / 'cache'))
  monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize('page', docs_test.PAGES)
def test_python_is_python(page):
  for block in docs_test.blocks(docs_test.PAGES[page], 'python'):
    ast.parse(block)


def test_every_program_is_run_below():
  having = {page for page, text in docs_test.PAGES.items()
            if docs_test.blocks(text, 'python')}
  assert having == {
      'README.md', 'docs/how_it_works.md', 'docs/quickstart.md',
      'docs/composition.md', 'docs/data.md', 'docs/embeddings.md',
      'docs/serving.md', 'docs/language_modeling.md', 'docs/demo.md',
      'docs/formats.md', 'docs/methods.md',
      'docs/reproduce.md'}  # The last in docs_tables_test.


@pytest.mark.slow
def test_the_readme_runs(base_folder, small_world):
  names = run_blocks('README.md', base_folder)
  aj, base, film = names['aj'], names['base'], names['film']
  assert set(film.scores) >= {'dev', 'test'}
  assert film.trained_params == trees.count_trained(film.tuned)
  assert set(names['mine'].labels) == {'good', 'bad'}
  assert os.path.isfile('adapters/film/tuned.safetensors')
  assert os.path.isfile('out/adapter_config.json')
  mixed = aj.predict(
      base, names['bank'], names['reviews'], adapters=['food', 'film'])
  for text, name, found in zip(names['reviews'], ('food', 'film'), mixed):
    alone, = aj.predict(base, names['bank'][name], [text])
    assert found.label == alone.label
    for label, value in alone.probabilities.items():
      np.testing.assert_allclose(found.probabilities[label], value, atol=2e-6)
  # The comment on a later export to PEFT:
  with pytest.raises(aj.UserError, match='`head_input=pooler`'):
    aj.export(names['food'], 'peft', format='peft')
  for page in ('README.md', 'docs/quickstart.md'):
    assert "head_input='pooler'" in docs_test.PAGES[page]
  pooled = aj.train(base, names['own'], method='lora[r=8]',
                    head_input='pooler', max_steps=1)
  aj.export(pooled, 'peft', format='peft', base=base)
  assert os.path.isfile('peft/adapter_model.safetensors')


@pytest.mark.slow
@pytest.mark.parametrize(
    'page', ['docs/quickstart.md', 'docs/composition.md', 'docs/data.md',
             'docs/embeddings.md', 'docs/serving.md',
             'docs/language_modeling.md', 'docs/demo.md', 'docs/formats.md',
             'docs/methods.md'])
def test_pages_run(page, base_folder, small_world):
  assert 'base' in run_blocks(page, base_folder)


def products(monkeypatch) -> list[str]:
  """Returns a list for the lowered products of all programs from now on."""
  jit, found = jax.jit, []

  def with_text(function, **options):
    jitted = jit(function, **options)

    def call(*args):
      found.extend(re.findall(
          r'stablehlo\.dot_general.*', jitted.lower(*args).as_text()))
      return jitted(*args)

    return call

  monkeypatch.setattr(jax, 'jit', with_text)
  return found


@pytest.mark.slow
def test_the_training_loop_runs(base_folder, small_world, monkeypatch):
  names = {}

  def execute(code):
    code = code.replace("'minilm-l6'", repr(base_folder))
    with monkeypatch.context() as patch:
      found = products(patch)
      exec(compile(code, 'how_it_works', 'exec'), names)  # pylint: disable=exec-used
    # On GPU and TPU, others would be rounded.
    assert all('precision = [HIGHEST, HIGHEST]' in one for one in found), found
    return len(found)

  def logits_of(params):
    batch = names['batch']
    return tiny.apply(names['model'], params, batch['tokens'],
                      batch['segments'], batch['mask'])

  def loss(params):
    return optax.softmax_cross_entropy_with_integer_labels(
        logits_of(params), names['batch']['labels']).mean()

  page = docs_test.PAGES['docs/how_it_works.md']
  first, predicted, salient, second = docs_test.blocks(page, 'python')
  assert execute(first)
  execute(predicted)
  assert execute(salient)
  adapter = names['adapter']
  assert (adapter.base, adapter.max_length) == (names['loaded'].identity, 32)
  logits = logits_of(trees.overlay(names['base'], names['tuned']))
  np.testing.assert_allclose(
      [*names['found'].probabilities.values()], jax.nn.softmax(logits)[0],
      atol=1e-5)
  batch, saliency = names['batch'], names['saliency']
  np.testing.assert_allclose(
      names['score'](names['vectors']), logits[:, 1].sum(), rtol=1e-4)
  assert (np.abs(saliency).max(-1) > 0)[batch['mask']].all()
  assert not saliency[~batch['mask']].any()
  tx, whole = names['tx'], names['params']
  at_first = loss(whole)
  assert loss(trees.overlay(whole, names['tuned'])) < at_first

  @jax.jit
  def update(tree):
    return tx.update(jax.tree.map(jnp.ones_like, tree), tx.init(tree), tree)[0]

  for path, leaf in trees.flatten(update(whole)).items():
    frozen = trees.role(path) == 'encoder'
    assert frozen == (not np.any(leaf)), path
  # Other methods than the page's have leaves that no gradient changes.
  others = {'adapter': {'fixed_a': np.ones(2), 'running_mean': np.ones(2)}}
  moved = tx.update(others, tx.init(others), others)[0]['adapter']
  np.testing.assert_array_equal(moved['fixed_a'], 0)
  np.testing.assert_allclose(moved['running_mean'], -0.1, rtol=1e-6)
  assert execute(second)
  assert loss(trees.overlay(whole, names['state'].tuned)) < at_first
