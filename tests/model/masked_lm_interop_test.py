"""Logits of masked language modelling compared with those of transformers."""

import numpy as np
import pytest

from adapters_jax.model import heads
from adapters_jax.model import pretrained
from tests import tiny_families
from tests.adapters.formats import family_cases

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

pytestmark = pytest.mark.interop


@pytest.mark.parametrize(
    'case', ['bert', 'roberta', 'xlm-roberta', 'camembert', 'mpnet',
             'distilbert'])
def test_logits(case, tmp_path):
  torch.manual_seed(0)
  model = transformers.AutoModelForMaskedLM.from_config(
      transformers.AutoConfig.for_model(**tiny_families.VALUES[case])).eval()
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.normal_(0, 0.3)
  model.save_pretrained(str(tmp_path))
  shape = pretrained.read_config(str(tmp_path))
  inputs = family_cases.batch(case)
  named = {'input_ids': torch.from_numpy(inputs['tokens']).long(),
           'attention_mask': torch.from_numpy(inputs['mask']).long()}
  if shape.segments == 2:
    named['token_type_ids'] = torch.from_numpy(inputs['segments']).long()
  with torch.no_grad():
    wanted = model(**named).logits.numpy()
  params = pretrained.load_base(str(tmp_path), pooler=False)
  head = pretrained.load_masked_lm(str(tmp_path))
  assert set(head) == {'head'}
  found = heads.masked_lm.MaskedLM(shape).apply(
      {'params': params | head}, inputs['tokens'], inputs['segments'],
      inputs['mask'])
  real = inputs['mask']
  assert np.ptp(wanted[real]) > 1
  np.testing.assert_allclose(
      found[real], wanted[real], atol=1e-4, rtol=1e-4)
