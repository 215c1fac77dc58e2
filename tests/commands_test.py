"""Tests of the command `adapters-jax`, without the work of its commands."""

import importlib
import sys

import pytest

from adapters_jax.api.commands import program


@pytest.mark.parametrize('name', program.NAMES)
def test_the_first_argument_names_the_command(name, monkeypatch):
  command = importlib.import_module(f'adapters_jax.api.commands.{name}')
  seen = []
  monkeypatch.setattr(command, 'start', lambda: seen.append(list(sys.argv)))
  monkeypatch.setattr(sys.modules['__main__'], '__doc__', 'of pytest')
  monkeypatch.setattr(sys, 'argv', ['bin/adapters-jax', name, '--seed=1'])
  program.main()
  assert seen == [[f'bin/adapters-jax {name}', '--seed=1']]
  assert sys.modules['__main__'].__doc__ == command.__doc__


@pytest.mark.parametrize(('arguments', 'status'), (
    ([], 2), (['--seed=1'], 2), (['--help'], 0)))
def test_other_arguments_print_the_commands(
    arguments, status, monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['adapters-jax', *arguments])
  with pytest.raises(SystemExit) as stopped:
    program.main()
  assert stopped.value.code == status
  out, err = capsys.readouterr()
  shown, other = (out, err) if status == 0 else (err, out)
  assert shown.startswith('usage: adapters-jax COMMAND') and not other
  assert all(f'\n  {name} ' in shown for name in program.NAMES)


def test_an_unknown_command(monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['adapters-jax', 'trian'])
  with pytest.raises(SystemExit) as stopped:
    program.main()
  assert stopped.value.code == 2
  assert capsys.readouterr().err == (
      "error: command: unknown 'trian'; did you mean train?\n")
