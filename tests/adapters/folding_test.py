"""Folding adapters into a base: the same outputs, and a base of its own."""

import dataclasses

from absl.testing import parameterized
import jax
import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax.adapters import bank as bank_lib
from adapters_jax.adapters import composing
from adapters_jax.adapters import folding
from adapters_jax.adapters import prediction
from adapters_jax import errors
from adapters_jax.model import heads
from adapters_jax import trees
from tests.adapters import bank_test
from tests.adapters import merging_test
from tests.methods import methods_test as common
from tests import tiny

_SITES = 'sites=["query", "value", "intermediate", "ffn_output"]'
EXAMPLES = aj.Examples(['good', 'bad'] * 8, ['yes', 'no'] * 8)
TEXTS = ['a good film', 'dull', 'the plot is bad']


@pytest.fixture(scope='module')
def adapter(base):
  return dataclasses.replace(
      bank_test.make('lora[r=2]'), base=base.identity, labels=('no', 'yes'),
      max_length=12)


@pytest.fixture(scope='module')
def folded(base, adapter):
  return aj.fold(base, adapter)


def _probabilities(base, adapter):
  return [list(one.probabilities.values())
          for one in aj.predict(base, adapter, TEXTS)]


def _query(tree):
  return tree['encoder']['layer_1']['attention']['query']['kernel']


class FoldTest(parameterized.TestCase):

  @parameterized.parameters(
      f'lora[r=2, alpha=3, {_SITES}]',
      f'rslora[r=2, {_SITES}, leave_out=[0]]',
      f'dora[r=2, alpha=3, {_SITES}]',
      f'dora[r=2, alpha=3, dora=peft, {_SITES}]',
      'ia3[alpha=2]|ia3_inputs[sites=["attention_output", "ffn_output"]]',
      f'vera[r=2, alpha=3, {_SITES}]',
      'vera[r=2, dense=True]',
      'lora[r=2]|ia3_inputs[sites=["query"]]',
      'lora[r=2]|dora[r=2]',
      'ia3[sites=["query"]]|dora[r=2, dora=peft]',
  )
  def test_a_folded_base_gives_the_same_logits(self, text):
    made = merging_test.adapter(text)
    batch = tiny.random_batch(common.SHAPE, 3, 5)
    model = heads.Classifier(
        dataclasses.replace(common.SHAPE, adapters=made.methods), 2)
    plain = heads.Classifier(common.SHAPE, 2)
    before = jax.device_get(common.base())
    folded, replaced = folding.fold_tree(common.base(), made)
    self.assertEmpty(
        [p for p in trees.flatten(folded) if trees.role(p) == 'adapter'])
    found, wanted = (
        tiny.apply(part, trees.overlay(common.base(), tuned), batch['tokens'],
                   batch['segments'], batch['mask'])
        for part, tuned in ((plain, folded), (model, made.tuned)))
    np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, before, common.base())
    back = folding.unfold(folded, replaced)
    back.pop('head')
    jax.tree.map(np.testing.assert_array_equal, before, back)

  @parameterized.parameters('bottleneck[size=3]', 'lora[use_gating=True]')
  def test_what_is_no_change_of_weights_is_refused(self, text):
    with self.assertRaisesRegex(errors.UserError, 'cannot be folded'):
      folding.fold_tree(common.base(), merging_test.adapter(text))

  def test_of_setups_stacks_alone_are_folded(self):
    bank = {}
    for seed, name in enumerate('ab'):
      made = merging_test.adapter('lora[r=2]', seed)
      bank[name] = dataclasses.replace(made, tuned=trees.split(
          made.tuned, lambda path: trees.role(path) != 'norm')[0])
    query = {}
    for name in 'ab':
      folded, _ = folding.fold_tree(common.base(), bank[name])
      query[name] = _query(folded) - _query(common.base())
    both, _ = folding.fold_tree(
        common.base(), composing.compose(bank, 'stack(a, b)'))
    np.testing.assert_allclose(
        _query(both) - _query(common.base()), query['a'] + query['b'],
        atol=1e-5)
    for text in ('average(a, b)', 'stack(a, split(a, b, splits=[2]))'):
      with self.assertRaisesRegex(errors.UserError, 'cannot be folded'):
        folding.fold_tree(common.base(), composing.compose(bank, text))


def test_base_and_head_give_the_outputs_of_the_adapter(base, adapter, folded):
  before = trees.flatten(jax.device_get(base.params))
  fast, head = aj.fold(base, adapter)
  assert (head.methods, head.method, head.labels) == ((), 'head', ('no', 'yes'))
  np.testing.assert_allclose(
      _probabilities(fast, head), _probabilities(base, adapter), atol=1e-5)
  # Each of these would differ if the adapter acted twice, or not at all.
  assert np.abs(np.subtract(
      _probabilities(fast, head), _probabilities(base, dataclasses.replace(
          head, base='')))).max() > 1e-3
  np.testing.assert_allclose(
      aj.encode(fast, TEXTS, head), aj.encode(base, TEXTS, adapter), atol=1e-5)
  assert aj.evaluate(fast, head, EXAMPLES) == aj.evaluate(
      base, adapter, EXAMPLES)
  for path, leaf in trees.flatten(base.params).items():
    np.testing.assert_array_equal(leaf, before[path])
  # All other leaves are shared, so that the pair costs little memory.
  own = trees.flatten(base.params)
  assert {path.split('/')[-2] for path, leaf in trees.flatten(
      fast.params).items() if leaf is not own[path]
          and trees.role(path) != 'norm'} == {'query', 'value'}
  assert fast.identity == folded[0].identity != base.identity


