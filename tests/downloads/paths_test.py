"""Tests of paths that a user gives."""

import errno
import pathlib
import pwd

import absl.flags
import pytest

from adapters_jax import errors
from adapters_jax.adapters import folders
from adapters_jax.api import flags
from adapters_jax.downloads import disk
from adapters_jax.downloads import paths
from adapters_jax.downloads import pinned


def test_strings_and_paths():
  assert paths.text('a/b', 'path') == 'a/b'
  assert paths.text(pathlib.Path('a/b'), 'path') == 'a/b'
  for value in (None, 3, b'a', object()):
    with pytest.raises(
        errors.UserError, match=f'`path`.*not {type(value).__name__}'):
      paths.text(value, 'path')


def test_home_folders_of_arguments(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert paths.text('~/x', 'path') == f'{tmp_path}/x'
  assert paths.text(pathlib.Path('~'), 'path') == str(tmp_path)
  assert paths.target('~/x', 'path', '.npz') == f'{tmp_path}/x.npz'
  for other in ('a/~', './~/x', '~no.such.user/x'):
    assert paths.text(other, 'path') == other


def test_places_to_write(tmp_path):
  file = tmp_path / 'file'
  file.write_text('x')
  for place in (tmp_path, tmp_path / 'new' / 'inner'):
    assert paths.target(place, 'to') == str(place)
  wanted = str(tmp_path / 'x.npz')
  for name in ('x', 'x.npz'):
    assert paths.target(tmp_path / name, 'to', '.npz') == wanted
  (tmp_path / 'y.npz').mkdir()
  for place, end, message in (
      (file, '', 'file is no folder'),
      (tmp_path / 'x.safetensors', '', 'x.safetensors`: give a folder, as sev'),
      (tmp_path / 'x.npz', '', 'x.npz`: give a folder'),
      (file / 'x', '', 'file is no folder'),
      (file / 'x', '.npz', 'file is no folder'), ('', '', 'empty'),
      (tmp_path / 'y.npz', '.npz', 'it is a folder')):
    with pytest.raises(errors.UserError, match=f'`to.*{message}'):
      paths.target(place, 'to', end)


@pytest.mark.parametrize('flag, wanted', [
    ('~', '/me'), ('~/x', '/me/x'), ('a=~/x,~/y', 'a=/me/x,/me/y'),
    ('checkpoint=~/a|~/b', 'checkpoint=/me/a|/me/b'), ('./~/x', './~/x'),
    ('/a/~x', '/a/~x'), ('~no.such.user/x', '~no.such.user/x'), ('', ''),
    ('lora[r=8]', 'lora[r=8]')])
def test_home_folders_in_flags(flag, wanted, monkeypatch):
  monkeypatch.setenv('HOME', '/me')
  assert paths.at_home(flag, 'start') == wanted


@pytest.fixture
def homeless(monkeypatch, tmp_path):
  """A user without HOME and a passwd entry, as in some containers."""

  def getpwuid(number):
    raise KeyError(number)

  monkeypatch.setattr(pwd, 'getpwuid', getpwuid)
  for name in ('HOME', 'XDG_CACHE_HOME', 'ADAPTERS_JAX_CACHE'):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize('name, call', [
    ('from', lambda: paths.text('~/x', 'from')),
    ('to', lambda: paths.target('~', 'to')),
    ('start', lambda: paths.at_home('a=x,b=~/x', 'start')),
    ('adapters', lambda: folders.parse('a=~/x')),
    ('start', lambda: folders.absolute_of('~/x', 'start')),
    ('ADAPTERS_JAX_CACHE', pinned.cache_dir)])
def test_a_user_without_a_home_folder(homeless, name, call):
  with pytest.raises(
      errors.UserError, match=f'^`{name}`: there is no home folder for ~[^\n]*'
      'or set HOME$'):
    call()


def test_paths_without_a_home_folder(homeless, monkeypatch):
  for path in ('', 'a/~', './~/x', '~no.such.user/x', '~x'):
    assert paths.text(path, 'path') == path
  # An error of another file is not hidden by that of the cache.
  found = disk.user_error(OSError(errno.EACCES, 'Permission denied', '/x'))
  assert str(found) == '/x: Permission denied'
  monkeypatch.setenv('ADAPTERS_JAX_CACHE', '/cache')
  assert pinned.cache_dir() == '/cache'


def test_flags_without_a_home_folder(homeless, monkeypatch, capsys):
  known = absl.flags.FlagValues()
  absl.flags.DEFINE_string('start', '', 'help', flag_values=known)
  monkeypatch.setattr(absl.flags, 'FLAGS', known)
  with pytest.raises(SystemExit):
    flags.parse_argv(['train', '--start=~/x'])
  assert capsys.readouterr().err.startswith(
      'error: --start: there is no home folder for ~;')
