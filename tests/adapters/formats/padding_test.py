"""Notes on methods whose outputs in AdapterHub depend on padding."""

import logging

import pytest

from adapters_jax.adapters.formats import adapterhub
from tests.adapters.formats import format_cases

CASES = {
    'lora[r=2]': 0, 'ia3': 0, 'seq_bn[reduction_factor=4]': 0, 'loreft': 0,
    'prefix_tuning_flat[prefix_length=2]': 0,
    'seq_bn[reduction_factor=4, use_gating=True]': 1,
    'lora[r=2, use_gating=True]': 1, 'ia3[use_gating=True]': 1,
    'vera[r=2, use_gating=True]': 1,
    'prefix_tuning_flat[prefix_length=2, use_gating=True]': 1,
    'prompt_tuning[prompt_length=3]': 1,
    'unipelt[bottleneck_size=4, prefix_length=2]': 1,
    'prompt_tuning[prompt_length=3]|lora[r=2, use_gating=True]': 2}


@pytest.mark.parametrize('text, count', CASES.items())
def test_an_export_notes_and_a_read_logs_it(text, count, tmp_path, caplog):
  adapter = format_cases.make(text, head_input='cls')
  notes = adapterhub.write(
      str(tmp_path), 'n', adapter, {}, format_cases.SHAPE)
  assert sum('padding' in note for note in notes) == count
  with caplog.at_level(logging.WARNING):
    adapterhub.read(str(tmp_path), format_cases.SHAPE)
  assert sum('padding' in record.getMessage()
             for record in caplog.records) == count
