"""Messages of `train` name its own arguments, those of commands their flags."""

import dataclasses
import re
import tempfile

import optax
import pytest

import adapters_jax as aj
from adapters_jax import errors
from adapters_jax.adapters import folders
from adapters_jax.api import train_names
from adapters_jax.api import train_settings
from adapters_jax.methods import strings
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import frozen
from adapters_jax.training import steps
from tests.adapters import merging_test

EXAMPLES = aj.Examples(['good', 'bad'] * 8, ['yes', 'no'] * 8)


@pytest.fixture(scope='module')
def adapter():
  return merging_test.adapter('seq_bn')


@pytest.mark.parametrize('arguments, message', [
    ({'method': 'fusion'},
     r"`method='fusion'`: .*`under=\{'one': ..., 'two': ...\}`"),
    ({'setup': 'stack(a, b)'},
     r'`setup=stack\(a, b\)`: is for frozen adapters; give `under`'),
    ({'method': 'full', 'under': True},
     r"`under=\{'a': ...\}`: stay .*`method='full'` trains; give a `method`"),
    ({'method': 'fusion', 'under': True},
     "`under`: `method='fusion'` fuses two or more"),
    ({'adapter_drop': '0', 'method': 'full'},
     "`adapter_drop=0`: goes with a `method` such as 'lora', and without "
     "`method='full'`"),
    ({'adapter_size': 8}, r'write it into `method`, as in houlsby\[size=8\]'),
    ({'adapters': 'a=DIR'}, r"'adapters' .*give `under=\{'a': ...\}`"),
    ({'tune': 'full'}, "'tune' .*give `method`"),
    ({'checkpoint': 'minilm-l6'}, "'checkpoint' .*give `base`"),
    ({'data_dir': 'x'}, '`data_dir=x`: is for a task by name; leave it out'),
    ({'label_separator': ';'}, "'label_separator' is a setting of the comm"),
    ({'choice_columns': 'a'}, "'choice_columns' is a setting of the comm"),
    ({'dev_file': 'dev.tsv'}, "'dev_file' .*give `dev`"),
    ({'workdir': 'runs/a'}, "'workdir' is a setting of the commands; leave it "
     'out, or run `adapters-jax train --workdir=...`$'),
    ({'resume': True},
     'leave it out, or run `adapters-jax train --workdir=... --resume`$'),
    ({'track': 'jsonl'}, 'run `adapters-jax train --track=...`$'),
    ({'label_column': 'y'},
     'run `adapters-jax train --train_file=... --label_column=...`$'),
    ({'epoch': 3}, "unknown 'epoch'; did you mean epochs"),
    ({'lr': 1e-3}, "unknown 'lr'; did you mean learning_rate"),
    ({'num_train_epochs': 3}, "did you mean epochs")])
def test_arguments_are_those_of_python(base, adapter, arguments, message):
  if 'under' in arguments:
    arguments = {**arguments, 'under': {'a': adapter}}
  with pytest.raises(aj.UserError, match=message) as found:
    aj.train(base, EXAMPLES, **arguments)
  assert tempfile.gettempdir() not in str(found.value)


def test_commands_in_messages_have_the_flags():
  fields = [field.name for field in dataclasses.fields(config_lib.Config)]
  for name in train_settings.NOT_SETTINGS:
    found = train_names.advice(name)
    if command := re.search('`adapters-jax (.*)`', found):
      _, *flags = command[1].replace('=...', '').split()
      assert f'--{name}' in flags
      assert {flag.removeprefix('--') for flag in flags} <= {
          *fields, 'experiment=embeddings'}


@pytest.mark.parametrize('method, field, example', [
    ('', {'r': 8}, 'lora[r=8]'), ('vera[r=4]|ia3', {'r': 8}, 'vera[r=8]'),
    ('lora', {'lora_alpha': 8}, 'lora[alpha=8]'),
    ('', {'target_modules': ['q']}, 'lora[sites=...]'),
    ('', {'reduction_factor': 8}, 'bottleneck[reduction_factor=8]'),
    ('seq_bn', {'reduction_factor': 8}, 'seq_bn[reduction_factor=8]'),
    ('lora', {'rank': 8}, 'lora[r=8]'), ('full', {'use_rslora': True},
                                         'lora[rank_stabilized=True]'),
    ('lora', {'prefix_length': 8}, 'prefix_tuning[prefix_length=8]')])
def test_fields_of_methods(method, field, example):
  name, = field
  with pytest.raises(aj.UserError) as found:
    train_settings.check_names(field, EXAMPLES, method)
  assert str(found.value) == (
      f'setting: {name!r} is a field of the method; write it there, as in '
      f'`method={example!r}`')
  if '...' not in example:
    assert strings.parse(example)


