"""Settings as flags of a command, and wrong ones in one line."""

import dataclasses
import json
import os
import subprocess
import sys
from unittest import mock

import pytest

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import run
from adapters_jax.runs import setup as setup_lib
from tests import tiny


@pytest.fixture
def config(checkpoint, own_files, tmp_path) -> config_lib.Config:
  return tiny.run_config(checkpoint, own_files, str(tmp_path / 'work'))


@pytest.mark.parametrize('changed, message', [
    ({'task': 'colla', 'train_file': '', 'dev_file': '', 'test_file': ''},
     'task`: .*did you mean cola'),
    ({'checkpoint': 'minilm'}, 'checkpoint`: .*minilm-l6'),
    ({'tune': 'adapter'}, '`tune`: .*adapters'),
    ({'adapter_size': 0}, '`adapter_size=0'),
    ({'adapter_layers': '0-3'}, '`adapter_layers`: there is no layer 3'),
    ({'adapter_sites': 'ffn'}, 'adapter_sites`?: .*ffn_output'),
    ({'activation': 'rely'}, 'activation`?: .*relu'),
    ({'init_scale': -1.0}, '`init_scale=-1.0'),
    ({'max_length': 41}, '`max_length=41`: the model has 40 positions'),
    ({'tune': 'top_k', 'top_k': 4}, '`top_k=4`: the model has 1 layer'),
    ({'learning_rate': 0.0}, '`learning_rate=0.0'),
    ({'precision': 'float16'}, '`precision'),
    ({'head_input': 'mean'}, '`head_input'),
    ({'epochs': 0.0, 'max_steps': 0}, '`epochs'),
    ({'dev_file': ''}, '`dev_file` beside `train_file`'),
    ({'dev_file': 'nowhere.tsv'}, '`dev_file`: there is no file nowhere.tsv'),
    ({'text_columns': 'a,b,c'}, '`text_columns'),
])
def test_wrong_settings_name_the_flag_and_load_nothing(
    config, changed, message):
  loaded = AssertionError('loaded something')
  with mock.patch.object(setup_lib, 'load_data', side_effect=loaded):
    with pytest.raises(errors.UserError, match=message) as error:
      run.run(dataclasses.replace(config, **changed), 'glue')
  assert '\n' not in str(error.value)
  assert not os.path.exists(config.workdir)


def command(*flags, **kwargs):
  return subprocess.run(
      [sys.executable, '-m', 'experiments.glue', *flags], capture_output=True,
      text=True, check=False, **kwargs)


@pytest.mark.slow
def test_command_line(config, checkpoint):
  config = dataclasses.replace(config, buckets=0)
  flags = [f'--{name}={value}' for name, value in dataclasses.asdict(
      config).items() if value != getattr(config_lib.Config(), name)]
  done = command(*flags)
  assert done.returncode == 0, done.stderr
  assert 'saved in' in done.stdout
  wrong = command('--adapter_layers=0-9', '--checkpoint', config.checkpoint)
  assert wrong.returncode == 2
  assert wrong.stderr.strip().splitlines()[-1].startswith(
      'error: --adapter_layers: there is no layer 9')
  assert 'Traceback' not in wrong.stderr
  predicted = subprocess.run(
      [sys.executable, '-m', 'experiments.predict', '--adapter',
       config.workdir, '--checkpoint', config.checkpoint, '--format=jsonl'],
      input='good film\nbad plot\n', capture_output=True, text=True, check=True)
  rows = [json.loads(line) for line in predicted.stdout.splitlines()]
  assert [row['texts'] for row in rows] == [['good film'], ['bad plot']]
  for row in rows:
    assert sum(row['probabilities'].values()) == pytest.approx(1, abs=1e-4)
    assert row['label'] == max(
        row['probabilities'], key=row['probabilities'].get)


@pytest.mark.slow
def test_a_second_process_neither_traces_nor_compiles(
    config, checkpoint, tmp_path):
  config = dataclasses.replace(config, buckets=0)
  names = ('checkpoint', 'train_file', 'dev_file', 'batch_size', 'max_length',
           'buckets')
  flags = [f'--{name}={getattr(config, name)}' for name in names]
  variables = {**os.environ, 'JAX_LOG_COMPILES': '1',
               'ADAPTERS_JAX_CACHE': str(tmp_path / 'cache')}
  adapters, logs = [], []
  for name in 'ab':
    folder = tmp_path / name
    done = command(
        *flags, f'--workdir={folder}', '--max_steps=6', env=variables)
    assert done.returncode == 0, done.stderr
    logs.append(done.stderr)
    [path] = (folder / 'adapter').glob('*.safetensors')
    adapters.append(path.read_bytes())
  for step in 'tracing train_step', 'tracing eval_step':
    assert step in logs[0] and step not in logs[1]
  assert adapters[0] == adapters[1]  # Bit for bit.


@pytest.mark.parametrize('flags, message', [
    (['--adapter_sizes=8'], 'adapter_sizes'),
    (['--adapter_size=big'], 'adapter_size'),
    (['adapter_size=8'], 'not a flag'),
])
def test_flags_that_do_not_parse(flags, message):
  wrong = command(*flags)
  assert wrong.returncode == 2
  assert message in wrong.stderr and 'Traceback' not in wrong.stderr


def test_help_imports_no_arrays():
  script = (
      'import runpy, sys\n'
      'sys.argv = ["glue", "--help"]\n'
      'try:\n'
      '  runpy.run_module("experiments.glue", run_name="__main__")\n'
      'finally:\n'
      '  heavy = {"jax", "numpy", "flax"} & set(sys.modules)\n'
      '  assert not heavy, heavy\n')
  done = subprocess.run(
      [sys.executable, '-c', script], capture_output=True, text=True,
      check=False)
  assert '--adapter_size' in done.stdout
  assert 'AssertionError' not in done.stderr, done.stderr


def test_every_setting_is_a_flag():
  help_text = command('--help').stdout
  for field in dataclasses.fields(config_lib.Config):
    assert f'--{field.name}' in help_text or f'--[no]{field.name}' in help_text
