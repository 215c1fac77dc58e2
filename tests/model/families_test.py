"""Families of encoders against transformers, and their name tables."""

import dataclasses
import functools
import json
import os

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from adapters_jax.data import tokenization
from adapters_jax.downloads import pinned
from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.model import encoder
from adapters_jax.model import families
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.model import shapes
from tests.methods import parity
from tests import tiny_families

CASES = tuple(tiny_families.VALUES)


@functools.cache
def base(case):
  return pretrained.from_hugging_face(
      tiny_families.tensors(case), tiny_families.config(case).family)


def tensors_of(case):
  """Returns {name: shape} of the bare encoder, joined layers in their parts."""
  family = tiny_families.config(case).family
  return {
      part: list(value.shape)
      for name, shape in tiny_families.names_of(case)['bare'].items()
      for part, value in families.part_tensors(
          name, np.zeros(shape), family).items()}


def hidden_of(case, batch, config=None, params=None):
  """Returns the hidden states [batch, length, dim] of a case."""
  tree = params or {
      part: base(case)[part] for part in ('embeddings', 'encoder')}
  model = encoder.Bert(config or tiny_families.config(case))
  return jax.jit(model.apply)(
      {'params': tree}, batch['tokens'], batch['segments'], batch['mask'])


def check_parity(case, wanted):
  batch = tiny_families.batch(case)
  hidden = hidden_of(case, batch)
  for index, states in enumerate(hidden):
    np.testing.assert_allclose(
        states[batch['mask']], wanted[f'{case}_{index}'], atol=1e-5)
  assert f'{case}_{len(hidden)}' not in wanted
  assert (f'{case}_pooled' in wanted) == ('pooler' in base(case))
  if 'pooler' in base(case):
    pooler = base(case)['pooler']
    pooled = np.tanh(hidden[-1][:, 0] @ pooler['kernel'] + pooler['bias'])
    np.testing.assert_allclose(pooled, wanted[f'{case}_pooled'], atol=1e-5)


@pytest.mark.parametrize('case', CASES)
def test_hidden_states_equal_those_of_transformers(case):
  check_parity(case, np.load('tests/fixtures/family_hidden.npz'))


@pytest.mark.interop
@pytest.mark.parametrize('case', CASES)
def test_hidden_states_and_names_live(case):
  from tests.fixtures import make_family_fixtures
  check_parity(case, make_family_fixtures.hidden_of(case))
  assert make_family_fixtures.names_of(case) == tiny_families.names_of(case)


@pytest.mark.interop
def test_mpnet_base_live():
  """Real weights and tokens; downloads 0.4 GB where they are absent."""
  import torch
  import transformers
  folder = pinned.fetch('mpnet-base')
  assert pretrained.read_config(folder) == pretrained.CHECKPOINTS['mpnet-base']
  texts = (*parity.SENTENCES, (parity.LONG,))
  tokenizer = tokenization.load(folder)
  encoded = [tokenization.encode(tokenizer, [text], 512) for text in texts]
  theirs = transformers.AutoTokenizer.from_pretrained(folder)
  wanted = [theirs(*text, truncation='longest_first', max_length=512)[
      'input_ids'] for text in texts]
  assert [tokens[0].tolist() for tokens, _ in encoded] == wanted
  assert len(wanted[-1]) == 512  # The last row of positions, all buckets.
  lengths = np.array([len(tokens) for tokens in wanted])
  mask = np.arange(512) < lengths[:, None]
  tokens = np.zeros((len(texts), 512), np.int32)
  tokens[mask] = np.concatenate(wanted)
  params = pretrained.load_base(folder)
  params.pop('pooler')
  hidden = jax.jit(encoder.Bert(pretrained.read_config(folder)).apply)(
      {'params': params}, tokens, np.zeros_like(tokens), mask)
  model = transformers.AutoModel.from_pretrained(folder).eval()
  with torch.no_grad():
    out = model(
        input_ids=torch.tensor(np.where(mask, tokens, 1).astype(np.int64)),
        attention_mask=torch.tensor(mask.astype(np.int64)),
        output_hidden_states=True)
  for ours, states in zip(hidden, out.hidden_states, strict=True):
    np.testing.assert_allclose(
        ours[mask], states.numpy()[mask], atol=2e-5)


@pytest.mark.parametrize('case', CASES)
def test_fixture_needs_the_last_row_of_positions(case):
  batch = tiny_families.batch(case)
  config = tiny_families.config(case)
  buckets = {'mpnet': 91, 'deberta-256': 128}  # From here on, the widest ones.
  if case in buckets:  # Fixtures about distances.
    assert batch['mask'].shape[1] > buckets[case] + 1
  else:
    assert batch['mask'].shape[1] == config.longest


