"""Heads of which an adapter has some leaves, and its base the others."""

import dataclasses

import numpy as np
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import head_layers
from adapters_jax.adapters.formats import weights
from adapters_jax.model import base as base_lib
from adapters_jax.model import pretrained
from tests.adapters.formats import transformers_model_test as plain

folders = plain.folders
# {case: (name of the pooler in whole models, in files of PEFT)}
POOLERS = {'bert': ('bert.pooler.dense', 'base_model.model.bert.pooler.dense'),
           'roberta': ('classifier.dense', 'base_model.model.classifier.dense')}


def bias_alone(adapter):
  """Returns an adapter with the bias of its pooler, as BitFit leaves it."""
  pooler = {'bias': adapter.tuned['pooler']['bias']}
  return dataclasses.replace(
      adapter, tuned={**adapter.tuned, 'pooler': pooler})


def check(folder, adapter, source):
  """Checks that the adapter in a folder predicts as the written one."""
  base = base_lib.load(source)
  found = dataclasses.replace(
      aj.load_adapter(folder, base), labels=plain.LABELS, max_length=12)
  for one, other in zip(aj.predict(base, found, plain.TEXTS),
                        aj.predict(base, adapter, plain.TEXTS), strict=True):
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize('case', POOLERS)
def test_a_whole_model_has_the_kernel_of_the_base(case, folders, tmp_path):
  adapter = bias_alone(plain.make(case, 'pooler', ''))
  exchange.write(tmp_path, adapter, plain.FORM, checkpoint=folders[case])
  _, tensors = plain.saved(tmp_path)
  kernel = pretrained.load_base(folders[case])['pooler']['kernel']
  name, _ = POOLERS[case]
  np.testing.assert_array_equal(tensors[f'{name}.weight'], kernel.T)
  np.testing.assert_array_equal(
      tensors[f'{name}.bias'], adapter.tuned['pooler']['bias'])
  base, head = plain.read_back(tmp_path)
  for one, other in zip(
      aj.predict(base, head, plain.TEXTS),
      aj.predict(base_lib.load(folders[case]), adapter, plain.TEXTS),
      strict=True):
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize('form', ['adapterhub', 'peft'])
@pytest.mark.parametrize('case', POOLERS)
def test_files_of_adapters(case, form, folders, tmp_path):
  adapter = bias_alone(plain.make(case, 'pooler', 'lora[r=2]'))
  exchange.write(tmp_path, adapter, form, checkpoint=folders[case])
  check(tmp_path, adapter, folders[case])
  if form == 'adapterhub':
    return
  _, name = POOLERS[case]
  tensors = weights.read(str(tmp_path), 'adapter_model.safetensors')
  kernel = pretrained.load_base(folders[case])['pooler']['kernel']
  np.testing.assert_array_equal(tensors[f'{name}.weight'], kernel.T)
  np.testing.assert_array_equal(
      tensors[f'{name}.bias'], adapter.tuned['pooler']['bias'])


def test_leaves_that_neither_has():
  adapter = bias_alone(plain.make('bert', 'pooler', ''))
  assert not head_layers.has_pooler(adapter)
  assert head_layers.has_pooler(plain.make('bert', 'pooler', ''))
  for part, message in (
      ('pooler', 'the head reads a pooler, which neither'),
      ('head_first', 'the head reads head_first/kernel, which neither'),
      ('head_norm', 'the head reads head_norm/scale, which neither')):
    with pytest.raises(errors.UserError, match=f'^`base`: {message}'):
      head_layers.leaves_of(part, adapter, {})
