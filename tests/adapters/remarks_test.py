"""Tests of notes on values that other libraries' files do not state."""

import dataclasses

import pytest

from adapters_jax.adapters import exchange
from tests import tiny
from tests.adapters import bank_test


def make(form):
  """Returns an adapter whose values are those that a load gives."""
  adapter = bank_test.make(
      'bottleneck[size=3, activation=gelu_tanh]' if form == 'adapter_bert' else
      'lora[r=2]')
  return dataclasses.replace(
      adapter, head_input='pooler', max_length=40,
      hidden_activation='gelu_tanh' if form == 'adapter_bert' else '')


def lost(notes):
  """Returns the names of the values in notes."""
  return [note.split('`')[1].split('=')[0] for note in notes
          if note.startswith('the files do not state `')]


@pytest.mark.parametrize('form', ['adapterhub', 'peft', 'adapter_bert'])
def test_only_values_that_a_load_does_not_give(form, checkpoint, tmp_path):
  adapter = make(form)

  def write(**changed):
    path = tmp_path / '-'.join(['x', *changed])
    changed = dataclasses.replace(adapter, **changed)
    notes = exchange.write(path, changed, form, checkpoint=checkpoint)
    return changed, notes, exchange.read(
        f'{path}.npz' if form == 'adapter_bert' else path, tiny.CONFIG)

  for values in (
      {}, {'max_length': 17}, {'threshold': 0.3}, {'texts': ('text', 'pair')},
      {'labels': ('no', 'yes')}, {'max_length': 39, 'threshold': 0.5}):
    wanted, notes, back = write(**values)
    names = [name for name in ('max_length', 'threshold', 'texts', 'labels')
             if getattr(back, name) != getattr(wanted, name)
             and getattr(wanted, name) != ()]  # Files may number classes.
    assert lost(notes) == names
    if 'threshold' in values:
      assert any(f'`threshold={values["threshold"]}`' in note
                 for note in notes)
  assert names == ['max_length', 'threshold']


def test_an_adapter_without_a_head_has_no_threshold(checkpoint, tmp_path):
  adapter = dataclasses.replace(make('peft'), threshold=0.3, max_length=7)
  notes = exchange.write(
      tmp_path / 'x', adapter, 'peft', checkpoint=checkpoint, head=False)
  assert lost(notes) == ['max_length']
