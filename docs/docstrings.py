"""Griffe extension: shows indented programs in docstrings as code.

The docstrings indent programs and commands by two spaces, and write examples
with `>>>`; Markdown would run both together into paragraphs.
"""

import re
from typing import Any

import griffe

# Sections, whose entries are indented too, are left to griffe.
_SECTION = re.compile(r'^(Args|Attributes|Raises|Returns|Yields):$', re.M)
_DOCTEST = re.compile(r'^>>> .*(?:\n(?!\n).+)*', re.M)
_INDENTED = re.compile(r'(?<=\n\n)(?:(?:  .*)?\n)*  .*(?=\n\n|\Z)')


def fenced(text: str) -> str:
  """Returns a docstring with its programs fenced.

  Args:
    text: Docstring, without its indentation.

  Returns:
    Markdown; sections such as `Args:` are unchanged.
  """
  section = _SECTION.search(text)
  end = section.start() if section else len(text)
  head, rest = text[:end].rstrip('\n'), text[end:]
  head = _DOCTEST.sub(lambda found: f'```python\n{found[0]}\n```', head)
  head = _INDENTED.sub(
      lambda found: '```text\n' + re.sub('^  ', '', found[0], flags=re.M)
      + '\n```', head)
  return f'{head}\n\n{rest}' if rest else head


class Programs(griffe.Extension):
  """Fences the programs of every docstring."""

  def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
    """Changes the docstring of an object, after it is loaded.

    Args:
      obj: Module, class, function or attribute.
      **kwargs: Unused.
    """
    del kwargs
    if obj.docstring:
      obj.docstring.value = fenced(obj.docstring.value)
