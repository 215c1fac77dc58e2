"""Outputs of padded batches in `adapters` 1.3.0, against the notes on them."""

import numpy as np
import pytest

from adapters_jax.adapters.formats import adapterhub
from tests.adapters.formats import format_cases
from tests.adapters.formats import padding_test
from tests.fixtures import make_method_fixtures as fixtures
from tests.methods import method_cases
from tests.methods import parity_test as parity

adapters = pytest.importorskip('adapters')

pytestmark = pytest.mark.interop

BASE = parity.pretrained.from_hugging_face(method_cases.base_tensors())


@pytest.mark.parametrize('text, count', padding_test.CASES.items())
def test_a_note_where_they_differ(text, count, tmp_path):
  adapter = format_cases.make(text)
  adapterhub.write(str(tmp_path), 'film', adapter, BASE, format_cases.SHAPE)
  model = fixtures.make_bert(adapters.BertAdapterModel)
  model.load_adapter(str(tmp_path), set_active=True)
  padded = method_cases.batch('')
  assert not padded['mask'].all()
  there = fixtures.run(
      model.eval(), '', lambda out: out.hidden_states[-1])['logits']
  here = parity.outputs(
      adapter.methods, adapter.tuned, padded, adapter.head_input)[1]
  assert (np.abs(there - here).max() > 1e-4) == bool(count)
