"""Tests of batches that mix adapters, and of all adapters on every text."""

import dataclasses

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.adapters import composing
from adapters_jax.adapters import embedding
from adapters_jax.adapters import every
from adapters_jax.adapters import layouts
from adapters_jax.adapters import mixed
from adapters_jax.adapters import prediction
from adapters_jax.adapters import resident
from adapters_jax.data import batching
from adapters_jax.model import composition
from adapters_jax.model import setups
from tests import outputs
from tests import tiny
from tests.adapters import bank_test

PAIR = ('a plot', 'a good film the very dull plot')
TEXTS = ['a good film', 'very dull', 'the plot ' * 4, 'bad', 'good plot']


def with_classes(adapter, count):
  """Returns an adapter whose head has other classes."""
  rng = np.random.default_rng(count)
  head = {'kernel': rng.standard_normal((12, count), np.float32),
          'bias': np.zeros(count, np.float32)}
  return dataclasses.replace(adapter, tuned={**adapter.tuned, 'head': head})


@pytest.fixture(scope='module')
def bank():
  return {
      'narrow': bank_test.make(),
      'wide': with_classes(bank_test.make('bottleneck[size=4]', 1), 3),
      'rank': bank_test.make('lora[r=2, alpha=4]', 2),
      'higher': bank_test.make('lora[r=3, alpha=6]', 3),
      'prompt': with_classes(bank_test.make(
          'prompt_tuning[prompt_length=3, combine=words]', 4), 1),
      'asked': dataclasses.replace(
          with_classes(bank_test.make('lora[r=2, alpha=4]', 5), 2),
          head_input='tokens', texts=('question', 'context'))}


def close(found, wanted):
  assert (found.label, found.answer) == (wanted.label, wanted.answer)
  assert found.score == pytest.approx(wanted.score, abs=1e-5)
  if wanted.probabilities:
    assert found.probabilities == pytest.approx(
        wanted.probabilities, abs=1e-6)


def test_a_batch_of_any_adapters_equals_one_by_one(base, bank):
  names = ['wide', 'asked', 'prompt', 'rank', 'narrow', 'higher', 'wide',
           'rank', 'narrow', 'prompt']
  texts = [PAIR if name == 'asked' else TEXTS[row % 5]
           for row, name in enumerate(names)]
  found = prediction.predict(base, bank, texts, names)
  for name, text, one in zip(names, texts, found, strict=True):
    close(one, prediction.predict(base, bank[name], [text])[0])
  assert len(found[0].probabilities) == 3 and found[2].score is not None
  placed = resident.place(base, bank)
  assert len(placed.layouts) == 4  # Widths are padded, numbers of classes too.
  step = mixed.make_step(placed.layouts)
  programs = step._cache_size()
  again = prediction.predict(base, bank, texts[::-1], names[::-1])
  assert step._cache_size() == programs
  for one, other in zip(found, again[::-1], strict=True):
    close(one, other)


def test_a_new_adapter_of_a_known_layout_compiles_nothing(base, bank):
  placed = resident.place(
      base, {name: bank[name] for name in ('wide', 'rank')}, slots=2)
  step, names = mixed.make_step(placed.layouts), ['wide', 'rank', 'wide']

  def together(placed, names):
    read = prediction.readings.read(base, bank['wide'], [
        (text,) for text in TEXTS[:3]])
    return mixed.forward(placed, names, read.examples, batch_size=8)

  def alone(adapter, row):
    return outputs.logits(base, adapter, TEXTS[row:row + 1])[0]

  first = together(placed, names)
  programs = step._cache_size(), resident._write._cache_size()
  placed = resident.put(placed, 'narrow', bank['narrow'])
  found = together(placed, ['narrow', 'rank', 'wide'])
  assert step._cache_size() == programs[0]
  np.testing.assert_allclose(found[0], alone(bank['narrow'], 0), atol=2e-6)
  for row in (1, 2):
    np.testing.assert_array_equal(found[row], first[row])
  other = bank_test.make('bottleneck[size=2]', 9)
  placed = resident.put(placed, 'narrow', other)  # Replaced, in its slot.
  found = together(placed, ['wide', 'narrow', 'rank'])
  np.testing.assert_allclose(found[1], alone(other, 1), atol=2e-6)
  assert (step._cache_size(), resident._write._cache_size()) == (
      programs[0], programs[1] + 1)
  placed = resident.remove(placed, 'narrow')
  with pytest.raises(errors.UserError, match="unknown 'narrow'"):
    resident.remove(placed, 'narrow')
  wider = resident.put(placed, 'prompt', bank['prompt'])
  assert len(wider.layouts) == 3 and set(wider.bank) == {
      'wide', 'rank', 'prompt'}


