"""Tests of scripts.style_report on files of known figures."""

import textwrap

import pytest

from scripts import style_report

_METHOD = '''
  class Scale:
    """Scales a sublayer."""
    factor: float = 1.0
'''
_CODE = '''
  #!/usr/bin/env python
  """What it does, and what it does not."""

  from adapters_jax.methods import scale


  @decorated
  def factor_of(config, default):
    """Returns a number.

    Args:
      config: Of the run.
      default: A number.
    """
    # The authors' files lack it.
    if isinstance(config, scale.Scale):
      return config.factor
    return getattr(config, 'factor', default)  # noqa: B009


  class Scale:

    def __call__(self, x, y):
      """No entries."""

    def one(self, x):
      return getattr(x, 'name', '') or isinstance(x, str)

    def _private(self, x, y):
      pass
'''
_README = '''
  # Title
  what `what` [text](what.md)

  ```bash
  what
  ```
'''


@pytest.fixture
def figures(tmp_path) -> dict[str, tuple[str, list[str]]]:
  for path, text in (
      ('adapters_jax/methods/scale.py', _METHOD),
      ('adapters_jax/other.py', _CODE), ('README.md', _README)):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(textwrap.dedent(text).lstrip('\n'))
  return {name: rest for name, *rest in style_report.report(str(tmp_path))}


@pytest.mark.parametrize(('name', 'value'), (
    # Without decorators: 11, 2, 2 and 2 lines.
    ('lines of a function', 'median 2, 90 % 11, longest 11'),
    ('lines of a file', 'median 16.5, 90 % 30, longest 30'),
    # 3 in 32 words: 24 of docstrings, 5 of comments and 3 of README.
    ("'what' in 1,000 words of prose", '93.8'),
    ("entries 'name: Of ...'", '1'),
    # factor_of and __call__.
    ('functions of 2 or more parameters with Args', '50 % of 2'),
    # One, neither the interpreter's nor the linter's, on 14 lines.
    ('comments in 100 lines of code', '7.1'),
    ('probes of methods outside methods/', '2'),
    ('public names of 2 or more modules', '1'),
    ('words of README.md', '8')))
def test_figures(figures, name, value):
  assert figures[name][0] == value


def test_places(figures):
  assert figures['probes of methods outside methods/'][1] == [
      'adapters_jax/other.py:16', 'adapters_jax/other.py:18']
  assert figures['public names of 2 or more modules'][1] == [
      'Scale: adapters_jax/other.py, adapters_jax/methods/scale.py']
  assert figures['functions of 2 or more parameters with Args'][1] == [
      'adapters_jax/other.py:23 __call__']


def test_the_command_prints_each_figure(figures, tmp_path, capsys):
  style_report.main([f'--root={tmp_path}', '--places'])
  lines = capsys.readouterr().out.splitlines()
  assert {name for name in figures} == {
      line[:45].strip() for line in lines if line[0] != ' '}
  assert '  adapters_jax/other.py:16' in lines
