"""Tests of scripts.benchmark.mpnet: its sums, and that both sides compute one
function."""

import dataclasses
from unittest import mock

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.methods import bottleneck
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from scripts.benchmark import mpnet
from scripts.benchmark import settings
from tests import tiny_families


def test_ratio_is_of_the_best_settings():
  def row(low, high):
    return {time: {'min': low, 'median': high} for time in settings.TIMES}

  found = settings.ratios({
      'ours a': row(2.0, 8.0), 'ours b': row(4.0, 5.0),
      'peer a': row(6.0, 9.0), 'peer b': row(5.0, 10.0)})
  assert found['seconds'] == {'min': 2.5, 'median': 1.8}


@pytest.mark.parametrize('changed', ({'length': 513}, {'turns': 0}))
def test_wrong_flags(changed):
  with mock.patch.object(settings, 'measure', side_effect=AssertionError):
    with pytest.raises(errors.UserError, match='--(length|turns)'):
      mpnet.main(mpnet.Config(**changed))


@pytest.mark.interop
def test_the_peer_computes_the_same():
  torch = pytest.importorskip('torch')
  transformers = pytest.importorskip('transformers')
  from scripts.benchmark import mpnet_peer
  case = 'mpnet'
  values = dict(tiny_families.VALUES[case])
  theirs = transformers.MPNetModel(
      transformers.AutoConfig.for_model(values.pop('model_type'), **values),
      add_pooling_layer=False)
  theirs.load_state_dict({
      name: torch.from_numpy(value)
      for name, value in tiny_families.tensors(case).items()
      if not name.startswith('pooler')})
  peer = mpnet_peer.Model(theirs, 5).eval()
  model = heads.Classifier(dataclasses.replace(
      tiny_families.config(case), adapters=(bottleneck.Bottleneck(5),)), 2)
  base = pretrained.from_hugging_face(tiny_families.tensors(case), case)
  base.pop('pooler')
  params = encoder.init(model, jax.random.key(0), base)
  rng = np.random.default_rng(0)
  flat = {path: 0.3 * rng.standard_normal(leaf.shape, np.float32)
          for path, leaf in trees.flatten(params).items()
          if trees.role(path) in ('adapter', 'head')}

  def copy(linear, path):
    linear.weight.data = torch.from_numpy(flat[f'{path}/kernel'].T.copy())
    linear.bias.data = torch.from_numpy(flat[f'{path}/bias'])

  copy(peer.head, 'head')
  for index, layer in enumerate(peer.encoder.encoder.layer):
    for site, sublayer in (
        ('attention_output', layer.attention), ('ffn_output', layer.output)):
      for name in ('down', 'up'):
        copy(getattr(sublayer.dropout[1], name),
             f'encoder/layer_{index}/adapter_{site}_0/{name}')
  tokens = rng.integers(5, 43, (3, 9))
  mask = np.ones((3, 9), bool)
  with torch.no_grad():
    wanted = peer(torch.from_numpy(tokens), torch.from_numpy(mask).long())
  found = model.apply(
      {'params': trees.overlay(params, trees.unflatten(flat))}, tokens,
      np.zeros_like(tokens), mask)
  assert np.ptp(found) > 0.1
  np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)
