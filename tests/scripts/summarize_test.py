"""Rewriting of pages with generated parts."""

import os

import pytest

pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
pytestmark = pytest.mark.figures
from docs import generate  # noqa: E402
from scripts import summarize  # noqa: E402
from tests.runs import trackers_test  # noqa: E402

PAGE = '\n'.join(['a' * 9000, *generate.markers('x'), 'ü\n'])


def test_a_page_that_cannot_be_written_stays(tmp_path):
  path = tmp_path / 'page.md'
  path.write_text(PAGE, encoding='utf-8')
  with trackers_test.files_of_at_most(5000), pytest.raises(
      OSError, match='page.md'):
    generate.rewrite(str(path), ('x', 'new'))
  assert path.read_text(encoding='utf-8') == PAGE
  assert os.listdir(tmp_path) == ['page.md']


def test_a_link_to_a_page_stays_one(tmp_path):
  path, link = tmp_path / 'page.md', tmp_path / 'link.md'
  path.write_text(PAGE, encoding='utf-8')
  link.symlink_to(path)
  summarize.rewrite(str(link), lambda text: text.replace('a', 'b'))
  assert link.is_symlink()
  assert path.read_text(encoding='utf-8') == PAGE.replace('a', 'b')
