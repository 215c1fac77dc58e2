import errno

import pytest

from adapters_jax import errors
from adapters_jax.downloads import disk


def error(code, path):
  return OSError(code, 'reason', path)


@pytest.mark.parametrize('found, words', [
    (error(errno.ENOSPC, '/a/b/c'), '`workdir`: /a/b/c: reason; make room'),
    (error(errno.EACCES, '/a/b'), '`workdir`: /a/b: reason; check its perm'),
    (error(errno.EROFS, '/cache/x'), 'set ADAPTERS_JAX_CACHE'),
    (error(errno.ENOENT, b'/a/bc'), '/a/bc: reason$'),
])
def test_the_argument_that_chose_the_place_is_named(found, words, monkeypatch):
  monkeypatch.setenv('ADAPTERS_JAX_CACHE', '/cache')
  with pytest.raises(errors.UserError, match=words):
    with disk.explained({'/a/b': '`workdir`'}):
      raise found


def test_an_error_without_a_file_passes():
  with pytest.raises(OSError, match='no file'):
    with disk.explained():
      raise OSError('no file')
