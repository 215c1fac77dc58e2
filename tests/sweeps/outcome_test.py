"""Tests of the folder of kept records."""

import pytest

from adapters_jax import errors
from adapters_jax.sweeps import outcome as outcome_lib


def test_a_folder_of_records_is_made_before_the_runs(tmp_path):
  outcome_lib.check_folder('')
  outcome_lib.check_folder(str(tmp_path / 'a' / 'b'))
  assert (tmp_path / 'a' / 'b').is_dir()
  (tmp_path / 'file').write_text('')
  for folder in (tmp_path / 'file' / 'x', '/proc/nope/x', 'a\0b'):
    with pytest.raises(errors.UserError, match='`records`: .* cannot be writ'):
      outcome_lib.check_folder(str(folder))
