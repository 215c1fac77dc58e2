"""Every method on every family of encoders."""

import dataclasses
import functools
import itertools
import re

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.methods import prompt
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import layer
from adapters_jax.model import pretrained
from adapters_jax.model import relative
from adapters_jax.training import selections
from adapters_jax import trees
from tests import tiny
from tests import tiny_families
from tests.methods import methods_test

# Cases whose layers are BERT's: they differ in embeddings and positions, MPNet
# in an addend to the scores of attention, too. DeBERTa has an attention of its
# own, BERT has `methods_test`, ModernBERT `model.modernbert_test`.
LIKE_BERT = [case for case in tiny_families.sampled() if case != 'deberta']
WORDS = 'prompt_tuning[prompt_length=3, combine=words]'
SHIFTED = ('prefix_tuning_flat[prefix_length=3, bottleneck_size=5, '
           'shift_positions=true]')
AFTER = 'prompt_tuning[prompt_length=3, combine=prefix_after_bos]'
TEXTS = methods_test.ALL | {
    'prompt words': WORDS, 'prefix shifted': SHIFTED, 'prompt after': AFTER}
NAMES = (*methods_test.DISTINCT, 'prompt words', 'prefix shifted',
         'prompt after')
# Since a program of five methods compiles much faster than five.
_TOGETHER = (
    ('seq_bn_inv', 'lora', 'prefix_tuning', 'prompt_tuning', 'loreft'),
    ('double_seq_bn', 'dora', 'prefix_tuning_flat', 'invertible', 'noreft'),
    ('compacter', 'ia3', 'prefix shifted', 'prompt words', 'direft'),
    ('par_bn', 'vera', 'prompt after', 'inner layer norm', 'bottleneck'),
    ('compacter++', 'rslora', 'scaled_par_bn', 'depth'),
    ('multiplicative', 'ia3_inputs', 'inner batch norm', 'seq_bn'),
    ('double_seq_bn_inv', 'mam'), ('unipelt', 'adapter_plus'))
# A new method is alone, until a tuple above has it.
UNIONS = (*_TOGETHER, *(
    (name,) for name in NAMES if name not in itertools.chain(*_TOGETHER)))
# What acts on embeddings, positions or the scores of attention.
EMBEDDED = ('invertible', 'prompt words', 'prompt after', 'prefix shifted',
            'prefix_tuning_flat')
# Each kind of method on the family that could disturb it most.
SAMPLE = (
    ('mpnet', 'prefix_tuning'), ('roberta', 'prompt words'),
    ('electra-small', 'seq_bn_inv'))


@functools.cache
def base(case):
  tree = pretrained.from_hugging_face(
      tiny_families.tensors(case), tiny_families.config(case).family)
  return {part: tree[part] for part in ('embeddings', 'encoder')}


def make(case, text, **changed):
  """Returns (model, tuned tree, all but the norms) of a case."""
  config = dataclasses.replace(
      tiny_families.config(case), adapters=strings.parse(text), dropout=0.0,
      attention_dropout=0.0, **changed)
  model = heads.Classifier(config, 2)
  return model, trees.split(
      tiny.drawn(model, base(case)),
      selections.select_adapters(2, tune_norms=False))[0]


def batch(length=5):
  rng = np.random.default_rng(0)
  lengths = np.array([length, length, length - 2])
  return {
      'tokens': rng.integers(5, 43, (3, length), np.int32),
      'segments': rng.integers(0, 2, (3, length), np.int32),
      'mask': np.arange(length) < lengths[:, None],
      'labels': np.array([0, 1, 1], np.int32),
      'weights': np.ones(3, np.float32)}


def logits(model, params, inputs):
  return np.asarray(tiny.apply(
      model, params, inputs['tokens'], inputs['segments'], inputs['mask']))


def check_training(case, names, folder):
  text = '|'.join(TEXTS[name] for name in names)
  model, tuned = make(case, text, layers=1)
  after, moved, losses = methods_test.train(
      model, tuned, base(case), batch(), steps=1)
  assert np.isfinite(losses[0])
  assert all(not value for path, value in moved.items()
             if trees.role(path) == 'fixed')
  assert moved['head/kernel']
  # The last part of a module's name is the place of its method.
  assert {number for path, value in moved.items() if value
          for number in re.findall(r'adapter_\w+_(\d+)/', path)} == {
              str(number) for number in range(len(model.config.adapters))}
  assert not any('/relative_' in path for path in moved)
  methods_test.check_saved(folder, model, after, text)


