"""Tests of which adapters share a layout, and of their predictions in it."""

import dataclasses

import numpy as np
import pytest

from adapters_jax.adapters import compiled
from adapters_jax.adapters import composing
from adapters_jax.adapters import layouts
from adapters_jax.adapters import prediction
from adapters_jax.adapters import resident
from adapters_jax.methods import strings
from tests import outputs
from tests.adapters import bank_test

TEXTS = ['a good film', 'very dull plot', 'the bad plot']  # One program.
SHARED = (
    ('lora[r=8]', 'lora[r=4, alpha=3, dropout=0.1, init=bert]'),
    ('seq_bn[reduction_factor=4]', 'seq_bn[reduction_factor=6, dropout=0.1]'),
    *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (
        ('rslora[r=4, alpha=3]', 'lora[r=2]'),
        ('lora[r=3, use_gating=True]', 'lora[r=2, use_gating=True]'),
        ('dora[r=2, alpha=2]', 'dora[r=3, alpha=3, dropout=0.1]'),
        ('bottleneck[size=3]',
         'bottleneck[size=4, init=bert, init_scale=0.1, stochastic_depth=0.1]'),
        ('compacter[size=4, phm_dim=2, phm_c_init=uniform]',
         'compacter[reduction_factor=3, phm_dim=2, phm_init_range=0.1, '
         'hypercomplex_nonlinearity=normal]'),
        ('prefix_tuning[prefix_length=2, bottleneck_size=3]',
         'prefix_tuning[prefix_length=2, bottleneck_size=3, dropout=0.1]'),
        ('prompt_tuning[prompt_length=2, scale=0.1]',
         'prompt_tuning[prompt_length=2, prompt_init=from_string, '
         'prompt_init_text=good]'),
        ('loreft', 'loreft[dropout=0]'),
        ('vera[r=3]', 'vera[r=3, vera_d=0.5, vera_b=0.1, dropout=0.1]'),
        ('houlsby[size=3]|lora[r=2]',
         'houlsby[size=2]|lora[r=3, alpha=1]'))))


def found(base, *adapters):
  """Returns the layouts of adapters."""
  bank = dict(enumerate(adapters))
  return layouts.find(base, bank, compiled.model_of, resident.TILE)


@pytest.mark.parametrize('one, two', SHARED)
def test_adapters_of_one_layout_predict_as_alone(one, two, base):
  bank = {name: bank_test.make(text, seed, layers=1)
          for name, text, seed in (('one', one, 1), ('two', two, 2))}
  assert len(found(base, *bank.values())) == 1
  names = ['two', 'one', 'two']
  mixed, _ = prediction.values(base, bank, names, TEXTS)
  for name, text, logits in zip(names, TEXTS, mixed, strict=True):
    np.testing.assert_allclose(
        logits, outputs.logits(base, bank[name], [text])[0],
        rtol=1e-6, atol=2e-6)
  every = prediction.predict(base, bank, TEXTS[:1])[0]
  for name, adapter in bank.items():
    alone, = prediction.predict(base, adapter, TEXTS[:1])
    assert every[name].probabilities == pytest.approx(
        alone.probabilities, abs=1e-6)


@pytest.mark.parametrize('one, two', (
    ('dora[r=2]', 'dora[r=4]'), ('lora[r=2]', 'dora[r=2]'),
    ('seq_bn[size=3]', 'par_bn[size=3]'),
    ('seq_bn[reduction_factor={"0": 4, "default": 6}]', 'seq_bn[size=3]'),
    ('vera[r=2]', 'vera[r=3]')))
def test_other_computations_have_other_layouts(one, two, base):
  assert len(found(base, bank_test.make(one), bank_test.make(two))) == 2


def test_an_adapter_of_another_rank_takes_a_free_slot(base):
  film = bank_test.make('lora[r=8]')
  food = bank_test.make('lora[r=4, alpha=7]', 1)
  placed = resident.put(
      resident.place(base, {'film': film}, slots=2), 'food', food)
  assert placed.places == {'film': (0, 0), 'food': (0, 1)}
  rows = {'food': ['good film'], 'film': ['bad']}
  found, _ = prediction.values(
      base, placed.bank, [*rows], [*rows.values()], placed=placed)
  for name, logits in zip(rows, found, strict=True):
    wanted, _ = prediction.values(
        base, {name: placed.bank[name]}, [name], [rows[name]])
    np.testing.assert_allclose(logits, wanted[0], atol=1e-6)


def test_fuses_of_other_dropout_share_a_layout(base):
  bank = {'a': bank_test.make('seq_bn[size=3]'),
          'b': bank_test.make('seq_bn[size=2]', 1)}
  one, two = (dataclasses.replace(composing.compose(
      bank, f'fuse(a, b, dropout={rate}, norms=base)'), tuned=bank['a'].tuned)
              for rate in (0, 0.3))
  assert one.composition != two.composition
  forms = [compiled.model_of(base, layouts.resized(base, adapter, None))
           for adapter in (one, two)]
  assert forms[0] == forms[1]


@pytest.mark.parametrize('text', strings.methods.CONFIGS)
def test_a_method_for_predictions_is_that_of_itself(text):
  for method in strings.parse(text):
    plain = method.for_predictions(48)
    assert plain.for_predictions(48) == plain
    assert {field.name for field in dataclasses.fields(method)} >= set(
        method.training_fields)


@pytest.mark.parametrize('text, factor', [
    ('lora[r=2, alpha=6]', 3), ('rslora[r=4, alpha=6]', 3),
    # Gates replace the scale, norms of DoRA read the leaves without it.
    ('lora[r=2, alpha=6, use_gating=True]', 1), ('dora[r=2, alpha=6]', 1)])
def test_leaves_for_predictions_contain_the_scale(text, factor):
  method, = strings.parse(text)
  leaf = np.full((2, 3), 5.0, np.float32)
  for name, wanted in (('b', 5 * factor), ('a', 5)):
    np.testing.assert_array_equal(
        method.leaf_for_predictions(f'adapter_query_0/{name}', leaf), wanted)
  if not method.use_gating:
    assert method.for_predictions(8).scale * factor == method.scale
