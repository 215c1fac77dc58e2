"""Names in files of other libraries, and refusals, for each family."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import exchange
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import adapterhub_heads
from adapters_jax.adapters.formats import models
from adapters_jax.adapters.formats import peft
from adapters_jax.adapters.formats import peft_reading
from adapters_jax.adapters.formats import peft_writing
from adapters_jax.model import heads
from adapters_jax.model import shapes
from adapters_jax.training import selections
from adapters_jax.training import sharding
from tests import tiny_families
from tests.adapters.formats import family_cases

# {case: start of the names of layer 1}
LAYERS = {
    'roberta': 'roberta.encoder.layer.1.',
    'xlm-roberta': 'roberta.encoder.layer.1.',
    'camembert': 'roberta.encoder.layer.1.',
    'mpnet': 'mpnet.encoder.layer.1.', 'electra': 'electra.encoder.layer.1.',
    'deberta': 'deberta.encoder.layer.1.',
    'distilbert': 'distilbert.transformer.layer.1.'}
# {case: (linear layers of LoRA at query and value, at attention_output,
# intermediate and ffn_output)}
LINEARS = {
    **dict.fromkeys(('roberta', 'xlm-roberta', 'camembert', 'electra'), (
        ('attention.self.query', 'attention.self.value'),
        ('attention.output.dense', 'intermediate.dense', 'output.dense'))),
    'mpnet': (('attention.attn.q', 'attention.attn.v'),
              ('attention.attn.o', 'intermediate.dense', 'output.dense')),
    'deberta': (('attention.self.query_proj', 'attention.self.value_proj'),
                ('attention.output.dense', 'intermediate.dense',
                 'output.dense')),
    'distilbert': (('attention.q_lin', 'attention.v_lin'),
                   ('attention.out_lin', 'ffn.lin1', 'ffn.lin2'))}
# {case: (list for query and value, list for attention_output)}
TARGETS = {
    **dict.fromkeys(('roberta', 'xlm-roberta', 'camembert', 'electra'), (
        ['query', 'value'], ['attention.output.dense'])),
    'mpnet': (['q', 'v'], ['o']),
    'deberta': (['query_proj', 'value_proj'], ['attention.output.dense']),
    'distilbert': (['q_lin', 'v_lin'], ['out_lin'])}
# {case: (modules of adapters after the attention and after the feed-forward)}
BOTTLENECKS = {
    **dict.fromkeys(('roberta', 'xlm-roberta', 'deberta', 'electra'), (
        'attention.output.adapters', 'output.adapters')),
    'distilbert': ('attention_adapters.adapters', 'output_adapters.adapters')}
CLASSES = {'roberta': 'Roberta', 'xlm-roberta': 'XLMRoberta',
           'distilbert': 'DistilBert', 'deberta': 'DebertaV2',
           'electra': 'Electra'}


def family_of(case):
  return tiny_families.config(case).family


def of_layer(names, case):
  """Returns the names of layer 1 below the layer, without their ends."""
  start = LAYERS[case]
  return {name.partition(start)[2] for name in names if start in name}


@pytest.mark.parametrize('case', BOTTLENECKS)
def test_names_of_adapterhub(case):
  adapter = family_cases.make(case, 'bottleneck[size=4]')
  tensors = adapterhub.to_tensors('n', adapter, family_of(case))
  assert of_layer(tensors, case) == {
      f'{module}.n.{end}.{leaf}' for module in BOTTLENECKS[case]
      for end in ('adapter_down.0', 'adapter_up')
      for leaf in ('weight', 'bias')}
  lora = adapterhub.to_tensors(
      'n', family_cases.make(case, 'lora[r=2]'), family_of(case))
  assert of_layer(lora, case) == {
      f'{module}.loras.n.lora_{leaf}' for module in LINEARS[case][0]
      for leaf in 'AB'}


@pytest.mark.parametrize('case', BOTTLENECKS)
def test_the_pool_of_prefixes_in_adapterhub(case):
  """`adapters` names DistilBERT's attention unlike the others'."""
  tensors = adapterhub.to_tensors(
      'n', family_cases.make(case, 'prefix_tuning_flat', None),
      family_of(case))
  prefix, end = LAYERS[case].partition('.')[0], (
      'self' if case == 'distilbert' else 'self_prefix')
  assert list(tensors) == [
      f'{prefix}.prefix_tuning.prefix_tunings.n.{end}.control_trans']


@pytest.mark.parametrize('case', BOTTLENECKS)
def test_a_folder_of_adapterhub_and_back(case, tmp_path):
  adapter = dataclasses.replace(
      family_cases.make(case, 'bottleneck[size=4]', norms=True),
      labels=('a', 'b', 'c'))
  shape = tiny_families.config(case)
  adapterhub.write(str(tmp_path), 'n', adapter, {}, shape, 'owner/base')
  values = json.loads((tmp_path / adapterhub.CONFIG).read_text())
  named = [values[f'model_{word}'] for word in ('type', 'class', 'name')]
  assert named == [
      family_of(case), f'{CLASSES[case]}AdapterModel', 'owner/base']
  found = adapterhub.read(str(tmp_path), shape)[1]
  assert (found.family, found.head_input, found.labels) == (
      family_of(case), 'pooler', ('a', 'b', 'c'))
  jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
  bare = adapterhub.read(str(tmp_path), shape, head=False)[1]
  assert bare.outputs is None and 'pooler' not in bare.tuned


@pytest.mark.parametrize('case', LINEARS)
def test_names_of_peft(case):
  shape, (inner, outer) = tiny_families.config(case), LINEARS[case]
  values, tensors = peft_writing.to_tensors(
      family_cases.make(case, 'lora[r=2]', None), shape)
  assert values['target_modules'] == TARGETS[case][0]
  assert of_layer(tensors, case) == {
      f'{module}.lora_{leaf}.weight' for module in inner for leaf in 'AB'}
  assert all(name.startswith('base_model.model.') for name in tensors)
  values, tensors = peft_writing.to_tensors(family_cases.make(
      case, 'lora[r=2, sites=["attention_output"]]', None), shape)
  assert values['target_modules'] == TARGETS[case][1]
  values, tensors = peft_writing.to_tensors(family_cases.make(
      case, 'lora[r=2, sites=["attention_output", "intermediate", '
      '"ffn_output"], leave_out=[0]]', None), shape)
  start = LAYERS[case].partition('.')[2]
  assert values['target_modules'] == [start + module for module in outer]


@pytest.mark.parametrize('case', family_cases.PEFT)
def test_a_folder_of_peft_and_back(case, tmp_path):
  adapter = family_cases.make(case, 'lora[r=2]', 'peft', norms=True)
  shape = tiny_families.config(case)
  peft.write(str(tmp_path), adapter, shape, model='owner/base')
  values = json.loads((tmp_path / peft.CONFIG).read_text())
  assert values['base_model_name_or_path'] == 'owner/base'
  assert values['modules_to_save'][0] == 'classifier'
  found = peft.read(str(tmp_path), shape)
  assert found.family == shape.family
  assert found.head_input == family_cases.HEADS.get(case, 'pooler')
  jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)
  if found.head_input != 'pooler':
    return
  # The first layer of the head is that of the base where it was not trained.
  pooler = adapter.tuned.pop('pooler')
  _, tensors = peft_writing.to_tensors(adapter, shape, {'pooler': pooler})
  assert np.array_equal(
      tensors['base_model.model.classifier.dense.weight'], pooler['kernel'].T)
  bare = peft_reading.from_tensors(values, tensors, shape, head=False)
  assert bare.outputs is None


@pytest.mark.parametrize('case', ('mpnet', 'distilbert', 'electra'))
def test_layer_norms_alone(case):
  adapter, shape = family_cases.make(case, '', 'tokens', norms=True), (
      tiny_families.config(case))
  values, tensors = peft_writing.to_tensors(adapter, shape)
  norms = {'mpnet': 'encoder.layer.0.attention.LayerNorm',
           'distilbert': 'transformer.layer.0.sa_layer_norm',
           'electra': 'encoder.layer.0.attention.output.LayerNorm'}[case]
  assert norms in values['target_modules']
  assert f'base_model.model.{case}.{norms}.ln_tuning_layers.bias' in tensors
  found = peft_reading.from_tensors(values, tensors, shape)
  jax.tree.map(np.testing.assert_array_equal, found.tuned, adapter.tuned)


@pytest.mark.parametrize('case, name, first', [
    ('distilbert', 'cls_relu', 'pre_classifier'),
    ('deberta', 'cls_gelu', 'pooler.dense'),
    ('mpnet', 'pooler', 'classifier.dense')])
def test_heads_of_other_layers_are_refused(case, name, first):
  shape = tiny_families.config(case)
  for head_input in {'pooler', 'cls', 'cls_gelu', 'cls_relu'} - {name}:
    adapter = family_cases.make(case, 'lora[r=2]', head_input)
    with pytest.raises(errors.UserError, match=f'`head_input={name}`'):
      peft_writing.to_tensors(adapter, shape)
  tensors = {f'{stem}.weight': np.ones((5, 12), np.float32)
             for stem in (first, models.FOREIGN[shape.family].classifier[2])}
  tree, found = adapterhub_heads.head_tree(None, tensors, shape.family)
  assert found == name and ('head_first' in tree) == (name != 'pooler')


def test_a_head_with_a_layer_of_its_own_trains_it():
  config = dataclasses.replace(tiny_families.config('electra'), layers=1)
  tree = shapes.of(heads.make(config, (), 3, 'cls_gelu'))
  found, _ = trees.split(tree, selections.TUNE['head'](1))
  assert {path: leaf.shape for path, leaf in trees.flatten(found).items()} == {
      'head/bias': (3,), 'head/kernel': (12, 3),
      'head_first/bias': (12,), 'head_first/kernel': (12, 12)}
  for path in trees.flatten(found):
    assert sharding.spec_of(path, (12, 12), {'fsdp': 2}) == (
        sharding.P(None, None))


@pytest.mark.parametrize('case', ('bert', *family_cases.PEFT))
def test_classification_head_of_transformers(case):
  names = tiny_families.names_of(case)
  family = tiny_families.config(case).family
  first, _, second = models.FOREIGN[family].classifier
  modules = {name.rpartition('.')[0]
             for name in names['AutoModelForSequenceClassification']}
  if case == 'bert':  # Its first layer is its pooler.
    assert first.removeprefix('bert.') + '.weight' in names['bare']
    modules.add(first)
  assert modules == {first, second}


@pytest.mark.parametrize('case', ('distilbert', 'electra'))
def test_a_pooler_that_a_family_lacks(case):
  tensors = {'heads.n.1.weight': np.ones((3, 12)), 'heads.n.1.bias': np.ones(3)}
  values = {'config': {'head_type': 'classification', 'use_pooler': True}}
  with pytest.raises(errors.UserError, match=f'{case} has no pooler'):
    adapterhub_heads.read(values, tensors, tiny_families.config(case))


@pytest.mark.parametrize('case', ('mpnet', 'deberta', 'distilbert'))
def test_prefixes_that_peft_lacks(case):
  text = 'prefix_tuning_flat[shift_positions=true, prefix_length=3]'
  with pytest.raises(errors.UserError, match=f'no prefix tuning for {case}'):
    peft_writing.to_tensors(
        family_cases.make(case, text, None), tiny_families.config(case))


@pytest.mark.parametrize('text', ('prompt_tuning', 'seq_bn_inv'))
def test_what_adapterhub_has_before_the_wider_layer(text, tmp_path):
  adapter = family_cases.make('electra-small', text)
  with pytest.raises(errors.UserError, match='from 10 to 12'):
    adapterhub.write(str(tmp_path), 'n', adapter, {},
                     tiny_families.config('electra-small'))
  assert not list(tmp_path.iterdir())


def test_a_prompt_is_as_wide_as_the_words():
  text = 'prompt_tuning[prompt_length=3, combine=words]'
  values, _ = peft_writing.to_tensors(
      family_cases.make('electra-small', text, None),
      tiny_families.config('electra-small'))
  assert values['token_dim'] == 10


@pytest.mark.parametrize('family, form, message', [
    ('mpnet', 'adapterhub', "mpnet cannot be .*; 'peft' and 'own' hold them"),
    ('camembert', 'adapterhub', 'adapters of camembert'),
    ('roberta', 'adapter_bert', 'adapters of roberta'),
    ('modernbert', 'adapterhub', "random biases.*; 'peft' and 'own' hold")])
def test_formats_without_a_family(family, form, message, tmp_path):
  adapter = dataclasses.replace(
      family_cases.make('roberta', 'bottleneck[size=4]'), family=family)
  path = str(tmp_path / 'x')
  with pytest.raises(errors.UserError, match=f'`format={form}`.*{message}'):
    exchange.write(path, adapter, form)
  assert not (tmp_path / 'x').exists()


def test_an_export_with_the_layer_of_the_base(tmp_path):
  """Of a run with `head_input=pooler`, whose pooler is frozen."""
  folder = tiny_families.write_checkpoint('roberta', str(tmp_path / 'base'))
  adapter = family_cases.make('roberta', 'lora[r=2]')
  del adapter.tuned['pooler']
  out = str(tmp_path / 'out')
  with pytest.raises(errors.UserError, match='`base`: the head reads'):
    exchange.write(out, adapter, 'peft')
  exchange.write(out, adapter, 'peft', checkpoint=folder)
  shape = tiny_families.config('roberta')
  found = exchange.read(out, shape)
  assert found.family == 'roberta' and found.max_length == 44
  np.testing.assert_array_equal(
      found.tuned['pooler']['kernel'],
      tiny_families.tensors('roberta')['pooler.dense.weight'].T)
  exchange.write(str(tmp_path / 'bare'), adapter, 'peft', head=False,
                 checkpoint=folder)
  bare = exchange.read(str(tmp_path / 'bare'), shape)
  assert {trees.role(path) for path in trees.flatten(bare.tuned)} == {'adapter'}
  with pytest.raises(errors.UserError, match='it is a roberta.*for a mpnet'):
    exchange.write(
        out, dataclasses.replace(adapter, family='mpnet'), 'peft',
        checkpoint=folder)


@pytest.mark.parametrize(
    'form', ('adapterhub', 'peft', 'adapter_bert', 'transformers'))
def test_a_family_without_a_row_is_refused(form, tmp_path, monkeypatch):
  monkeypatch.delitem(models.FOREIGN, 'roberta')
  base = tiny_families.write_checkpoint('roberta', str(tmp_path / 'base'))
  end = '.npz' if form == 'adapter_bert' else ''
  with pytest.raises(errors.UserError, match=f"`format={form}`: adapters of "
                     "roberta cannot be exchanged in it; 'own' holds them"):
    exchange.write(tmp_path / f'x{end}', family_cases.make(
        'roberta', 'lora[r=2]'), form, checkpoint=base)
