"""What holds of single methods: starts, positions, dropout, widths."""

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.methods import bottleneck
from adapters_jax.methods import invertible
from adapters_jax.methods import prompt
from adapters_jax.methods import reft_module
from adapters_jax.methods import strings
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import setup as setup_lib
from tests import tiny
from tests.methods import methods_test as common


def test_dora_starts_at_the_norms_of_the_base():
  model, tuned = common.make('dora[r=2]')
  attention = common.base()['encoder']['layer_1']['attention']
  learned = tuned['encoder']['layer_1']['attention']['adapter_value_0']
  np.testing.assert_allclose(
      learned['magnitude'],
      np.linalg.norm(attention['value']['kernel'], axis=0), rtol=1e-6)
  del model


def test_the_inverse_of_the_coupling():
  module = invertible.Coupling(invertible.Invertible())
  x = np.random.default_rng(0).standard_normal((2, 5, 8), np.float32)
  params = common.perturbed(module.init(jax.random.key(0), x, None)['params'])
  y, _ = module.apply({'params': params}, x, None)
  assert np.abs(y - x).max() > 0.1
  np.testing.assert_allclose(
      module.apply({'params': params}, y, method='inverse'), x, atol=1e-6)


@pytest.mark.parametrize('combine, place', [
    ('prefix', 'adapter_embedding_0'),
    ('words', 'embeddings/adapter_words_0')])
def test_a_prompt_begins_as_a_text(combine, place):
  configs = strings.parse(
      f'prompt_tuning[prompt_length=4, combine={combine}, prompt_init='
      "from_string, prompt_init_text='Is it good, or bad?']|lora")
  seen = []

  def tokenize(text):
    seen.append(text)
    return [2, 7, 3]

  found = prompt.embed(configs, common.base(), tokenize)
  assert seen == ['Is it good, or bad?']
  words = common.base()['embeddings']['words']['embedding']
  np.testing.assert_array_equal(
      trees.flatten(found)[f'{place}/prompt'], words[[2, 7, 3, 2]])
  assert len(trees.flatten(found)) == len(trees.flatten(common.base())) + 1


def test_a_loreft_projection_is_orthonormal_whatever_decays():
  matrix = np.random.default_rng(0).standard_normal((8, 3), np.float32)
  rows = reft_module.orthonormal(0.001 * matrix)
  np.testing.assert_allclose(rows.T @ rows, np.eye(3), atol=1e-6)
  np.testing.assert_allclose(reft_module.orthonormal(rows), rows, atol=1e-6)


@pytest.mark.parametrize('fields, parts', [
    ('prefix_positions=3', {'prefix'}),
    ('prefix_positions=0, suffix_positions=2', {'suffix'}),
    ('prefix_positions=1, suffix_positions=2', {'prefix', 'suffix'}),
    ('prefix_positions=0, suffix_positions=2, tied_weights=True', {'prefix'})])
def test_a_reft_has_the_edits_of_its_positions(fields, parts):
  _, tuned = common.make(f'loreft[r=2, {fields}]')
  assert set(tuned['encoder']['layer_0']['adapter_layer_output_0']) == parts


@pytest.mark.parametrize('text', [
    'prefix_tuning_flat[prefix_length=3, dropout=0.5]',
    'prefix_tuning[prefix_length=3, bottleneck_size=2, dropout=0.5]'])
def test_dropout_of_a_prefix_differs_between_examples(text):
  config, = strings.parse(text)
  pool = config.make_shared('pool')
  variables = pool.init(jax.random.key(0), common.SHAPE, train=False)
  shared = pool.apply(variables, common.SHAPE, train=True)
  x, key = np.zeros((4, 5, 8), np.float32), np.ones((4, 5, 2, 4), np.float32)
  drawn = [np.asarray(both)[:, :3] for both in config.make('prefix', 1).apply(
      {}, x, key, key, mask=None, shared=shared, train=True,
      rngs={'dropout': jax.random.key(1)})]
  for values, whole in zip(drawn, shared[1], strict=True):
    assert 0.3 < (values == 0).mean() < 0.7
    kept = values.reshape(4, 3, 8)
    np.testing.assert_allclose(
        kept, np.where(kept == 0, 0, 2 * whole), rtol=1e-6)
    masks = {tuple(np.ravel(example == 0)) for example in kept}
    assert len(masks) == 4


def test_widths_of_layers():
  config = bottleneck.Bottleneck().with_fields(
      reduction_factor=(('1', 0.5), ('default', 16)))
  assert [config.width(32, n) for n in range(3)] == [2, 64, 2]
  with pytest.raises(errors.UserError, match='layer 0'):
    config.with_fields(reduction_factor=(('1', 2),)).width(32, 0)


def test_a_run_begins_with_the_words_of_a_prompt(checkpoint, own_files):
  setup = setup_lib.prepare(config_lib.Config(
      checkpoint=checkpoint, batch_size=8, **own_files, adapter_config=(
          'prompt_tuning[prompt_length=5, prompt_init=from_string, '
          "prompt_init_text='good film']")))
  words = setup.base['embeddings']['words']['embedding']
  names = ('[CLS]', 'good', 'film', '[SEP]', '[CLS]')
  np.testing.assert_array_equal(
      setup.tuned['adapter_embedding_0']['prompt'],
      words[np.array([tiny.VOCABULARY.index(name) for name in names])])
