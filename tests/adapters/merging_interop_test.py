"""Merging by formulas that `peft` has too, against it."""

from absl.testing import parameterized
import numpy as np
import pytest

from adapters_jax.adapters import merge_rules
from adapters_jax.adapters import merging
from tests.fixtures import make_method_fixtures as fixtures
from tests.adapters.formats import formats_interop_test as interop
from tests.adapters.formats import format_cases as common
from tests.methods import method_cases

torch = pytest.importorskip('torch')
peft = pytest.importorskip('peft')
transformers = pytest.importorskip('transformers')

pytestmark = pytest.mark.interop


class MergingTest(parameterized.TestCase):

  @parameterized.product(
      density=[0.3, 0.8, 1.0], weights=[(1.0, 1.0, 1.0), (2.0, 0.5, 1.0)])
  def test_ties(self, density, weights):
    from peft.utils import merge_utils
    stacked = np.random.default_rng(0).standard_normal((3, 5, 8), np.float32)
    wanted = merge_utils.ties(
        list(torch.from_numpy(stacked)), torch.tensor(weights), density)
    np.testing.assert_allclose(
        merge_rules.ties(weights, density)(stacked, 0), wanted, atol=1e-6)

  def test_products(self):
    model = fixtures.make_bert(
        transformers.BertForSequenceClassification, num_labels=3)
    values = method_cases.PEFT['lora']
    model = peft.get_peft_model(model, peft.get_peft_config(values), 'a')
    model.add_adapter('b', peft.get_peft_config(values | {'r': 2}))
    fixtures.randomize_named(model, lambda name: 'lora_' in name, 5)
    model.add_weighted_adapter(
        ['a', 'b'], [0.5, 2.0], 'm', combination_type='svd', svd_rank=3)
    layer = model.base_model.model.bert.encoder.layer[1].attention.self.value

    def factors(name):
      return (layer.lora_A[name].weight.detach().numpy().T,
              layer.lora_B[name].weight.detach().numpy().T)

    bank = {}
    for name, rank in (('a', 4), ('b', 2)):
      bank[name] = common.make(f'lora[r={rank}, alpha=16]')
      place = self.place(bank[name])
      place['a'], place['b'] = factors(name)
    merged = merging.merge_products(
        bank, 'ab', merge_rules.linear([0.5, 2.0]), interop.BASE, rank=3)
    place, (a, b) = self.place(merged), factors('m')
    np.testing.assert_allclose(
        merged.methods[0].scale * (place['a'] @ place['b']),
        layer.scaling['m'] * (a @ b), atol=1e-4)

  @parameterized.parameters(-1.0, 0.5)
  def test_a_weight_of_one_lora(self, weight):
    # 'cat' is the exact one of PEFT's ways.
    model = fixtures.make_bert(
        transformers.BertForSequenceClassification, num_labels=3)
    model = peft.get_peft_model(
        model, peft.get_peft_config(method_cases.PEFT['lora']), 'a')
    fixtures.randomize_named(model, lambda name: 'lora_' in name, 5)
    layer = model.base_model.model.bert.encoder.layer[1].attention.self.value
    made = common.make('lora[r=4, alpha=16]')
    place = self.place(made)
    place['a'] = layer.lora_A['a'].weight.detach().numpy().T
    place['b'] = layer.lora_B['a'].weight.detach().numpy().T
    model.add_weighted_adapter(['a'], [weight], 'm', combination_type='cat')
    wanted = (layer.scaling['m'] * layer.lora_B['m'].weight
              @ layer.lora_A['m'].weight).detach().numpy().T
    merged = merging.merge(
        {'a': made}, 'a', merge_rules.linear([weight]), interop.BASE)
    place = self.place(merged)
    np.testing.assert_allclose(
        merged.methods[0].scale * (place['a'] @ place['b']), wanted, atol=1e-5)

  def place(self, adapter):
    """Returns the factors of the same linear layer."""
    return adapter.tuned['encoder']['layer_1']['attention']['adapter_value_0']
