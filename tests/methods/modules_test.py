"""What holds of single methods: starts, positions, dropout, widths."""

import dataclasses
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.layers import dropout
from adapters_jax.methods import bottleneck
from adapters_jax.methods import gate
from adapters_jax.methods import invertible
from adapters_jax.methods import lora_module
from adapters_jax.methods import places
from adapters_jax.methods import prompt
from adapters_jax.methods import reft_module
from adapters_jax.methods import strings
from adapters_jax.methods import vera_module
from adapters_jax.model import encoder
from adapters_jax.model import shapes
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import setup as setup_lib
from tests import tiny
from tests.methods import methods_test as common


# (method, {leaf: standard deviation of a normal start, or (bound,) of a uniform
# one}); leaves of dim 8 and 2 units.
STARTS = (
    ('lora[r=2]', {'a': (8**-0.5,), 'b': 0}),
    ('lora[r=2, init=bert]', {'a': 0.02, 'b': 0.02}),
    ('vera[r=2]', {'fixed_a': ((6 / 8)**0.5,), 'fixed_b': ((6 / 2)**0.5,)}),
    ('ia3[use_gating=True]', {'gating/gate/kernel': 0.02}),
    ('prefix_tuning[prefix_length=4, bottleneck_size=2]', {
        'embedding': 1, 'down/kernel': (8**-0.5,), 'up/kernel': (2**-0.5,)}),
    ('prefix_tuning_flat[prefix_length=4]', {'prefix': 1}),
    ('prompt_tuning[prompt_length=4]', {'prompt': (0.5,)}),
    ('invertible', {'f/down/kernel': 0.02, 'g/up/kernel': 0.02}),
    ('noreft[r=2]', {
        'prefix/projection': (8**-0.5,), 'prefix/source/kernel': (8**-0.5,)}),
    ('seq_bn[reduction_factor=4]', {'down/kernel': 0.02, 'up/kernel': 0.02}),
    ('par_bn[reduction_factor=4]', {'down/kernel': (8**-0.5,), 'up/kernel': 0}),
    # Glorot's fans are those of one of the two terms, [4, 1].
    ('compacter[reduction_factor=2, phm_dim=2]', {
        'rule': 1e-4, 'down/left': ((6 / 5)**0.5,)}),
    ('compacter[reduction_factor=2, phm_dim=2, shared_phm_rule=False, '
     'hypercomplex_nonlinearity=glorot-normal]', {
         'down/rule': 0.01, 'down/left': (2 / 5)**0.5}),
    ('compacter[reduction_factor=2, phm_dim=2, phm_c_init=uniform, '
     'hypercomplex_nonlinearity=normal]', {'rule': (1.0,), 'down/left': 0.01}),
    ('compacter[reduction_factor=2, phm_dim=2, phm_c_init=uniform, '
     'shared_phm_rule=False]', {'down/rule': (0.01,)}))


def starts_of(configs):
  """Returns {(method, leaf): function of a key that draws the leaf}."""
  found, param = {}, nn.Module.param

  def record(module, name, init_fn, *shape, **keywords):
    path = '/'.join((*module.path, name))
    if trees.role(path) in ('adapter', 'fixed'):
      place = places.parse_name(path)
      found[place.index, place.leaf] = lambda key: init_fn(
          key, *shape, **keywords)
    return param(module, name, init_fn, *shape, **keywords)

  model = encoder.Bert(dataclasses.replace(common.SHAPE, adapters=configs))
  with mock.patch.object(nn.Module, 'param', record):
    # A trace alone: the leaves are drawn without the model around them.
    jax.eval_shape(lambda: encoder.init(model, jax.random.key(0)))
  return found


def test_random_starts_have_the_documented_spread():
  found = starts_of(strings.parse('|'.join(text for text, _ in STARTS)))
  for index, (text, wanted) in enumerate(STARTS):
    for name, spread in wanted.items():
      values = np.concatenate([
          np.ravel(found[index, name](jax.random.key(seed)))
          for seed in range(4)])
      if isinstance(spread, tuple):
        ends = np.array([values.min(), values.max()]) / spread
        assert -1 <= ends[0] < -0.75 and 0.75 < ends[1] <= 1, (text, name, ends)
      else:
        np.testing.assert_allclose(
            values.std(), spread, rtol=0.4, err_msg=f'{text}: {name}')


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
  config = dataclasses.replace(
      common.SHAPE, adapters=strings.parse(f'loreft[r=2, {fields}]'))
  layer = shapes.of(encoder.Bert(config))['encoder']['layer_0']
  assert set(layer['adapter_layer_output_0']) == parts


def called(config, *inputs, train, **keywords):
  """Returns the output of a method's module with random leaves."""
  module = config.make('module', 0)
  rng = jax.random.key(0)
  leaves = jax.eval_shape(lambda: module.init(
      rng, *inputs, train=train, **keywords))['params']
  leaves = common.perturbed(
      jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), leaves))
  return np.asarray(module.apply(
      {'params': leaves}, *inputs, train=train, rngs={'dropout': rng},
      **keywords))


