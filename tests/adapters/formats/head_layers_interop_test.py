"""Heads of which an adapter has some leaves, loaded by the real peft."""

import numpy as np
import pytest

from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import models
from tests import tiny_families
from tests.adapters.formats import family_cases
from tests.adapters.formats import head_layers_test
from tests.adapters.formats import transformers_model_test as plain

torch = pytest.importorskip('torch')
peft = pytest.importorskip('peft')
transformers = pytest.importorskip('transformers')

pytestmark = pytest.mark.interop

folders = plain.folders


@pytest.mark.parametrize('case', head_layers_test.POOLERS)
def test_peft_has_the_kernel_of_the_base(case, folders, tmp_path):
  adapter = head_layers_test.bias_alone(
      plain.make(case, 'pooler', 'lora[r=2]'))
  exchange.write(tmp_path, adapter, 'peft', checkpoint=folders[case])
  name = f'{models.FOREIGN[adapter.family].class_start}For'
  model = peft.PeftModel.from_pretrained(
      getattr(transformers, f'{name}SequenceClassification').from_pretrained(
          folders[case], num_labels=family_cases.OUTPUTS), str(tmp_path))
  inputs = family_cases.batch(case)
  named = {'input_ids': torch.from_numpy(inputs['tokens']).long(),
           'attention_mask': torch.from_numpy(inputs['mask']).long()}
  if tiny_families.config(case).segments == 2:
    named['token_type_ids'] = torch.from_numpy(inputs['segments']).long()
  with torch.no_grad():
    found = model.eval()(**named).logits.numpy()
  np.testing.assert_allclose(
      found, family_cases.outputs(case, adapter), atol=1e-5, rtol=1e-5)
