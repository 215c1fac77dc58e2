"""Heads of masked language modelling in AdapterHub's files."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import weights
from adapters_jax.model import heads
from adapters_jax.model import shapes
from tests import tiny_families
from tests.adapters.formats import family_cases


def make(case: str, text: str) -> adapter_lib.Adapter:
  """Returns an adapter with random leaves and a head.

  Args:
    case: Key of tiny_families.VALUES.
    text: Method string.
  """
  shape = tiny_families.config(case)
  rng = np.random.default_rng(6)
  tree = shapes.of(heads.make(shape, (), 1, 'masked_lm'))['head']
  head = jax.tree.map(
      lambda leaf: 0.3 * rng.standard_normal(leaf.shape, np.float32), tree)
  adapter = family_cases.make(case, text, None)
  return dataclasses.replace(
      adapter, tuned={**adapter.tuned, 'head': head}, head_input='masked_lm')


def test_round_trip_and_refusals(tmp_path):
  folder, case = str(tmp_path), 'electra-small'
  shape, adapter = tiny_families.config(case), make('electra-small', 'lora')
  adapterhub.write(folder, 'n', adapter, {}, shape)
  path = tmp_path / adapterhub.HEAD_CONFIG
  values = json.loads(path.read_text())
  assert values['config'] == {
      'head_type': 'masked_lm', 'vocab_size': 43, 'embedding_size': 10,
      'layers': 2, 'activation_function': 'gelu', 'layer_norm': True,
      'bias': True, 'shift_labels': False, 'label2id': None}
  tensors = weights.read(folder, adapterhub.HEAD_WEIGHTS)
  assert {name: value.shape for name, value in tensors.items()} == {
      'heads.n.0.weight': (10, 12), 'heads.n.0.bias': (10,),
      'heads.n.2.weight': (10,), 'heads.n.2.bias': (10,),
      'heads.n.3.bias': (43,)}
  found = exchange.read(folder, shape)
  assert (found.head_input, found.task, found.labels) == (
      'masked_lm', 'language_modeling', ())
  jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
  words = np.ones((43, 10), np.float32)
  base = {'embeddings': {'words': {'embedding': words}}}
  file = str(tmp_path / adapterhub.HEAD_WEIGHTS)
  weights.write(file, {**tensors, 'heads.n.3.weight': words})
  exchange.read(folder, shape, base=lambda: base)
  weights.write(file, {**tensors, 'heads.n.3.weight': 1.1 * words})
  with pytest.raises(errors.UserError, match='decoders of their own'):
    exchange.read(folder, shape, base=lambda: base)
  bare = exchange.read(folder, shape, head=False)
  assert {trees.role(leaf) for leaf in trees.flatten(bare.tuned)} == {'adapter'}
  for name, value in (('activation_function', 'relu'), ('layers', 1)):
    path.write_text(json.dumps(
        {**values, 'config': {**values['config'], name: value}}))
    with pytest.raises(errors.UserError, match='two layers with gelu.*head='):
      exchange.read(folder, shape)
  # ELECTRA's own head has other layers in transformers.
  path.write_text(json.dumps(
      {**values, 'config': None, 'model_class': 'ElectraForMaskedLM'}))
  with pytest.raises(errors.UserError, match='ElectraForMaskedLM.*head=False'):
    exchange.read(folder, shape)
