"""Adapters on their way through the formats, as a user converts them."""

import dataclasses
import json
import os

from absl import flags as absl_flags
import jax
import numpy as np
import pytest

from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import adapterhub_norms
from adapters_jax.adapters.formats import peft
from adapters_jax.adapters.formats import places
from adapters_jax.adapters.formats import weights
from adapters_jax.adapters import prediction
from adapters_jax import errors
from adapters_jax.api.commands import convert as command
from adapters_jax.methods import strings
from adapters_jax.model import pretrained
from adapters_jax import trees
from tests import outputs
from tests import tiny


def make(text, outputs=2, head_input='pooler'):
  """Returns an adapter for the tiny checkpoint, with a head."""
  configs = strings.parse(text) if text else ()
  rng = np.random.default_rng(0)
  shapes = {path: leaf.shape for path, leaf in places.leaf_shapes(
      configs, tiny.CONFIG).items()}
  shapes |= {'head/kernel': (12, outputs), 'head/bias': (outputs,)}
  tuned = trees.unflatten({
      path: rng.standard_normal(shape, np.float32)
      for path, shape in shapes.items()})
  if head_input == 'tokens':
    return adapter_lib.Adapter(
        configs, tuned, head_input, texts=('question', 'context'),
        max_length=tiny.CONFIG.positions)
  return adapter_lib.Adapter(
      configs, tuned, head_input, ('yes', 'no') if outputs == 2 else ())


def convert(*flags):
  """Runs the command in this process; returns its exit status."""
  values = absl_flags.FlagValues()
  command.define_flags(values)
  values(['convert', *flags])
  try:
    command.run(values)
  except SystemExit as stopped:
    return stopped.code
  return 0


@pytest.mark.parametrize('form, text, ending', [
    ('adapterhub', 'lora[r=2]', ''), ('peft', 'lora[r=2]', ''),
    ('adapter_bert', 'bottleneck[size=3, activation=gelu_tanh]', '.npz')])
def test_there_and_back(form, text, ending, checkpoint, tmp_path, capsys):
  ours, theirs, back = (str(tmp_path / name) for name in 'abc')
  theirs += ending
  adapter = make(text)
  if form == 'adapter_bert':  # Whose checkpoints always have the norms.
    base = pretrained.load_base(checkpoint)
    norms, _ = trees.split(base, lambda path: trees.role(path) == 'norm')
    adapter.tuned.update(trees.overlay(adapter.tuned, norms))
    # And its BERT this activation.
    adapter = dataclasses.replace(adapter, hidden_activation='gelu_tanh')
  exchange.write(ours, adapter, 'own', checkpoint=checkpoint)
  where = f'--checkpoint={checkpoint}'
  assert convert(f'--from={ours}', f'--to={theirs}', f'--format={form}',
                 where, '--labels=') == 0
  labels = 'yes,no' if form == 'adapter_bert' else ''  # Others keep them.
  assert convert(f'--from={theirs}', f'--to={back}', '--format=own', where,
                 f'--labels={labels}') == 0
  mask = os.umask(0)
  os.umask(mask)
  written = [path for path in tmp_path.rglob('*') if path.is_file()]
  assert {path.stat().st_mode & 0o777 for path in written} == {0o666 & ~mask}
  before, after = (
      prediction.load(folder, checkpoint) for folder in (ours, back))
  assert after[1].labels == ('yes', 'no')
  texts = [('a good film',), ('very dull',)]
  np.testing.assert_allclose(
      outputs.logits(*after, texts), outputs.logits(*before, texts),
      atol=1e-6)
  assert text.split('[')[0] in capsys.readouterr().out
  assert after[1].hidden_activation == adapter.hidden_activation
  jax.tree.map(np.testing.assert_array_equal, before[1].tuned, {
      key: value for key, value in after[1].tuned.items()
      if key in before[1].tuned})


@pytest.mark.parametrize('form', ['adapterhub', 'peft'])
def test_answers_stay_the_same(form, checkpoint, tmp_path):
  ours, theirs, back = (str(tmp_path / name) for name in 'abc')
  adapter = make('lora[r=2]', head_input='tokens')
  exchange.write(ours, adapter, 'own', checkpoint=checkpoint)
  where = f'--checkpoint={checkpoint}'
  for source, target, to in ((ours, theirs, form), (theirs, back, 'own')):
    assert convert(f'--from={source}', f'--to={target}', f'--format={to}',
                   where, '--labels=') == 0
  texts = [('a plot', 'a good film the very dull plot'), ('good', 'a bad film')]
  before, after = (
      prediction.load(folder, checkpoint) for folder in (ours, back))
  jax.tree.map(np.testing.assert_array_equal, before[1].tuned, after[1].tuned)
  assert after[1].max_length == tiny.CONFIG.positions
  found, wanted = (
      [one.answer for one in prediction.predict(*loaded, texts)]
      for loaded in (after, before))
  assert found == wanted
  assert all(answer and answer in paragraph
             for answer, (_, paragraph) in zip(found, texts))