@pytest.mark.parametrize('text, dropped', [
    ('lora[r=2, dropout=0.25]', [(2, 5, 8)]),
    ('vera[r=2, dropout=0.25]', [(2, 5, 8)]),
    ('bottleneck[size=2, dropout=0.25]', [(2, 5, 8)]),
    # Of whole updates: one number for an example.
    ('bottleneck[size=2, stochastic_depth=0.25]', [(2, 1, 1)])])
def test_dropout_acts_on_the_update_in_training_alone(
    text, dropped, monkeypatch):
  seen = []

  def scaled(x, key, rate):
    seen.append((np.shape(x), rate))
    return 0.5 * x

  monkeypatch.setattr(dropout, 'dropout', scaled)
  config, = strings.parse(text)
  x, y = np.random.default_rng(0).standard_normal((2, 2, 5, 8), np.float32)
  mask, shared = np.ones((2, 5), bool), None
  if 'vera' in text:
    shared = {'a': np.ones((8, 2)), 'b': np.ones((2, 8))}
  if config.kind == 'linear':
    inputs, more = (x, y), {'weights': {}}
  else:
    inputs, more = (y,), {'residual': x, 'norm': None}
  whole, half = (
      called(config, *inputs, mask=mask, shared=shared, train=train, **more)
      for train in (False, True))
  assert np.abs(whole - y).max() > 0.1
  np.testing.assert_allclose(half - y, (whole - y) / 2, atol=1e-6)
  # Of the shape twice: `called` traces the module first.
  assert seen == [(shape, 0.25) for shape in dropped] * 2


def test_dropout_of_a_reft_acts_on_the_edited_states(monkeypatch):
  monkeypatch.setattr(dropout, 'dropout', lambda x, key, rate: rate * x)
  config, = strings.parse('loreft[r=2, prefix_positions=2, dropout=0.25]')
  z = np.random.default_rng(0).standard_normal((1, 5, 8), np.float32)
  whole, part = (
      called(config, z, mask=np.ones((1, 5), bool), train=train)
      for train in (False, True))
  np.testing.assert_allclose(part[:, :2], whole[:, :2] / 4, rtol=1e-5)
  np.testing.assert_array_equal(part[:, 2:], z[:, 2:])


def test_a_reft_edits_the_tokens_of_padded_texts():
  config, = strings.parse(
      'noreft[r=2, prefix_positions=1, suffix_positions=1, dropout=0.0]')
  z = np.random.default_rng(0).standard_normal((3, 5, 8), np.float32)
  mask = np.array([[0, 1, 1, 1, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]], bool)
  found = called(config, z, mask=mask, train=False)
  np.testing.assert_array_equal((found != z).any(-1), [
      [0, 1, 0, 1, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 1]])


def test_a_gate_is_the_mean_over_the_tokens():
  x = np.random.default_rng(0).standard_normal((2, 3, 4), np.float32)
  leaves = {'gate': {'kernel': np.float32([[1], [2], [3], [-1]]),
                     'bias': np.float32([0.5])}}
  mask = np.array([[1, 1, 0], [0, 0, 0]], bool)
  found = gate.Gate().apply({'params': leaves}, x, mask)
  each = special.expit(x @ leaves['gate']['kernel'] + 0.5)
  # 0, not NaN, for filler, whose loss is multiplied by 0.
  np.testing.assert_allclose(found, [[each[0, :2].mean(0)], [[0]]], rtol=1e-5)


def test_gradients_of_doras_norms():
  rng = np.random.default_rng(0)
  kernel, a, b = (rng.standard_normal(shape, np.float32)
                  for shape in ((4, 3), (4, 2), (2, 3)))

  def gradients(text):
    config, = strings.parse(text)
    found = jax.grad(lambda *leaves: jnp.sum(
        lora_module.updated_norm(config, *leaves)), (0, 1, 2))(kernel, a, b)
    return [bool(np.any(one)) for one in found]

  # Constant in the paper's; no kernel of the base learns by either.
  assert gradients('lora[r=2, dora=peft]') == [False, False, False]
  assert gradients('dora[r=2]') == [False, True, True]


def test_random_projections_have_no_gradient():
  config, = strings.parse('vera[r=2]')
  module = vera_module.Projections(config)
  leaves = {'fixed_a': np.ones((8, 2)), 'fixed_b': np.ones((2, 8))}
  found = jax.grad(lambda leaves: sum(map(jnp.sum, module.apply(
      {'params': leaves}, common.SHAPE, train=True).values())))(leaves)
  for leaf in found.values():
    np.testing.assert_array_equal(leaf, 0)


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
  assert config.width(8, 0) == 1  # Of half a unit.
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
