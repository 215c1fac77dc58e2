"""Tests of the banks that commands load."""

import dataclasses

from adapters_jax.api import banks
from tests.adapters import bank_test


def test_precisions_that_differ_become_float32(checkpoint, tmp_path, caplog):
  made = bank_test.make()
  for name, precision in (('one', 'bfloat16'), ('two', 'float32'),
                          ('three', 'bfloat16')):
    dataclasses.replace(made, settings={
        **made.as_settings(), 'precision': precision}).save(
            str(tmp_path / name))

  def loaded(*names):
    caplog.clear()
    base, _ = banks.load(','.join(
        f'{name}={tmp_path / name}' for name in names), checkpoint)
    return base.precision, [one.getMessage() for one in caplog.records]

  assert loaded('one', 'three') == ('bfloat16', [])
  for names in (('one', 'two'), ('two', 'one')):  # In any order.
    precision, (message,) = loaded(*names)
    assert precision == 'float32' and 'one bfloat16' in message