@pytest.mark.parametrize('case, name', SAMPLE)
def test_a_step_moves_the_adapter_alone_and_saves(case, name, tmp_path):
  check_training(case, [name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('case, names', [
    *(('deberta', names) for names in UNIONS),
    *((case, names) for case in LIKE_BERT for names in (UNIONS[0], EMBEDDED)),
    # The others in turn, as BERT has them all.
    *zip(itertools.cycle(LIKE_BERT), UNIONS[1:])],
    ids=lambda value: value if isinstance(value, str) else '+'.join(value))
def test_a_step_with_unions_of_methods(case, names, tmp_path):
  check_training(case, names, tmp_path)


@pytest.mark.parametrize('case, name', (
    ('mpnet', 'prefix_tuning'), ('mpnet', 'prompt words'),
    pytest.param('mpnet', 'prompt after', marks=pytest.mark.slow),
    pytest.param('roberta', 'prefix shifted', marks=pytest.mark.slow),
    pytest.param('mpnet', 'houlsby', marks=pytest.mark.slow),
    pytest.param('mpnet', 'prompt_tuning', marks=pytest.mark.slow),
    pytest.param('deberta', 'prefix_tuning', marks=pytest.mark.slow),
    pytest.param('deberta', 'unipelt', marks=pytest.mark.slow),
    pytest.param('deberta', 'prompt after', marks=pytest.mark.slow),
    pytest.param('roberta', 'prompt words', marks=pytest.mark.slow)))
def test_padding_and_uncomputed_rows_change_nothing(case, name):
  model, tuned = make(case, TEXTS[name])
  params = trees.overlay(base(case), methods_test.perturbed(tuned))
  inputs = batch(11)  # Distances in the wider buckets, too.
  found = logits(model, params, inputs)
  padded = {
      key: np.pad(inputs[key], ((0, 0), (0, 4)), constant_values=fill)
      for key, fill in (('tokens', 7), ('segments', 1), ('mask', False))}
  np.testing.assert_allclose(
      logits(model, params, padded), found, atol=3e-6, rtol=1e-5)
  whole = tiny.apply(
      encoder.Bert(model.config), params, inputs['tokens'], inputs['segments'],
      inputs['mask'])[-1]
  head = params['head']
  np.testing.assert_allclose(
      whole[:, 0] @ head['kernel'] + head['bias'], found, atol=3e-6, rtol=1e-5)


def test_a_prefix_is_at_no_distance():
  config = dataclasses.replace(
      tiny_families.config('mpnet'),
      adapters=strings.parse('prefix_tuning_flat[prefix_length=3]'))
  length, dim, count, width = 5, 12, 3, 4
  rng = np.random.default_rng(0)
  x = rng.standard_normal((1, length, dim), np.float32)
  prefix = rng.standard_normal((2, 2, 3, dim), np.float32)
  params = dict(base('mpnet')['encoder']['layer_0']['attention'])
  # Without queries, scores are the bias alone.
  params['query'] = jax.tree.map(np.zeros_like, params['query'])
  bias = relative.bias(base('mpnet')['encoder']['relative_bias'], length)
  found = layer.Attention(config, 0).apply(
      {'params': params}, x, np.ones((1, length), bool), (prefix,), bias,
      rows=2, train=False)

  def project(name, inputs):
    return inputs @ params[name]['kernel'] + params[name]['bias']

  scores = np.concatenate(
      [np.zeros((count, length, 3)), np.asarray(bias[0])], axis=-1)
  weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
  values = np.concatenate([prefix[0, 1], project('value', x[0])])
  mixed = np.einsum(
      'hqk,khd->qhd', weights, values.reshape(-1, count, width))
  wanted = project('output', mixed.reshape(length, dim))
  np.testing.assert_allclose(found[0], wanted[:2], atol=1e-5)


@pytest.mark.parametrize(
    'case', ('mpnet', *(pytest.param(case, marks=pytest.mark.slow)
                        for case in ('roberta', 'electra-small', 'deberta'))))
def test_a_prompt_of_words_is_a_longer_text(case):
  """Positions, segments and distances of a prompt are those of a text."""
  model, tuned = make(case, WORDS)
  inputs, first = batch(11), np.array([7, 9, 30])
  inputs['segments'][:] = 0
  words = base(case)['embeddings']['words']['embedding'][first]
  params = trees.overlay(base(case), trees.overlay(tuned, trees.unflatten(
      {'embeddings/adapter_words_0/prompt': words})))
  longer = {
      'tokens': np.concatenate(
          [np.tile(first, (3, 1)), inputs['tokens']], axis=1),
      'segments': np.pad(inputs['segments'], ((0, 0), (3, 0))),
      'mask': np.pad(inputs['mask'], ((0, 0), (3, 0)), constant_values=True)}
  plain = heads.Classifier(tiny_families.config(case), 2)
  wanted = logits(
      plain, trees.overlay(base(case), {'head': tuned['head']}), longer)
  np.testing.assert_allclose(
      logits(model, params, inputs), wanted, atol=2e-6)


def test_a_shifted_prefix_moves_the_positions_of_tokens_alone():
  # PEFT: (cumsum(mask) + prefix) * mask + padding.
  model, _ = make('roberta', SHIFTED)
  mask = np.array([[True, True, True, False], [True, False, False, False]])
  np.testing.assert_array_equal(
      encoder.positions(model.config, mask), [[5, 6, 7, 1], [5, 1, 1, 1]])
  plain, _ = make('roberta', 'lora')
  np.testing.assert_array_equal(
      encoder.positions(plain.config, mask), [[2, 3, 4, 1], [2, 1, 1, 1]])


def test_prompts_and_inverses_of_a_narrow_embedding():
  """At the words they have its width, after the projection the layers'."""
  for text, path, width in (
      (WORDS, 'embeddings/adapter_words_0/prompt', 10),
      (AFTER, 'adapter_embedding_0/prompt', 12),
      ('invertible', 'adapter_embedding_0/f/up/bias', 6)):
    _, tuned = make('electra-small', text)
    assert trees.flatten(tuned)[path].shape[-1] == width
  begun = "prompt_tuning[prompt_init=from_string, prompt_init_text='a']"
  with pytest.raises(errors.UserError, match='narrower.*combine=words'):
    prompt.embed(strings.parse(begun), base('electra-small'), lambda _: [7])
  prompt.embed(strings.parse(begun), base('distilbert'), lambda _: [7])
