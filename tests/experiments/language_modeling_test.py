"""Tests of masking, of the head of masked LM, and of its runs."""

import dataclasses

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import compiled
from adapters_jax.api import launch
from adapters_jax.data import masking
from adapters_jax.data import raw_text
from adapters_jax.methods import strings
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import run
from adapters_jax.runs.kinds import language_modeling
from adapters_jax.sweeps import outcome
from tests import tiny

HOW = masking.Masking(0.3, True, 4, len(tiny.VOCABULARY))


@pytest.fixture(scope='module')
def texts(checkpoint):
  """Texts with a word of two pieces, the last one of three examples."""
  tokenizer = compiled.tokenizer_of(aj.load_base(checkpoint))
  assert masking.mask_id(tokenizer) == 4
  return masking.encode_words(
      tokenizer, ['the films very good', 'plots a',
                  ' '.join(['dull', 'films'] * 9)], 12)


def test_words_and_windows(texts):
  assert [len(one) for one in texts.tokens] == [7, 5, 12, 12, 9]
  np.testing.assert_array_equal(texts.words[0], [-1, 0, 1, 1, 2, 3, -1])
  pieces = np.concatenate([one[1:-1] for one in texts.tokens[2:]])
  np.testing.assert_array_equal(pieces, np.tile(pieces[:3], 9))


def test_masks_cover_words_and_are_a_pure_function(texts):
  kept = replaced = 0
  for seed in range(300):
    rng = np.random.default_rng([seed])
    masked, positions = masking.mask_text(
        texts.tokens[2], texts.words[2], HOW, rng)
    assert len(positions) <= HOW.most(10) == 3
    assert set(positions) <= set(range(1, 11))
    words = texts.words[2]
    for place in positions:  # Whole words, as all have two pieces or fewer.
      assert set(np.flatnonzero(words == words[place])) <= set(positions)
    others = np.setdiff1d(np.arange(12), positions)
    np.testing.assert_array_equal(masked[others], texts.tokens[2][others])
    kept += (masked[positions] == texts.tokens[2][positions]).sum()
    replaced += (masked[positions] == 4).sum()
  # 10 % stay, and one in 17 of the 10 % drawn at random; 80 % are masks.
  total = kept / 0.106
  assert 0.6 * total < replaced < total
  alone = dataclasses.replace(HOW, whole_words=False)
  singles = [tuple(masking.mask_text(
      texts.tokens[2], texts.words[2], alone,
      np.random.default_rng([seed]))[1]) for seed in range(20)]
  assert len({*singles}) > 5 and all(len(one) == 3 for one in singles)

  def schedule(seed):
    return masking.MaskedSchedule(texts, (12,), 3, seed, masking=HOW)

  first, again = schedule(5).batch(3), schedule(5).batch(3)
  for name in first:
    np.testing.assert_array_equal(first[name], again[name])
  assert first['positions'].shape == first['labels'].shape == (3, 4)
  np.testing.assert_array_equal(
      first['weights'], (first['labels'] >= 0).sum(1))
  assert any((schedule(5).batch(step)['tokens'] != schedule(6).batch(step)[
      'tokens']).any() for step in range(4))
  # The last batch has two texts; its third row is filler.
  filler = [batch for step in range(2)
            if (batch := schedule(0).batch(step))['weights'][2] == 0]
  assert len(filler) == 1 and not filler[0]['mask'][2].any()
  # A host makes its rows of the same batch.
  part = dataclasses.replace(schedule(5), local_rows=(2,)).batch(3)
  np.testing.assert_array_equal(part['tokens'], first['tokens'][2:])


@pytest.mark.slow
def test_the_head_of_a_checkpoint(tmp_path):
  folder = tiny.write_checkpoint(str(tmp_path / 'a'), prefix='bert.')
  path = f'{folder}/model.safetensors'
  tensors = safetensors_numpy.load_file(path)
  assert pretrained.load_masked_lm(folder) == {}
  start = 'cls.predictions.'
  words = tensors['bert.embeddings.word_embeddings.weight']
  head = {f'{start}transform.dense.weight': (12, 12),
          f'{start}transform.dense.bias': (12,),
          f'{start}transform.LayerNorm.gamma': (12,),
          f'{start}transform.LayerNorm.beta': (12,),
          f'{start}bias': (len(tiny.VOCABULARY),)}
  tensors |= tiny.random_tensors(head, 1, 0.3)
  tensors[f'{start}decoder.weight'] = words
  safetensors_numpy.save_file(tensors, path)
  found = pretrained.load_masked_lm(folder)['head']
  np.testing.assert_array_equal(
      found['dense']['kernel'], tensors[f'{start}transform.dense.weight'].T)
  np.testing.assert_array_equal(
      found['norm']['scale'], tensors[f'{start}transform.LayerNorm.gamma'])
  base = pretrained.load_base(folder, pooler=False)
  model = heads.masked_lm.MaskedLM(pretrained.read_config(folder))
  batch = tiny.random_batch(length=6)
  inputs = batch['tokens'], batch['segments'], batch['mask']
  whole = {**base, 'head': found}
  logits = tiny.apply(model, whole, *inputs)
  assert logits.shape == (4, 6, len(tiny.VOCABULARY))
  some = tiny.apply(
      model, whole, *inputs, positions=np.array([[3, 0]] * 4))
  np.testing.assert_allclose(some, logits[:, [3, 0]], atol=1e-5)
  # An invertible adapter is undone before the decoder.
  methods = strings.parse('invertible')
  inverted = heads.masked_lm.MaskedLM(
      dataclasses.replace(model.config, adapters=methods))
  params = tiny.drawn(inverted, whole)
  own = params['adapter_embedding_0']
  hidden = tiny.apply(encoder.Bert(inverted.config), params, *inputs)[-1]
  transformed, bias = heads.masked_lm.Transform(model.config).apply(
      {'params': found}, hidden)
  back = methods[0].make(None, 0).apply(
      {'params': own}, transformed, method='inverse')
  np.testing.assert_allclose(
      tiny.apply(inverted, params, *inputs),
      back @ words.T + bias, atol=1e-4)
  tensors[f'{start}decoder.weight'] = words + 1
  safetensors_numpy.save_file(tensors, path)
  with pytest.raises(errors.UserError, match='differs from the embeddings'):
    pretrained.load_masked_lm(folder)