@pytest.mark.parametrize('case', CASES)
def test_every_leaf_has_a_name_and_every_name_a_leaf(case):
  config = tiny_families.config(case)
  pooler = families.FAMILIES[config.family].pooler
  tree = shapes.of(
      heads.Classifier(config, 1, 'pooler' if pooler else 'cls'))
  tree.pop('head')
  bare = tensors_of(case)
  found = {}
  for path, leaf in trees.flatten(tree).items():
    name = families.their_name(path, config.family)
    shape = leaf.shape[::-1] if path.endswith('/kernel') else leaf.shape
    found[name] = list(shape)
    assert families.our_name(name, config.family) == path
  assert found == bare


@pytest.mark.parametrize('case', CASES)
def test_names_with_the_heads_of_pretraining(case):
  names = tiny_families.names_of(case)
  config = tiny_families.config(case)
  family = families.FAMILIES[config.family]
  assert family.prefix == names['prefix']
  heads_of = {*names.get('AutoModelForPreTraining', ()),
              *names['AutoModelForMaskedLM']}
  if config.rotary is None:
    heads_of.add(f'{family.prefix}embeddings.position_ids')
  if config.distance_buckets:  # Of Microsoft's files, not of transformers.
    heads_of |= {
        f'{family.prefix}embeddings.{name}' for name in (
            'word_embeddings._weight', 'position_embeddings._weight',
            'position_embeddings.weight')}
  assert all(families.is_ignored(name, family.name) for name in heads_of)
  # Each pattern is needed.
  for pattern in family.ignored:
    narrower = dataclasses.replace(family, ignored=tuple(
        other for other in family.ignored if other != pattern))
    with pytest.MonkeyPatch.context() as patch:
      patch.setitem(families.FAMILIES, family.name, narrower)
      assert not all(
          families.is_ignored(name, family.name) for name in heads_of)
  for name in names['bare']:
    assert not families.is_ignored(family.prefix + name, family.name)
    assert (families.our_name(family.prefix + name, family.name)
            == families.our_name(name, family.name))


@pytest.mark.parametrize('case', CASES)
def test_sites_are_linear_layers_of_the_family(case):
  config = tiny_families.config(case)
  family, bare = config.family, tensors_of(case)
  sites = families.linears(family)
  names = [families.their_site(site, 1, family) for site in sites]
  gated = 'ffn_gate' in shapes.of(
      encoder.Bert(config))['encoder']['layer_0']
  assert len({*names}) == len(sites) == 6 + gated
  for name in names:
    assert len(bare[f'{name}.weight']) == 2
    assert name.startswith(families.their_site('layer_output', 1, family) + '.')
  attention = families.their_site('key_value', 1, family) + '.'
  assert [name.startswith(attention) for name in names[:3]] == [True] * 3


@pytest.mark.parametrize('case', CASES)
def test_folder_with_prefix_and_heads(case, tmp_path):
  folder = tiny_families.write_checkpoint(case, str(tmp_path))
  config = pretrained.read_config(folder)
  assert config == tiny_families.config(case)
  family, names = families.FAMILIES[config.family], tiny_families.names_of(case)
  # As transformers writes a model of pretraining, which has no pooler.
  tensors = {family.prefix + name: value
             for name, value in tiny_families.tensors(case).items()
             if not name.startswith('pooler')}
  tensors |= dict.fromkeys(
      names['AutoModelForMaskedLM'], np.zeros(3, np.float32))
  safetensors_numpy.save_file(
      tensors, os.path.join(folder, 'model.safetensors'))
  tree = trees.flatten(pretrained.load_base(folder, pooler=False))
  wanted = trees.flatten({
      part: base(case)[part] for part in ('embeddings', 'encoder')})
  assert tree.keys() == wanted.keys()
  for path, leaf in tree.items():
    np.testing.assert_array_equal(leaf, wanted[path])


@pytest.mark.parametrize('case', CASES)
def test_a_row_is_enough_for_a_family_under_another_name(
    case, tmp_path, monkeypatch):
  row = families.FAMILIES[tiny_families.config(case).family]
  monkeypatch.setitem(families.FAMILIES, 'other', dataclasses.replace(
      row, name='other', prefix='other.'))
  values = {**tiny_families.VALUES[case], 'model_type': 'other'}
  wanted = dataclasses.replace(tiny_families.config(case), family='other')
  (tmp_path / 'config.json').write_text(json.dumps(values))
  assert pretrained.read_config(str(tmp_path)) == wanted
  safetensors_numpy.save_file(
      {f'other.{name}': value
       for name, value in tiny_families.tensors(case).items()},
      tmp_path / 'model.safetensors')
  found = pretrained.load_base(str(tmp_path), pooler='pooler' in base(case))
  jax.tree.map(np.testing.assert_array_equal, found, base(case))


