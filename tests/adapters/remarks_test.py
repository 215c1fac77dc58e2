"""Tests of notes on values that other libraries' files do not state."""

import dataclasses

import pytest

import adapters_jax as aj
from adapters_jax.adapters import embedding_settings
from adapters_jax.adapters import exchange
from adapters_jax.adapters import remarks
from adapters_jax.model import pooling as pooling_lib
from adapters_jax.model import sentence_files
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


@pytest.mark.parametrize('form', ['adapterhub', 'peft'])
def test_embeddings_whose_settings_the_base_lacks(form, tmp_path):
  folder = tiny.write_checkpoint(str(tmp_path / 'base'))
  sentence_files.write(folder, pooling_lib.Pooling('max', False, 9), 12, 40)
  base = aj.load_base(folder)
  adapter = dataclasses.replace(make(form), tuned={
      name: leaves for name, leaves in make(form).tuned.items()
      if name != 'head'})
  for mode, length, values in (
      ('cls', 9, '`pooling=cls`, `normalize=True`: give them'),
      ('max', 8, '`normalize=True`, `max_length=8`: give them'),
      ('max', 9, '`normalize=True`: give it')):
    own = dataclasses.replace(
        adapter, head_input=f'embedding_{mode}', max_length=length)
    path = tmp_path / f'{mode}-{length}'
    notes = exchange.write(path, own, form, checkpoint=folder)
    assert [note for note in notes if 'do not state' in note] == [
        f'the files do not state {values} to `aj.encode`, or export as '
        'sentence_transformers']
    # With these values, the adapter embeds as before.
    back = exchange.read(path, tiny.CONFIG)
    given = {'mode': mode, 'normalize': True, 'max_length': length}
    assert embedding_settings.pooling_of(folder, own) == (
        embedding_settings.pooling_of(folder, back, **given))
    assert aj.encode(base, ['a film'], back).shape == (1, 12)
  sentence_files.write(folder, pooling_lib.Pooling('max', True, 9), 12, 40)
  assert not remarks.of(own, form, 40, folder)
  unknown, = remarks.of(own, form, 40, '')
  assert '`pooling=max`, `normalize=True`, `max_length=9`, `dims=0`' in unknown