@pytest.mark.parametrize('use', [
    lambda base, one, path: aj.predict(base, one, TEXTS),
    lambda base, one, path: aj.predict(base, {'a': one}, TEXTS),
    lambda base, one, path: aj.predict(base, {'a': one}, ['good'], ['a']),
    lambda base, one, path: aj.predict(base, {'a': one}, TEXTS, setup='a'),
    lambda base, one, path: aj.encode(base, TEXTS, one),
    lambda base, one, path: aj.encode(base, TEXTS, {'a': one}),
    lambda base, one, path: aj.evaluate(base, one, EXAMPLES),
    lambda base, one, path: aj.fold(base, one),
    lambda base, one, path: aj.drop_layers(base, one, 1),
    lambda base, one, path: aj.merge({'a': one, 'b': one}, base=base),
    lambda base, one, path: aj.export(one, path / 'a', base=base),
    lambda base, one, path: aj.load_adapter(_saved(one, path), base),
    lambda base, one, path: bank_lib.activate({'a': one}, 'a', base),
    lambda base, one, path: bank_lib.activate(
        {'a': one}, 'a', base.config, base)])
def test_only_the_head_fits_the_folded_base(
    base, adapter, folded, use, tmp_path):
  fast, head = folded
  for one in (adapter, dataclasses.replace(adapter, base='')):
    with pytest.raises(aj.UserError, match='^`base`: an adapter is folded in'
                       ) as found:
      use(fast, one, tmp_path)
    assert '\n' not in str(found.value)
  with pytest.raises(aj.UserError, match='^`base`: .* fits only the base that'):
    use(base, head, tmp_path)


def _saved(adapter, path):
  adapter.save(path / 'saved')
  return path / 'saved'


def test_files_of_other_libraries_are_for_the_base_before(
    base, adapter, folded, tmp_path):
  aj.export(adapter, tmp_path, 'adapterhub', base=base)
  with pytest.raises(aj.UserError, match='^`base`: an adapter is folded in'):
    aj.load_adapter(tmp_path, folded[0])


def test_nothing_trains_on_the_pair(base, folded):
  fast, head = folded
  with pytest.raises(aj.UserError, match='`base`: its `params`'):
    aj.train(fast, EXAMPLES)
  for above in ({'start': head}, {'under': head, 'method': 'norms'}):
    with pytest.raises(aj.UserError, match='fits only the base that aj.fold'):
      aj.train(base, EXAMPLES, max_steps=1, **above)


def test_a_saved_head_fits_the_base_that_is_folded_again(
    base, adapter, folded, tmp_path):
  fast, head = folded
  head.save(tmp_path / 'head')
  adapter.save(tmp_path / 'whole')
  again, _ = aj.fold(base, aj.load_adapter(tmp_path / 'whole'))
  loaded = aj.load_adapter(tmp_path / 'head', again)
  assert loaded == head
  assert _probabilities(again, loaded) == _probabilities(fast, head)
  with pytest.raises(aj.UserError, match='fits only the base that aj.fold'):
    prediction.load(str(tmp_path / 'head'))


def test_adapters_fold_to_bases_of_their_own(base, adapter, folded):
  other = dataclasses.replace(
      bank_test.make('lora[r=2]', seed=1), base=base.identity)
  assert aj.fold(base, other)[0].identity != folded[0].identity
  active = dataclasses.replace(adapter, hidden_activation='relu')
  assert aj.fold(base, active)[0].identity != folded[0].identity
  with pytest.raises(aj.UserError, match='^`base`: an adapter is folded in'):
    aj.predict(folded[0], aj.fold(base, other)[1], TEXTS)
  # Of a revision on the hub, whose name would load it.
  hub = dataclasses.replace(base, identity='owner/name@v1#' + 16 * '0')
  fast, _ = aj.fold(hub, dataclasses.replace(adapter, base=hub.identity))
  with pytest.raises(aj.UserError, match='^`base`: an adapter is folded in'):
    aj.predict(fast, dataclasses.replace(adapter, base='owner/name'), TEXTS)


def test_a_head_alone_leaves_the_base_as_it_is(base, folded):
  head = dataclasses.replace(folded[1], base=base.identity)
  assert aj.fold(base, head) == (base, head)


def test_precision_and_activation_of_the_adapter_stay(checkpoint, adapter):
  base = aj.load_base(checkpoint, 'bfloat16')
  own = dataclasses.replace(adapter, hidden_activation='relu')
  fast, head = aj.fold(base, own)
  types = {leaf.dtype.name for leaf in jax.tree.leaves(fast.params)}
  assert types == {'bfloat16'}
  np.testing.assert_allclose(
      _probabilities(fast, head), _probabilities(base, own), atol=0.03)
  np.testing.assert_allclose(
      aj.encode(fast, TEXTS), aj.encode(base, TEXTS, own), atol=0.05)


def test_an_adapter_of_another_shape_is_refused(base):
  other = merging_test.adapter('lora[r=2]')  # Of width 8.
  with pytest.raises(aj.UserError, match='^the adapter does not fit the model'):
    aj.fold(base, other)


def test_a_bottleneck_is_refused(base):
  with pytest.raises(aj.UserError, match='cannot be folded into the base'):
    aj.fold(base, bank_test.make())
