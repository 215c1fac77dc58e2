"""Measures the house style: lengths, prose, docstrings, probes.

  python -m scripts.style_report

A report for the readers of a change, not a gate. It reads the sources without
importing them, and needs only Python.
"""

import argparse
import ast
from collections.abc import Iterator, Sequence
import dataclasses
import io
import os
import re
import statistics
import tokenize

CODE = ('adapters_jax', 'experiments', 'scripts')
PROSE = ('README.md', 'CONTRIBUTING.md', 'docs')
METHODS = os.path.join('adapters_jax', 'methods')

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DOCUMENTED = (ast.Module, ast.ClassDef, *_FUNCTIONS)
_PRAGMA = re.compile(r'#!|# (noqa|type: )')  # Addressed to tools.
_WORD = re.compile(r"[A-Za-z][A-Za-z']*")
# An argument described only by 'Of', as in `name: Of the run.`
_GENITIVE = re.compile(r'^ *\*{0,2}\w+(?: \([^)]*\))?: Of ', re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Source:
  """A parsed Python file.

  Attributes:
    path: Path relative to the root of the checkout.
    lines: Number of lines.
    tree: Syntax tree.
    comments: Texts of the comments, without '#'; none addressed to tools.
    code_lines: Number of lines with code: not blank, comment or docstring.
  """
  path: str
  lines: int
  tree: ast.Module
  comments: tuple[str, ...]
  code_lines: int


def read(root: str, path: str) -> Source:
  """Returns a parsed Python file.

  Args:
    root: Root of the checkout.
    path: Path of the file relative to it.
  """
  with open(os.path.join(root, path), encoding='utf-8') as file:
    text = file.read()
  tree = ast.parse(text, path)
  comments, code = [], set()
  for token in tokenize.generate_tokens(io.StringIO(text).readline):
    if token.type == tokenize.COMMENT:
      if not _PRAGMA.match(token.string):
        comments.append(token.string.lstrip('#').strip())
    # Newlines and indents are tokens of blanks; strings span several lines.
    elif token.string.strip():
      code.update(range(token.start[0], token.end[0] + 1))
  # Docstrings are code to the tokenizer.
  for node in _docstring_nodes(tree):
    code.difference_update(range(node.lineno, node.end_lineno + 1))
  return Source(path, text.count('\n'), tree, tuple(comments), len(code))


def _docstring_nodes(tree):
  """Yields the expression of each docstring."""
  for node in ast.walk(tree):
    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
      yield node.body[0]


def find(root: str, places: Sequence[str], ending: str) -> list[str]:
  """Returns the files in some places, as paths relative to the root.

  Args:
    root: Root of the checkout.
    places: Files and folders below it; absent ones are skipped.
    ending: File name extension, like '.py'.
  """
  found = []
  for place in places:
    whole = os.path.join(root, place)
    if os.path.isfile(whole):
      found.append(place)
    for parent, folders, names in os.walk(whole):
      folders.sort()  # In place, which sets the order of os.walk.
      found += [os.path.relpath(os.path.join(parent, name), root)
                for name in sorted(names) if name.endswith(ending)]
  return found


def functions(source: Source) -> list[ast.FunctionDef]:
  """Returns the functions of a file, methods and nested ones included."""
  return [n for n in ast.walk(source.tree) if isinstance(n, _FUNCTIONS)]


def length(node: ast.FunctionDef) -> int:
  """Returns the number of lines of a function, without its decorators."""
  # `lineno` is that of `def`, even below decorators.
  return node.end_lineno - node.lineno + 1


def public_functions(source: Source) -> Iterator[ast.FunctionDef]:
  """Yields public functions of a module and public methods of its classes."""
  for node in source.tree.body:
    public = getattr(node, 'name', '_')[0] != '_'
    if public and isinstance(node, _FUNCTIONS):
      yield node
    elif public and isinstance(node, ast.ClassDef):
      # `__call__` is the one special method that users of a module read.
      yield from (n for n in node.body if isinstance(n, _FUNCTIONS)
                  and (n.name[0] != '_' or n.name == '__call__'))


def parameters(node: ast.FunctionDef) -> list[str]:
  """Returns the names of a function's parameters, without self and cls."""
  given = node.args
  names = [argument.arg for argument in (
      *given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs,
      given.kwarg) if argument]
  return [name for name in names if name not in ('self', 'cls')]


def prose_of(text: str) -> str:
  """Returns Markdown without code blocks, code spans and link targets."""
  # Blocks first: a fence would look like a code span.
  text = re.sub(r'^( *)```.*?^\1```', ' ', text,
                flags=re.MULTILINE | re.DOTALL)
  text = re.sub(r'`[^`]*`', ' ', text)
  return re.sub(r'\]\([^)]*\)', ']', text)


def docstrings(source: Source) -> list[str]:
  """Returns the docstrings of a file."""
  return [node.value.value for node in _docstring_nodes(source.tree)]


def whats(text: str) -> float:
  """Returns the occurrences of 'what' in 1,000 words of a text."""
  words = _WORD.findall(text.lower())
  return 1000 * words.count('what') / max(1, len(words))


def method_names(sources: Sequence[Source]) -> tuple[set[str], set[str]]:
  """Returns the classes that the methods' files define, and their fields."""
  classes, fields = set(), set()
  for source in sources:
    if source.path.startswith(METHODS + os.sep):
      for node in source.tree.body:
        if isinstance(node, ast.ClassDef):
          classes.add(node.name)
          # Annotated names alone are fields of a dataclass.
          fields.update(
              n.target.id for n in node.body if isinstance(n, ast.AnnAssign))
  return classes, fields


def probes(sources: Sequence[Source]) -> list[str]:
  """Returns 'path:line' of each type test or field probe of a method.

  Those are, outside the methods' files, isinstance(x, SomeMethod) and getattr
  or hasattr with the literal name of a method's field.
  """
  classes, fields = method_names(sources)
  found = []
  for source in sources:
    if source.path.startswith(METHODS + os.sep):
      continue
    for node in ast.walk(source.tree):
      # isinstance, getattr and hasattr take two positional arguments.
      if not isinstance(node, ast.Call) or len(node.args) < 2:
        continue
      name, what = getattr(node.func, 'id', ''), node.args[1]
      tested = name == 'isinstance' and any(
          # 'walk', for tuples of classes; attributes, for module.Class.
          getattr(n, 'attr', getattr(n, 'id', '')) in classes
          for n in ast.walk(what))
      probed = name in ('getattr', 'hasattr') and (
          getattr(what, 'value', None) in fields)
      if tested or probed:
        found.append(f'{source.path}:{node.lineno}')
  return found


def recurring(sources: Sequence[Source]) -> dict[str, list[str]]:
  """Returns {public name: paths} of names that two or more modules define."""
  homes = {}
  for source in sources:
    for node in source.tree.body:
      name = getattr(node, 'name', '_')
      if isinstance(node, (*_FUNCTIONS, ast.ClassDef)) and name[0] != '_':
        homes.setdefault(name, []).append(source.path)
  return {name: paths for name, paths in homes.items() if len(paths) > 1}


def spread(values: Sequence[int]) -> str:
  """Returns median, 90th percentile and maximum as text."""
  ordered = sorted(values)
  tenth = ordered[min(len(ordered) - 1, round(0.9 * (len(ordered) - 1)))]
  return (f'median {statistics.median(ordered):g}, 90 % {tenth}, '
          f'longest {ordered[-1]}')


def longest(sources: Sequence[Source]) -> list[str]:
  """Returns 'path:line name (lines)' of the functions above 60 lines."""
  return [f'{source.path}:{node.lineno} {node.name} ({length(node)})'
          for source in sources for node in functions(source)
          if length(node) > 60]


def report(root: str) -> list[tuple[str, str, list[str]]]:
  """Measures a checkout.

  Args:
    root: Root of the checkout.

  Returns:
    (name, value, places) of each figure; the places are worth a look.
  """
  sources = [read(root, path) for path in find(root, CODE, '.py')]
  pages = {}
  for path in find(root, PROSE, '.md'):
    with open(os.path.join(root, path), encoding='utf-8') as file:
      pages[path] = file.read()
  texts = [(source.path, '\n'.join([*docstrings(source), *source.comments]))
           for source in sources]
  texts += [(path, prose_of(text)) for path, text in pages.items()]
  several = [(source.path, node) for source in sources
             for node in public_functions(source) if len(parameters(node)) > 1]
  silent = [f'{path}:{node.lineno} {node.name}' for path, node in several
            if 'Args:' not in (ast.get_docstring(node) or '')]
  genitives = [f'{source.path}: {match.group().strip()}'
               for source in sources for text in docstrings(source)
               for match in _GENITIVE.finditer(text)]
  # Scripts may share names with one another: each is a program.
  package = [s for s in sources if s.path.startswith('adapters_jax' + os.sep)]
  names, found = recurring(package), probes(package)
  places = [f'{path}: {count}' for path, text in texts
            if (count := _WORD.findall(text.lower()).count('what'))]
  code = sum(source.code_lines for source in sources)
  comments = sum(len(source.comments) for source in sources)
  documented = len(several) - len(silent)
  return [
      ('lines of a function', spread(
          [length(n) for s in sources for n in functions(s)]),
       longest(sources)),
      ('lines of a file', spread([s.lines for s in sources]),
       [f'{s.path} ({s.lines})' for s in sources if s.lines > 300]),
      ("'what' in 1,000 words of prose", format(whats(
          '\n'.join(text for _, text in texts)), '.1f'), places),
      ("entries 'name: Of ...'", str(len(genitives)), genitives),
      ('functions of 2 or more parameters with Args',
       f'{100 * documented / max(1, len(several)):.0f} % of {len(several)}',
       silent),
      ('comments in 100 lines of code',
       f'{100 * comments / max(1, code):.1f}', []),
      ('probes of methods outside methods/', str(len(found)), found),
      ('public names of 2 or more modules', str(len(names)),
       [f'{name}: {", ".join(paths)}' for name, paths in names.items()]),
      ('words of README.md', str(len(pages.get('README.md', '').split())), []),
  ]


def main(arguments: Sequence[str] | None = None) -> None:
  """Prints the report, with `--places` also the place of each finding."""
  parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  parser.add_argument('--root', default='.', help='Checkout to measure.')
  parser.add_argument(
      '--places', action='store_true', help='List where each figure is from.')
  options = parser.parse_args(arguments)
  for name, value, places in report(options.root):
    print(f'{name:45}{value}')
    for place in places if options.places else ():
      print(f'  {place}')


if __name__ == '__main__':
  main()
