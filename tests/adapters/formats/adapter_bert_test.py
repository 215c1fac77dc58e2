"""Variables of adapter-bert: names, shapes and errors."""

import dataclasses

from absl.testing import parameterized
import jax
import numpy as np

from adapters_jax.adapters.formats import adapter_bert
from adapters_jax import errors
from adapters_jax import trees
from tests.adapters.formats import format_cases
from tests.methods import method_cases

SHAPE = method_cases.SHAPE


class AdapterBertTest(parameterized.TestCase):

  def test_names_and_layout(self):
    adapter = format_cases.make(
        'bottleneck[size=8, activation=gelu_tanh]', norms=True)
    variables = adapter_bert.to_variables(adapter)
    shapes = {name: value.shape for name, value in variables.items()
              if 'layer_1' not in name}
    stem = 'bert/encoder/layer_0/'
    wanted = {'output_weights': (3, 32), 'output_bias': (3,)}
    for place in (f'{stem}attention/output/', f'{stem}output/'):
      wanted |= {
          f'{place}adapters/weights1': (32, 8),
          f'{place}adapters/biases1': (1, 8),
          f'{place}adapters/weights2': (8, 32),
          f'{place}adapters/biases2': (1, 32)}
    for place in (f'{stem}attention/output/', f'{stem}output/',
                  'bert/embeddings/'):
      wanted |= {f'{place}LayerNorm/gamma': (32,),
                 f'{place}LayerNorm/beta': (32,)}
    self.assertEqual(shapes, wanted)
    variables['bert/encoder/layer_0/output/adapters/weights1/adam_m'] = 0
    found = adapter_bert.from_variables(variables, SHAPE)
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
    self.assertEqual(found.methods[0].width(32, 0), 8)

  def test_norms_of_the_base(self):
    text = 'bottleneck[size=8, activation=gelu_tanh]'
    adapter, whole = (format_cases.make(text, norms) for norms in (0, 1))
    with self.assertRaisesRegex(errors.UserError, '`base`: layer norms'):
      adapter_bert.to_variables(adapter)
    found = adapter_bert.from_variables(
        adapter_bert.to_variables(adapter, lambda: whole.tuned), SHAPE)
    jax.tree.map(np.testing.assert_array_equal, found.tuned, trees.overlay(
        whole.tuned, adapter.tuned))

  def test_a_pooler_that_was_trained(self):
    adapter = format_cases.make(
        'bottleneck[size=8, activation=gelu_tanh]', norms=True)
    adapter.tuned['pooler'] = {
        'kernel': np.arange(1024, dtype=np.float32).reshape(32, 32),
        'bias': np.ones(32, np.float32)}
    found = adapter_bert.from_variables(
        adapter_bert.to_variables(adapter), SHAPE)
    jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
    # Of its bias alone, the base has the rest.
    base = {'pooler': {'kernel': adapter.tuned['pooler'].pop('kernel')}}
    with self.assertRaisesRegex(errors.UserError, '`base`: .* of a pooler'):
      adapter_bert.to_variables(adapter)
    again = adapter_bert.from_variables(
        adapter_bert.to_variables(adapter, lambda: base), SHAPE)
    jax.tree.map(np.testing.assert_array_equal, again.tuned, found.tuned)

  def test_what_it_cannot_hold(self):
    with self.assertRaisesRegex(errors.UserError, 'gelu_tanh'):
      adapter_bert.to_variables(format_cases.make('bottleneck[size=8]'))
    bare = format_cases.make(
        'bottleneck[size=8, activation=gelu_tanh]', norms=True)
    del bare.tuned['head']
    with self.assertRaisesRegex(errors.UserError, '`head`.*without a head'):
      adapter_bert.to_variables(bare)
    with self.assertRaisesRegex(errors.UserError, 'weights1'):
      adapter_bert.from_variables({}, SHAPE)

  def test_another_base(self):
    variables = adapter_bert.to_variables(format_cases.make(
        'bottleneck[size=8, activation=gelu_tanh]', norms=True))
    for changed, message in (
        ({'layers': 1}, 'layer_1/.* has no place.* of 1 layers, width 32'),
        ({'layers': 3}, 'missing.*layer_2/.* of 3 layers, width 32'),
        ({'dim': 16}, r'is \(32, 8\), not \(16, 8\).* layers, width 16')):
      with self.assertRaisesRegex(
          errors.UserError, f'{message}: give another base'):
        adapter_bert.from_variables(
            variables, dataclasses.replace(SHAPE, **changed))
