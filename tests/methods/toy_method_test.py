"""A method is one class: everything else reads its fields, module and codec."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax import methods
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import exchange
from adapters_jax.adapters import switching
from adapters_jax.methods import base
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.training import optimizers
from adapters_jax.training import selections
from adapters_jax.training import steps
from tests import tiny
from tests import tiny_families


@dataclasses.dataclass(frozen=True)
class Shift(base.Method):
  """y + strength * shift for the output y of a linear layer."""
  strength: float = 1.0
  sites: tuple[str, ...] = ('query', 'ffn_output')
  leave_out: tuple[int, ...] = ()

  kind: ClassVar[str] = 'linear'
  adapterhub_architecture = 'shift'
  adapterhub_words = {'power': 'strength'}
  adapterhub_fields = ('strength', 'sites')
  adapterhub_stem = '{module}.shifts.{name}'
  adapterhub_names = ((r'^shift$', 'vector'),)
  adapterhub_layouts = {'shift': 'column'}
  peft_types = ('SHIFT',)
  peft_names = {'shift': 'shift_vector'}
  peft_layouts = {'shift': 'row'}

  def make(self, name, layer):
    return AddShift(self, name=name)

  @classmethod
  def from_peft(cls, values, sites, layers):
    return [cls(values['strength'],
                tuple(sorted({site for _, site in sites}, reverse=True)))]

  def to_peft(self, shape):
    return {'peft_type': 'SHIFT', 'strength': self.strength}


class AddShift(nn.Module):
  """Adds a learned vector."""
  config: Shift

  @nn.compact
  def __call__(self, x, y, *, weights, mask, shared, train):
    shift = self.param('shift', nn.initializers.normal(0.1), y.shape[-1:])
    return y + self.config.strength * shift


@pytest.fixture(scope='module', autouse=True)
def known():
  """Names the toy method, as a program of one's own does."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(methods.CONFIGS, 'shift', (Shift(),))
    yield


@pytest.fixture(scope='module')
def trained(known) -> adapter_lib.Adapter:
  """An adapter of the toy method after a few steps."""
  configs = strings.parse('shift[power=2]')
  assert configs == (Shift(strength=2.0),)
  model = heads.Classifier(
      dataclasses.replace(tiny.TWO_LAYERS, adapters=configs), 2, 'pooler')
  select = selections.select_adapters(tiny.TWO_LAYERS.layers, tune_norms=False)
  tuned, frozen = trees.split(tiny.init(model), select)
  tx = optimizers.make_optimizer(select, learning_rate=0.02, steps=20)
  step = steps.make_train_step(model, tx, heads.cross_entropy)
  state = steps.init_state(tuned, tx, jax.random.key(2))
  before = jax.device_get(tuned)
  for _ in range(3):
    state, _ = step(state, frozen, tiny.random_batch(tiny.TWO_LAYERS, 4, 5))
  moved = jax.tree.map(
      lambda a, b: bool(jnp.any(a != b)), before, state.tuned)
  assert all(jax.tree.leaves(moved))
  assert {trees.role(path) for path in trees.flatten(moved)} == {
      'adapter', 'head'}
  return adapter_lib.Adapter(
      configs, jax.device_get(state.tuned), 'pooler', labels=('no', 'yes'))


def assert_same(found, wanted):
  assert found.methods == wanted.methods
  flat = {path: leaf for path, leaf in trees.flatten(found.tuned).items()
          if not path.startswith('pooler/')}  # Part of AdapterHub's heads.
  assert flat.keys() == trees.flatten(wanted.tuned).keys()
  for path, leaf in trees.flatten(wanted.tuned).items():
    np.testing.assert_array_equal(flat[path], leaf, path)


def test_it_is_saved_and_loaded(trained, tmp_path):
  trained.save(str(tmp_path))
  assert_same(adapter_lib.load(str(tmp_path)), trained)


@pytest.mark.parametrize('form', ['adapterhub', 'peft'])
def test_it_goes_to_other_libraries_and_back(
    trained, form, checkpoint, tmp_path):
  exchange.write(str(tmp_path / 'out'), trained, form, checkpoint=checkpoint)
  assert_same(exchange.read(str(tmp_path / 'out'), tiny.TWO_LAYERS), trained)


def test_a_linear_method_shifts_as_it_says():
  config = dataclasses.replace(tiny.CONFIG, adapters=(
      Shift(3.0, ('ffn_output',)),))
  params = tiny.init(heads.Classifier(config, 2))
  batch = tiny.random_batch(config, 2, 5)
  inputs = batch['tokens'], batch['segments'], batch['mask']
  found = tiny.apply(encoder.Bert(config), params, *inputs)[-1]
  layer = params['encoder']['layer_0']
  bias = layer['ffn_output']['bias'] + 3 * layer['adapter_ffn_output_0'].pop(
      'shift')
  layer['ffn_output']['bias'] = bias
  plain = dataclasses.replace(config, adapters=())
  np.testing.assert_allclose(
      tiny.apply(encoder.Bert(plain), params, *inputs)[-1], found, atol=1e-6)


@dataclasses.dataclass(frozen=True)
class Doubled(base.Method):
  """The output of a sublayer, scaled."""
  sites: tuple[str, ...] = ('attention_output', 'ffn_output')

  kind: ClassVar[str] = 'sublayer'

  def make(self, name, layer):
    return Scale(name=name)


class Scale(nn.Module):
  """Scales the update."""

  @nn.compact
  def __call__(self, update, *, residual, norm, mask, shared, train):
    return update * self.param('scale', nn.initializers.constant(2.0), (1,))


@pytest.mark.parametrize('case', ['bert', 'modernbert'])
def test_a_sublayer_method_is_followed_by_sum_and_norm(case):
  config = dataclasses.replace(
      tiny_families.config(case), adapters=(Doubled(),))
  inputs = tiny_families.batch(case)
  inputs = inputs['tokens'], inputs['segments'], inputs['mask']
  params = tiny.init(heads.Classifier(config, 2))
  found = tiny.apply(encoder.Bert(config), params, *inputs)[-1]
  plain = dataclasses.replace(config, adapters=())
  for layer in params['encoder'].values():
    for dense in ((layer['attention']['output'], layer['ffn_output'])
                  if 'attention' in layer else ()):
      for leaf in dense:  # Twice the update.
        dense[leaf] = 2 * dense[leaf]
  np.testing.assert_allclose(
      tiny.apply(encoder.Bert(plain), params, *inputs)[-1], found, atol=1e-5)


def test_a_method_without_neutral_leaves_is_not_switched_off(trained):
  other = dataclasses.replace(trained, methods=(Doubled(),))
  assert 'Doubled: no weights' in switching.reason(other)