@pytest.mark.parametrize('case', [
    case for case in CASES
    if not families.FAMILIES[tiny_families.config(case).family].pooler])
def test_no_pooler(case, tmp_path):
  folder = tiny_families.write_checkpoint(case, str(tmp_path))
  with pytest.raises(errors.UserError, match='head_input=pooler.*no pooler'):
    pretrained.load_base(folder, pooler=True)


@pytest.mark.parametrize(
    'case', ('mpnet', 'deberta', 'modernbert-128', *(
        pytest.param(case, marks=pytest.mark.slow)
        for case in ('roberta', 'modernbert'))))
def test_padding_changes_nothing(case):
  batch = tiny_families.batch(case)
  whole = hidden_of(case, batch)[-1]
  for row, length in enumerate(batch['mask'].sum(1)):
    alone = {name: array[row:row + 1, :length]
             for name, array in batch.items()}
    np.testing.assert_allclose(
        hidden_of(case, alone)[-1][0], whole[row, :length], atol=1e-5)


def test_padding_with_any_token():
  batch = tiny_families.batch('roberta')
  for token in (1, 7):
    other = {**batch, 'tokens': np.where(batch['mask'], batch['tokens'], token)}
    np.testing.assert_array_equal(
        hidden_of('roberta', other)[-1][batch['mask']],
        hidden_of('roberta', batch)[-1][batch['mask']])


@pytest.mark.slow
@pytest.mark.parametrize('case', CASES)
def test_segments_count_where_config_json_has_several(case):
  batch = tiny_families.batch(case)
  other = {**batch, 'segments': 1 - batch['segments']}
  same = np.array_equal(
      hidden_of(case, other)[-1], hidden_of(case, batch)[-1])
  assert same == (tiny_families.VALUES[case].get('type_vocab_size', 1) < 2)


def test_deberta_with_segments(tmp_path):
  """No published model has them; its sum is that of BERT's embeddings."""
  folder = tiny_families.write_checkpoint('deberta', str(tmp_path))
  with open(os.path.join(folder, 'config.json'), 'w') as file:
    json.dump({**tiny_families.VALUES['deberta'], 'type_vocab_size': 2}, file)
  tensors = tiny_families.tensors('deberta')
  rows = np.random.default_rng(4).standard_normal((2, 12), np.float32)
  safetensors_numpy.save_file(
      {**tensors, 'embeddings.token_type_embeddings.weight': rows},
      os.path.join(folder, 'model.safetensors'))
  config = pretrained.read_config(folder)
  params = pretrained.load_base(folder, pooler=False)
  batch = tiny_families.batch('deberta')
  name = 'embeddings.word_embeddings.weight'
  for segment in range(2):
    segments = np.full_like(batch['segments'], segment)
    found = hidden_of(
        'deberta', {**batch, 'segments': segments}, config, params)
    moved = pretrained.from_hugging_face(
        {**tensors, name: tensors[name] + rows[segment]}, 'deberta-v2')
    wanted = hidden_of('deberta', batch, params=moved)
    np.testing.assert_allclose(found[-1], wanted[-1], atol=1e-5)


def test_a_joined_layer_of_another_size_is_listed():
  value = np.zeros((37, 12), np.float32)
  name = 'model.layers.0.attn.Wqkv.weight'
  assert families.part_tensors(name, value, 'modernbert') == {name: value}
  query, key, _ = families.part_tensors(
      name, np.arange(6), 'modernbert').items()
  assert query[0].endswith('Wqkv.query.weight') and query[1].tolist() == [0, 1]
  assert key[1].tolist() == [2, 3]


def test_every_family_has_a_case_and_a_row_of_the_docs():
  cased = {values['model_type'] for values in tiny_families.VALUES.values()}
  assert set(families.FAMILIES) == cased, (
      'give the family a case in VALUES of tests/tiny_families.py')
  with open('docs/encoders.md', encoding='utf-8') as file:
    rows = [line for line in file if line.startswith('| ')]
  for name in families.FAMILIES:
    assert any(f'(`{name}`)' in row for row in rows), (
        f'list {name} in the table of docs/encoders.md')


def test_a_case_without_fixtures_names_their_command(monkeypatch):
  monkeypatch.setitem(tiny_families.VALUES, 'new', {})
  with pytest.raises(LookupError, match='make_family_fixtures'):
    tiny_families.tensors('new')