@pytest.mark.parametrize('name, wanted', [
    ('bias', "`method='bias'` trains the biases of the base"),
    ('modules_to_save', 'are trained and saved with the adapter'),
    ('task_type', '`data` decides on the kind of task'),
    ('bf16', 'did you mean precision?'), ('fp16', 'did you mean precision?'),
    ('gradient_checkpointing', 'did you mean remat?'),
    ('gradient_accumulation_steps', 'did you mean accumulate?'),
    ('max_grad_norm', 'did you mean clip_norm?'),
    ('early_stopping_patience', 'did you mean patience?'),
    ('eval_dataset', 'did you mean dev?'), ('val', 'did you mean dev?'),
    ('init_from', 'did you mean start?'), ('rng', 'did you mean seed?'),
    ('pos_weight', 'did you mean class_weights?'),
    ('test_size', 'without `dev`, a tenth of `data` is held out'),
    ('problem_type', '`data` decides on the kind of task'),
    ('save_dir', r'save it with `adapter.save\(DIR\)`'),
    ('tqdm', "the logger 'adapters_jax'"), ('callback', '`adapter.history`'),
    ('metod', 'did you mean method?'),
    ('warmup_steps', '`warmup`, the share of the steps that warms up'),
    ('lr_scheduler_type', 'falls linearly to 0; `optimizer`'),
    ('lr_schedule', 'falls linearly to 0; `optimizer`'),
    *((name, r'see docs/how_it_works.md; `Adapter\(methods, tuned')
      for name in ('loss', 'loss_fn', 'criterion', 'tx')),
    ('output_dir', r'save it with `adapter.save\(DIR\)`'),
    ('save_steps', r'save it with `adapter.save\(DIR\)`'),
    ('callbacks', '`adapter.history`'), ('report_to', '`adapter.history`'),
    ('label_names', 'the labels of `data` are the classes.*their `names`')])
def test_names_of_other_libraries(name, wanted):
  with pytest.raises(aj.UserError, match=f'^setting: .*; .*{wanted}'):
    train_settings.check_names({name: 1})


def test_objects_of_optax_as_values():
  for given, message in (
      ({'optimizer': optax.adamw(1e-3)},
       "`optimizer`: give adam or adapter_bert as a string; .* the loop "
       'yourself, see docs/how_it_works.md'),
      ({'learning_rate': optax.constant_schedule(1e-3)},
       '`learning_rate`: give a number; the rate rises over `warmup`')):
    with pytest.raises(aj.UserError, match=f'^{message}'):
      train_settings.check_names(given)
  train_settings.check_names({'optimizer': 'adam', 'learning_rate': 1e-3})


def test_suggestions_are_settings_that_train_takes():
  for name, setting in train_names.SAME.items():
    if setting not in train_names.ARGUMENTS:
      train_settings.check_names({setting: 1})
    with pytest.raises(aj.UserError, match=f'did you mean {setting}'):
      train_settings.check_names({name: 1})


def test_no_message_names_the_temporary_folder(base, adapter):
  head = {name: leaf + float('nan')
          for name, leaf in adapter.tuned['head'].items()}
  damaged = dataclasses.replace(adapter, tuned={**adapter.tuned, 'head': head})
  with pytest.raises(
      aj.UserError, match="^`under`: adapter 'a': `tuned` has NaN"):
    aj.train(base, EXAMPLES, under={'a': damaged})
  with pytest.raises(aj.UserError, match='^the adapter of `start`: `tuned`'):
    aj.train(base, EXAMPLES, start=damaged)


def test_a_comma_in_the_path_of_temporary_files(
    base, adapter, tmp_path, monkeypatch):
  folder = tmp_path / 'a,b=c'
  folder.mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(folder))
  with pytest.raises(aj.UserError, match=(
      r"^`under=\{'a': ..., 'b': ...\}`: stay frozen .*`method='full'`")):
    aj.train(base, EXAMPLES, method='full', under={'a': adapter, 'b': adapter})
  bank = {'a': adapter, 'b.c': adapter}
  with frozen.saved(bank, '') as settings:
    whole = frozen.of(config_lib.Config(
        checkpoint=base.checkpoint, precision='float32', **settings))
    assert [name for name, _ in whole.members] == ['a', 'b.c']
  assert not list(folder.iterdir())


@pytest.mark.parametrize('name', ['.', '..', '...', '', 0, None, 'a/b', 'a,b'])
def test_names_of_frozen_adapters(base, adapter, name):
  with pytest.raises(aj.UserError, match='^`under`: .* is no name; give a'):
    aj.train(base, EXAMPLES, under={name: adapter})


def test_faults_of_frozen_adapters_name_them(adapter):
  bank = {f'm{number}': adapter for number in range(12)}
  with pytest.raises(aj.UserError, match='^m11: m1$'):
    with frozen.saved(bank, '') as settings:
      paths = folders.parse(settings['adapters'])
      raise errors.UserError(f'{paths["m11"]}: {paths["m1"]}')


def test_an_adapter_of_another_base(base, adapter):
  other = dataclasses.replace(adapter, base='other@0')
  for call in (lambda: aj.predict(base, other, ['a']),
               lambda: aj.train(base, EXAMPLES, under=other)):
    with pytest.raises(aj.UserError, match='^`base`: .*is not the base') as got:
      call()
    assert errors.as_flags(str(got.value), {'checkpoint'}).startswith(
        '--checkpoint: ')
    assert errors.as_flags(str(got.value), ()).startswith('base: ')


def test_commands_name_their_flags():
  for values, message in (
      ({'tune': 'fusion'}, '--tune=fusion: name the adapters to fuse, as in '
       '--adapters=one=DIR,two=DIR'),
      ({'setup': 'stack(a, b)'},
       '--setup=stack(a, b): is for frozen adapters; give --adapters')):
    with pytest.raises(aj.UserError) as found:
      config_lib.Config(**values)
    assert errors.as_flags(
        str(found.value), {'tune', 'adapters', 'setup'}) == message


def test_errors_keep_their_type_and_cause():
  with pytest.raises(steps.NotFinite, match='`base`: x') as found:
    with train_names.arguments():
      raise steps.NotFinite('`checkpoint`: x') from KeyError('a')
  assert isinstance(found.value.__cause__, KeyError)