@pytest.fixture
def config(checkpoint, tmp_path):
  path = tmp_path / 'lines.txt'
  rng = np.random.default_rng(0)
  path.write_text('\n'.join(
      ' '.join(['the', 'film', 'very', str(rng.choice(tiny.WORDS[:6])), 'plot'])
      for _ in range(40)) + '\n\n')
  return config_lib.Config(
      checkpoint=checkpoint, adapter_config='seq_bn_inv[reduction_factor=4]',
      tune_norms=False, train_file=str(path), dev_fraction=0.2,
      text_columns='text', file_task='text', mask_rate=0.3, batch_size=8,
      learning_rate=0.02, buckets=0, max_length=12, max_steps=16,
      eval_every=8, dropout=0.0, workdir=str(tmp_path / 'run'))


@pytest.mark.slow
def test_a_domain_adapter_is_trained_and_shared(config, tmp_path, capsys):
  record = run.run(config, 'language_modeling', language_modeling.KIND)
  first, last = (entry['dev'] for entry in record.history)
  assert last['perplexity'] < first['perplexity'] < len(tiny.VOCABULARY)
  assert last['token_probability'] == pytest.approx(1 / last['perplexity'])
  assert any('is new' in note for note in record.notes)
  launch._print_best(
      outcome.Outcome((record,), (config.workdir,), configs=(config,)),
      language_modeling.KIND.usage)
  assert capsys.readouterr().out.endswith(
      f'--adapters=domain={config.workdir} --checkpoint={config.checkpoint}\n')
  adapter = aj.load_adapter(config.workdir)
  assert adapter.head_input == 'masked_lm'
  assert {trees.role(path) for path in trees.flatten(adapter.tuned)} == {
      'adapter', 'head'}
  base = aj.load_base(config.checkpoint)
  notes = aj.export(adapter, str(tmp_path / 'hub'), 'adapterhub', base=base)
  note, = notes
  assert 'max_length=12' in note
  again = aj.load_adapter(str(tmp_path / 'hub'), base)
  jax.tree.map(np.testing.assert_array_equal, again.tuned['head'],
               adapter.tuned['head'])
  np.testing.assert_array_equal(
      aj.encode(base, ['a film'], adapter), aj.encode(base, ['a film'], again))
  # Under a task's adapter: MAD-X.
  both = aj.train(base, aj.Examples(
      ['good film', 'bad film'] * 8, ['yes', 'no'] * 8), max_steps=2,
      method='lora[r=2]', max_length=12, buckets=0, under={'domain': adapter})
  assert both.method == 'stack(domain, task)'
  leaf = 'adapter_embedding_1/f/down/kernel'
  np.testing.assert_array_equal(
      trees.flatten(both.tuned)[leaf], trees.flatten(adapter.tuned)[leaf])
  assert aj.predict(base, both, ['good film'])[0].label in ('yes', 'no')
  with pytest.raises(errors.UserError, match='masked'):
    aj.predict(base, adapter, ['a film'])


@pytest.mark.parametrize('changed, message', [
    ({'file_task': 'classification'}, 'give `file_task=text`'),
    ({'text_columns': 'a,b'}, 'name the one column'),
    ({'tune': 'none', 'adapter_config': ''}, 'new head would stay untrained'),
    ({'train_file': '', 'dev_fraction': 0.0}, 'reads raw text'),
    ({'class_weights': 'balanced'}, 'tasks with classes')])
def test_wrong_settings(config, changed, message):
  with pytest.raises(errors.UserError, match=message):
    language_modeling.prepare(dataclasses.replace(config, **changed))


def test_files_of_raw_text(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text('{"text": "one"}\n{"text": " "}\n{"text": "two"}\n')
  assert raw_text.read(str(path), 'text') == ['one', 'two']
  with pytest.raises(errors.UserError, match="line 1: no column 'body'"):
    raw_text.read(str(path), 'body')
  (tmp_path / 'b.txt').write_text('\n \n')
  with pytest.raises(errors.UserError, match='no text in it'):
    raw_text.read(str(tmp_path / 'b.txt'), '')
  with pytest.raises(errors.UserError, match='must end in .txt'):
    raw_text.read(str(tmp_path / 'c.doc'), '')
