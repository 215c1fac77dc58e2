"""Tests of --help: groups, defaults, exit status."""

import ast
import dataclasses
import pathlib
import sys

from absl import flags as absl_flags
import pytest

from adapters_jax.api import flags
from adapters_jax.api import help as help_lib
from adapters_jax.api.commands import convert
from adapters_jax.api.commands import sweep
from adapters_jax.runs import config as config_lib
from adapters_jax.sweeps import grid


@dataclasses.dataclass(frozen=True)
class Plain:
  """Flags without a group."""
  size: int = dataclasses.field(default=3, metadata={
      'help': 'Width of it; a longer text.', 'role': '', 'marks': frozenset()})


@pytest.fixture
def values(monkeypatch):
  """Flags of this test alone."""
  found = absl_flags.FlagValues()
  for kind, define in list(flags._DEFINE.items()):
    monkeypatch.setitem(
        flags._DEFINE, kind,
        lambda *args, define=define, **more: define(
            *args, flag_values=found, **more))
  return found


@pytest.mark.parametrize('arguments, wanted', [
    ([], ''), (['--seed=1'], ''), (['-h'], '--help'), (['--help'], '--help'),
    (['--seed=1', '--helpfull'], '--helpfull'), (['--', '--help'], ''),
    (['--helpshort'], '--help')])
def test_help_is_asked_for(arguments, wanted):
  assert help_lib.asked(['--help', *arguments]) == wanted


def test_every_setting_is_in_one_of_the_groups():
  groups = help_lib.grouped((config_lib.Config, grid.Options))
  assert list(groups) == list(help_lib._ORDER)
  names = [name for group in groups.values() for name in group]
  assert sorted(names) == sorted(
      field.name for cls in (config_lib.Config, grid.Options)
      for field in dataclasses.fields(cls))
  assert groups['several hosts'] == [
      'coordinator', 'processes', 'process', 'join_seconds']
  assert {'mesh', 'remat', 'batch_size'} <= {*groups['speed']}
  assert {'seeds', 'grid', 'records'} <= {*groups['many runs']}
  assert help_lib.grouped((Plain,)) == {'flags': ['size']}


def test_texts_and_defaults(values):
  flags.define(config_lib.Config, max_length=384)
  groups = help_lib.grouped((config_lib.Config,))
  short, full = (help_lib.page(groups, long, values) for long in (False, True))
  for text in (short, full):
    assert '\ntask and data:\n  --task=movie_sentiment' in text
    assert '  --max_length=384  ' in text  # As the command defines it.
    assert '  --resume=false  ' in text
    assert "  --workdir=''  " in text
    assert all(f'\n  --{field.name}=' in text
               for field in dataclasses.fields(config_lib.Config))
    assert max(map(len, text.splitlines())) <= 100
    joined = ' '.join(text.split())
    for field in dataclasses.fields(config_lib.Config):
      assert ' '.join(values[field.name].help.split()) in joined
  assert ['--helpfull' in text for text in (short, full)] == [True, False]


@pytest.mark.parametrize('start, title', [
    (sweep.start, '\nmany runs:\n  --preset='), (convert.start, '\nflags:\n')])
def test_a_command_prints_its_help_and_ends(
    start, title, values, monkeypatch, capsys):
  monkeypatch.setattr(absl_flags, 'FLAGS', values)
  monkeypatch.setattr(sys, 'argv', ['program', '--learning_rate=x', '-h'])
  if start is convert.start:
    monkeypatch.setattr(
        convert, 'define_flags',
        lambda define=convert.define_flags: define(values))
  monkeypatch.setattr(
      help_lib, 'page', lambda groups, full, page=help_lib.page: page(
          groups, full, values))
  start()
  out, err = capsys.readouterr()
  assert title in out and not err


@pytest.mark.parametrize('folder', ('adapters_jax', 'experiments', 'scripts'))
def test_docstrings_keep_the_line_breaks_of_commands(folder):
  root = pathlib.Path(__file__).parents[2]
  joined = []
  for path in sorted((root / folder).rglob('*.py')):
    source = path.read_text(encoding='utf-8')
    found = ast.parse(source)
    text = ast.get_docstring(found, clean=False)
    # A backslash at the end of a line is written as two.
    if text and text.count('\n') != ast.get_source_segment(
        source, found.body[0]).count('\n'):
      joined.append(path.name)
  assert joined == []