def test_slots_are_kept_where_a_bank_is_stacked_again(base, bank):
  placed = resident.place(base, {'wide': bank['wide']}, slots=2)
  assert resident.put(placed, 'prompt', bank['prompt']).slots == (2, 2)
  for seed in (1, 2):
    placed = resident.put(
        placed, f'more {seed}', bank_test.make('bottleneck[size=2]', seed))
  assert placed.slots == (4,)  # More than 2 of one layout.


def test_adapters_too_large_for_copies_are_not_stacked(
    base, bank, monkeypatch):
  names = ['wide', 'narrow', 'wide']
  together = prediction.predict(base, bank, TEXTS[:3], names)
  monkeypatch.setattr(layouts, '_LARGEST', 1000)
  placed = resident.place(base, {name: bank[name] for name in names})
  assert [layout.owner for layout in placed.layouts] == ['wide', 'narrow']
  apart = prediction.predict(base, bank, TEXTS[:3], names)
  for one, other in zip(together, apart, strict=True):
    close(one, other)


def test_all_adapters_on_every_text(base, bank):
  some = {name: bank[name] for name in ('narrow', 'prompt', 'wide')}
  found = prediction.predict(base, some, TEXTS[:2])
  assert [list(one) for one in found] == [list(some)] * 2
  for name, adapter in some.items():
    wanted = prediction.predict(base, adapter, TEXTS[:2])
    for one, other in zip(found, wanted, strict=True):
      close(one[name], other)
  assert prediction.predict(base, some, []) == []
  with pytest.raises(errors.UserError, match="adapter 'asked': .*2 texts"):
    prediction.predict(base, {**some, 'asked': bank['asked']}, TEXTS[:2])


@pytest.mark.parametrize('count', [6, 7])
def test_large_banks_are_computed_in_slices(base, count, monkeypatch):
  placed = resident.place(
      base, {str(seed): bank_test.make(seed=seed) for seed in range(count)},
      exact=True)
  batch = {name: value for name, value in tiny.random_batch(
      batch=8, length=16).items() if name != 'labels'}
  inputs = base.params, placed.stacks, batch

  def compiled(most):
    config = placed.layouts[0].model.config
    monkeypatch.setattr(
        every, '_MOST', int(most * every._activations(config, (8, 16))))
    # Not the cached function: its programs are of another bound.
    return every.make_step.__wrapped__(placed.layouts).lower(*inputs).compile()

  whole, sliced = compiled(count), compiled(3.5)
  wanted, = whole(*inputs)
  found, = sliced(*inputs)
  assert found.shape == (count, 8, 2)
  np.testing.assert_allclose(found, wanted, atol=2e-6)
  sizes = [one.memory_analysis().temp_size_in_bytes for one in (whole, sliced)]
  assert sizes[1] < 0.8 * sizes[0] < 0.8 * every._MOST * count / 3.5


def test_shared_layers_are_computed_once(two_layers_base):
  """Counted in the compiled program: products of the base's first layer."""
  base = two_layers_base

  def upper(seed):
    adapter = bank_test.make(
        'bottleneck[size=3, leave_out=[0]]', seed, layers=2)
    # Leaves that training left as they were, such as lower norms.
    tuned = {**adapter.tuned, 'embeddings': base.params['embeddings'],
             'encoder': {**adapter.tuned['encoder'],
                         'layer_0': base.params['encoder']['layer_0']}}
    return dataclasses.replace(adapter, tuned=tuned)

  placed = resident.place(base, {'a': upper(0), 'b': upper(1)}, exact=True)
  assert not any('layer_0' in path or 'embeddings' in path
                 for path, _ in placed.layouts[0].leaves)
  tokens = np.full((4, 8), 5, np.int32)
  batch = {'tokens': tokens, 'segments': tokens * 0, 'mask': tokens > 0}
  program = str(jax.make_jaxpr(every.make_step(placed.layouts))(
      base.params, placed.stacks, batch))
  # [4 texts, 8 tokens, ffn_dim] below, and [2 adapters, ...] of [CLS] above.
  assert 'f32[4,8,20]' in program and 'f32[2,4,8,20]' not in program
  assert 'f32[2,4,1,20]' in program