def test_layer_norms_alone(checkpoint, tmp_path, capsys):
  ours, theirs, back = (str(tmp_path / name) for name in 'abc')
  adapter, rng = make(''), np.random.default_rng(1)
  norms, _ = trees.split(pretrained.load_base(checkpoint), lambda path: (
      trees.role(path) == 'norm'))
  adapter.tuned.update(jax.tree.map(
      lambda leaf: rng.standard_normal(leaf.shape, np.float32), norms))
  exchange.write(
      os.path.join(ours, 'adapter'), adapter, 'own', checkpoint=checkpoint)
  where = f'--checkpoint={checkpoint}'
  for source, target, to in (  # The workdir, without its own `adapter`.
      (ours, theirs, 'peft'), (theirs, back, 'own')):
    assert convert(f'--from={source}', f'--to={target}', f'--format={to}',
                   where, '--labels=bad,good') == 0
  assert f'layer norms -> {theirs}' in capsys.readouterr().out
  before, after = (
      prediction.load(folder, checkpoint) for folder in (ours, back))
  jax.tree.map(np.testing.assert_array_equal, before[1].tuned, after[1].tuned)
  texts = [('a good film',), ('very dull',)]
  np.testing.assert_array_equal(
      outputs.logits(*after, texts), outputs.logits(*before, texts))
  assert convert(f'--from={ours}/adapter', f'--to={theirs}2', where,
                 '--format=adapterhub', '--labels=') == 2
  assert 'LN_TUNING' in capsys.readouterr().err


def test_a_score_stays_one(checkpoint, tmp_path):
  ours, theirs, back = (str(tmp_path / name) for name in 'abc')
  exchange.write(
      ours, make('lora[r=2]', outputs=1), 'own', checkpoint=checkpoint)
  where = f'--checkpoint={checkpoint}'
  for source, target, form in (
      (ours, theirs, 'adapterhub'), (theirs, back, 'own')):
    assert convert(f'--from={source}', f'--to={target}', f'--format={form}',
                   where, '--labels=') == 0
  assert prediction.load(back, checkpoint)[1].labels == ()


def edit(path, **values):
  """Changes the values of a JSON file and of its 'config'."""
  with open(path) as file:
    whole = json.load(file)
  # As saved before adapters described themselves and had a hash.
  whole.pop('adapter', None)
  whole.pop('sha256', None)
  inner = whole.get('config', whole)
  inner.update(values)
  with open(path, 'w') as file:
    json.dump(whole, file)


@pytest.mark.parametrize('form, name, values, message', [
    ('adapterhub', 'adapter_config.json', {'r': 'x'}, 'r: give int'),
    ('adapterhub', 'adapter_config.json', {'architecture': 'lorra'},
     'mean lora'),
    ('adapterhub', 'adapter_config.json', {'architecture': 3},
     'unknown 3'),
    ('adapterhub', 'adapter_config.json', {'attn_matrices': ['z']},
     "unknown 'z'"),
    ('adapterhub', 'adapter_config.json', {'leave_out': [9]}, 'no layer 9'),
    ('adapterhub', 'adapter_config.json', {'r': 3}, 'does not fit'),
    ('adapterhub', 'adapter_config.json', {'architecture': None},
     "no 'reduction_factor'"),
    ('adapterhub', 'adapter_config.json', None, 'cannot be read'),
    ('adapterhub', 'adapter.safetensors', None, 'cannot be read'),
    ('adapterhub', 'head_config.json', {'head_type': 'tagging'}, 'tagging'),
    ('peft', 'adapter_config.json', {'peft_type': 'LOHA'}, 'mean LORA'),
    ('peft', 'adapter_config.json', {'r': 'a'}, "r='a': give int"),
    ('peft', 'adapter_config.json', {'peft_type': 'PREFIX_TUNING'},
     'num_virtual_tokens'),
    ('peft', 'adapter_model.safetensors', None, 'cannot be read'),
    ('own', 'config.json', {'adapter_config': 'nope'}, "'nope'; it is one of"),
    ('own', 'config.json', {'tune': 'head'}, 'does not fit'),
    ('own', 'config.json', {'tune': 'norms'}, 'does not fit'),
    ('own', 'config.json', {'adapter_config': 'lora[r=3]'}, 'does not fit'),
])
def test_a_damaged_folder_is_one_line(
    form, name, values, message, checkpoint, tmp_path, capsys):
  folder, adapter = str(tmp_path / 'theirs'), make('lora[r=2]')
  if form == 'own':
    exchange.write(folder, adapter, 'own', checkpoint=checkpoint)
  elif form == 'peft':
    peft.write(folder, adapter, tiny.CONFIG)
  else:
    base = {'pooler': {'kernel': np.ones((12, 12)), 'bias': np.ones(12)}}
    adapterhub.write(folder, 'film', adapter, base, tiny.CONFIG)
  path = os.path.join(folder, name)
  if values is None:
    with open(path, 'w') as file:
      file.write('{')
  else:
    edit(path, **values)
  assert convert(f'--from={folder}', f'--to={tmp_path}/to', '--labels=',
                 '--format=own', f'--checkpoint={checkpoint}') == 2
  error = capsys.readouterr().err
  assert message in error and error.count('\n') == 1, error


