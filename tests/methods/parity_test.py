"""Every method against the numbers of the library it comes from."""

import dataclasses
import json
import os

from absl.testing import parameterized
import jax
import numpy as np

from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import peft_reading
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax import trees
from tests.methods import method_cases

_FOLDER = os.path.join(
    os.path.dirname(__file__), os.pardir, 'fixtures', 'methods')
_TOLERANCE = 1e-5


def load(case: str):
  """Returns (JSON values, tensors, hidden, logits) of a fixture."""
  with np.load(os.path.join(_FOLDER, f'{case}.npz')) as arrays:
    tensors = {name.removeprefix('tensor:'): arrays[name]
               for name in arrays if name.startswith('tensor:')}
    return (json.loads(str(arrays['config'])), tensors, arrays['hidden'],
            arrays['logits'])


def outputs(configs, tuned, batch, head_input='cls'):
  """Returns (hidden states, logits) of our model."""
  shape = dataclasses.replace(method_cases.SHAPE, adapters=configs)
  model = heads.make(
      method_cases.SHAPE, configs, method_cases.OUTPUTS, head_input)
  params = trees.overlay(
      pretrained.from_hugging_face(method_cases.base_tensors()), tuned)

  # Not jitted: the cases share their operations, which compile once.
  inputs = batch['tokens'], batch['segments'], batch['mask']
  return jax.device_get((
      encoder.Bert(shape).apply({'params': params}, *inputs)[-1],
      model.apply({'params': params}, *inputs)))


def assert_close(found, wanted):
  # Relative to the largest: sums of large terms lose digits of small results.
  np.testing.assert_allclose(
      found, wanted, atol=_TOLERANCE * max(1, np.abs(wanted).max() / 10),
      rtol=_TOLERANCE)


def linear_head():
  head = method_cases.head_tensors()
  return {'head': {'kernel': head['weight'].T, 'bias': head['bias']}}


class AdapterHubTest(parameterized.TestCase):

  @parameterized.parameters(*method_cases.ADAPTERHUB)
  def test_outputs_are_those_of_the_adapters_library(self, case):
    values, tensors, hidden, logits = load(f'adapterhub-{case}')
    adapter = adapterhub.from_tensors(values, tensors, method_cases.SHAPE)
    found_hidden, found_logits = outputs(
        adapter.methods, trees.overlay(adapter.tuned, linear_head()),
        method_cases.batch(case))
    assert_close(found_hidden, hidden)
    assert_close(found_logits, logits)


class PeftTest(parameterized.TestCase):

  @parameterized.parameters(*method_cases.PEFT)
  def test_outputs_are_those_of_peft(self, case):
    values, tensors, hidden, logits = load(f'peft-{case}')
    adapter = peft_reading.from_tensors(values, tensors, method_cases.SHAPE)
    found_hidden, found_logits = outputs(
        adapter.methods, adapter.tuned, method_cases.batch(f'peft_{case}'),
        adapter.head_input)
    assert_close(found_hidden, hidden)
    assert_close(found_logits, logits)
