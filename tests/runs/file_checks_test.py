"""Tests of faults in files, which show before JAX is imported."""

import logging
import os
import subprocess
import sys

import pytest

from adapters_jax import errors
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import file_checks
from adapters_jax.runs import own_data


def test_files_are_read_once(own_files, tmp_path, monkeypatch, caplog):
  test = tmp_path / 'test.tsv'
  test.write_text('sentence\nfine\n')  # Without labels, which is a message.
  config = config_lib.Config(**{**own_files, 'test_file': str(test)})
  reads = []
  read = own_data._read
  monkeypatch.setattr(
      own_data, '_read', lambda config: reads.append(1) or read(config))
  caplog.set_level(logging.INFO)
  own_data.read_ahead(config)
  assert len(reads) == 1 and not caplog.messages
  task, splits = own_data.read(config)
  assert len(reads) == 1 and task.labels == ('no', 'yes')
  assert [message for message in caplog.messages if 'no labels' in message]
  assert not splits['test'].labelled
  own_data.read(config)  # Nothing is kept for a second one.
  assert len(reads) == 2
  own_data.read_ahead(config)
  test.write_text('sentence\nfine\nfine\n')
  assert len(own_data.read(config)[1]['test']) == 2  # The file has changed.
  own_data.read_ahead(config_lib.Config())  # Forgets; has no files itself.
  assert not own_data._ahead


def test_absent_files_and_adapters(own_files, tmp_path):
  wrong = config_lib.Config(**{**own_files, 'dev_file': 'none.tsv'})
  with pytest.raises(errors.UserError, match='`dev_file`: there is no file'):
    file_checks.check(wrong)
  (tmp_path / 'config.json').write_text('{"format": 1}')
  with pytest.raises(errors.UserError, match='no tuned.safetensors'):
    file_checks.check(config_lib.Config(adapters=str(tmp_path)))
  for checkpoint, message in (
      ('./none', 'no folder ./none'), (os.path.dirname(tmp_path), 'config')):
    with pytest.raises(errors.UserError, match=f'`checkpoint`.*{message}'):
      file_checks.check(config_lib.Config(checkpoint=checkpoint))


@pytest.mark.slow
@pytest.mark.parametrize(('command', 'arguments', 'message'), [
    ('train', ['--train_file={dev}', '--dev_file=none'], 'no file none'),
    ('train', ['--train_file={dev}', '--dev_file={dev}',
               '--text_columns=texts'], "no column 'texts'"),
    ('train', ['--adapters={folder}'], 'no saved adapter'),
    ('predict', ['--adapter={folder}'], 'no saved adapter'),
    ('serve', ['--adapters={folder}'], 'no saved adapter'),
    ('demo', ['--adapters={folder}'], 'no saved adapter')])
def test_faults_show_before_jax_is_imported(
    command, arguments, message, own_files, tmp_path):
  given = [argument.format(dev=own_files['dev_file'], folder=tmp_path)
           for argument in arguments]
  program = f'''
import sys
from adapters_jax.api.commands import {command}
sys.argv = {[command, *given]!r}
try:
  {command}.start()
finally:
  print('jax' in sys.modules)
'''
  done = subprocess.run(
      [sys.executable, '-c', program], capture_output=True, text=True,
      check=False)
  assert (done.returncode, done.stdout) == (2, 'False\n'), done.stderr
  assert message in done.stderr and done.stderr.count('\n') == 1