def test_shapes_that_do_not_fit_are_one_line(checkpoint, tmp_path, capsys):
  theirs = str(tmp_path / 'theirs')
  adapter = make('lora[r=2]', head_input='cls')
  adapter.tuned['embeddings'] = {
      'norm': {'scale': np.ones(1, np.float32), 'bias': np.ones(12)}}
  adapterhub.write(theirs, 'film', adapter, {}, tiny.CONFIG)
  flags = (f'--from={theirs}', f'--to={tmp_path}/to', '--format=own',
           f'--checkpoint={checkpoint}', '--labels=')
  assert convert(*flags) == 2
  error = capsys.readouterr().err
  assert 'embeddings/norm/scale is (1,), not (12,)' in error
  os.remove(os.path.join(theirs, adapterhub_norms.NAME))
  assert convert(*flags) == 0
  path = os.path.join(theirs, adapterhub.HEAD_WEIGHTS)
  kernel, bias = 'heads.film.1.weight', 'heads.film.1.bias'
  head = weights.read(theirs, adapterhub.HEAD_WEIGHTS)
  for changed in ({kernel: head[bias], bias: head[kernel]},
                  {**head, kernel: head[kernel][:, :-1]}):
    weights.write(path, changed)
    assert convert(*flags) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1, error
    assert 'head' in error and 'not' in error, error


@pytest.mark.parametrize('text, form, message', [
    ('houlsby', 'peft', 'PEFT has none like it'),
    ('lora|ia3', 'adapterhub', 'one kind'),
    ('lora[r=2]|lora[r=3]', 'peft', 'no such method or union'),
    ('lora|lora', 'peft', 'one place'), ('ia3|ia3', 'peft', 'one place'),
    ('seq_bn|seq_bn', 'adapterhub', 'one place'),
    ('vera[sites=["query", "intermediate"]]', 'adapterhub', 'one shape'),
    ('vera[use_gating=True]', 'peft', 'no gates'),
    ('invertible', 'adapterhub', 'a bottleneck'),
    ('', 'adapterhub', 'no adapter'), ('', 'peft', 'no adapter'),
    ('lora', 'adapterhub', 'without dots')])
def test_what_a_format_cannot_hold(text, form, message, tmp_path):
  adapter = make(text) if text else adapter_lib.Adapter((), {})
  with pytest.raises(errors.UserError, match=message):
    if form == 'peft':
      peft.write(str(tmp_path / 'x'), adapter, tiny.CONFIG)
    else:
      name = 'a.b' if 'dots' in message else 'n'
      adapterhub.write(str(tmp_path / 'x'), name, adapter, {}, tiny.CONFIG)
  assert not (tmp_path / 'x').exists()


def test_what_is_wrong_is_one_line(checkpoint, tmp_path, capsys):
  where = f'--checkpoint={checkpoint}'
  own, foreign = str(tmp_path / 'own'), str(tmp_path / 'foreign')
  exchange.write(own, make('lora[r=2]'), 'own', checkpoint=checkpoint)
  for flags, message in (
      ((f'--from={own}', f'--to={foreign}', '--checkpoint='),
       '--checkpoint: the adapter'),
      ((f'--from={own}', f'--to={own}'), '--to: give another'),
      (('--from=x', '--to='), '--to: name'),
      (('--from=', '--to=x', '--format=own'), '--from: name'),
      ((f'--from={tmp_path}', '--to=x', '--format=own'), 'there is no'),
      (('--from=x', '--to=x', '--format=pefd'), 'mean peft')):
    assert convert('--format=own', '--labels=', where, *flags) == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1, error


def test_an_adapter_of_this_package_keeps_its_base(
    checkpoint, tmp_path, capsys):
  ours, other, to = (str(tmp_path / name) for name in 'abc')
  exchange.write(ours, make('lora[r=2]'), 'own', checkpoint=checkpoint)
  tiny.write_checkpoint(other, seed=1)  # Of equal shape.
  assert convert(f'--from={ours}', f'--to={to}', f'--checkpoint={other}') == 2
  assert 'is not the base that the adapter in' in capsys.readouterr().err
  assert not os.path.exists(to)
  assert convert(
      f'--from={ours}', f'--to={to}', f'--checkpoint={checkpoint}') == 0
  assert adapter_lib.load(to).base == adapter_lib.load(ours).base