@pytest.mark.parametrize('batch_size, sizes', (
    (1, (1,)), (5, (1, 5)), (8, (1, 8)), (20, (1, 8, 16, 20)),
    (64, (1, 8, 16, 32, 64))))
def test_few_sizes_of_batches_fit_all_numbers_of_inputs(batch_size, sizes):
  assert resident.sizes(batch_size) == sizes
  fitting = [resident.fitting(count, batch_size) for count in range(1, 70)]
  assert set(fitting) == {*sizes}
  for count, size in enumerate(fitting, 1):
    assert size == batch_size or count <= size <= max(8, 2 * count)


@pytest.mark.parametrize('count, size', ((1, 1), (9, 16)))
def test_a_few_inputs_are_not_padded_to_a_whole_batch(
    base, bank, count, size, monkeypatch):
  real, seen = batching.make_batch, []

  def spy(examples, plan, batch_size, *rest):
    seen.append(batch_size)
    return real(examples, plan, batch_size, *rest)

  monkeypatch.setattr(batching, 'make_batch', spy)
  some = {name: bank[name] for name in ('narrow', 'wide')}
  texts = (TEXTS * 2)[:count]
  prediction.predict(base, some, texts)
  prediction.predict(base, bank['narrow'], texts)
  prediction.predict(base, some, texts, (['narrow', 'wide'] * 5)[:count])
  assert seen == [size] * 3
  seen.clear()  # Several layouts: tiles, of which empty ones are skipped.
  prediction.predict(
      base, bank, texts, (['narrow', 'rank'] * 5)[:count], batch_size=16)
  assert set(seen) == {min(size, resident.TILE)}


@pytest.mark.slow
def test_embeddings_of_adapters_and_the_plain_base(base, bank):
  names = ['wide', None, 'prompt', 'narrow', None]
  found = embedding.encode(base, TEXTS, bank, adapters=names)
  for text, name, one in zip(TEXTS, names, found, strict=True):
    wanted, = embedding.encode(base, [text], name and bank[name])
    np.testing.assert_allclose(one, wanted, atol=2e-6)
  with pytest.raises(errors.UserError, match='there are 1 names for 5 texts'):
    embedding.encode(base, TEXTS, bank, adapters=['wide'])
  some = {name: bank[name] for name in ('wide', 'prompt', 'narrow')}
  each = embedding.encode(base, TEXTS, some)
  assert list(each) == list(some)
  for row, name in enumerate(names):
    if name:
      np.testing.assert_allclose(each[name][row], found[row], atol=2e-6)


@pytest.mark.slow
def test_embeddings_of_setups(base, bank):
  bank = {'a': bank['narrow'], 'b': dataclasses.replace(
      bank['wide'], head_input='embedding_cls')}
  text = 'stack(a, b, norms=last)'
  wanted = embedding.encode(
      base, TEXTS, composing.compose(bank, text), dims=5)
  assert np.abs(wanted - embedding.encode(
      base, TEXTS, bank['b'], dims=5)).max() > 1e-3
  np.testing.assert_allclose(
      embedding.encode(base, TEXTS, bank, setup=text, dims=5), wanted,
      atol=2e-6)
  both = embedding.encode(
      base, TEXTS, bank, setup=composition.Parallel('b', setups.parse(text)),
      dims=5)
  assert list(both) == ['b', text]
  np.testing.assert_allclose(both[text], wanted, atol=2e-6)
  split = embedding.encode(base, TEXTS[:3], bank, dims=5, setup=(
      composition.BatchSplit('a', 'b', batch_sizes=(2, 1))))
  np.testing.assert_allclose(split[2], both['b'][2], atol=2e-6)
  for adapter, setup, names, message in (
      (bank['a'], text, None, 'is for a bank'),
      (bank, text, ['a'] * 5, 'leave out `adapters`'),
      (bank, 'stack(a, c)', None, "unknown 'c'")):
    with pytest.raises(errors.UserError, match=message):
      embedding.encode(base, TEXTS, adapter, setup=setup, adapters=names)
