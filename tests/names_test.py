"""Tests that names used across the project's modules exist.

Reads the sources, so that imports inside functions and the names that only rare
branches use are checked too.
"""

import ast
import functools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = ('adapters_jax', 'experiments', 'scripts', 'tests')
FILES = sorted(
    path.relative_to(ROOT) for folder in FOLDERS
    for path in (ROOT / folder).rglob('*.py'))
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def source_of(module: str) -> pathlib.Path | None:
  """Returns the file of a dotted name, None if it is no module or package."""
  path = ROOT / module.replace('.', '/')
  for candidate in (path.with_suffix('.py'), path / '__init__.py'):
    if candidate.exists():
      return candidate
  return None


@functools.cache
def names_of(module: str) -> frozenset[str]:
  """Returns the names that a module binds at its top level."""
  path = source_of(module)
  found = {'__name__', '__file__', '__doc__', '__path__'}
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, (
        ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
      found.add(node.name)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
      found.add(node.id)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
      found |= {alias.asname or alias.name for alias in node.names}
  if path.name == '__init__.py':
    found |= {child.stem for child in path.parent.iterdir()}
  return frozenset(found)


def bound(scope: ast.AST) -> set[str]:
  """Returns the names that a function binds, whichever way but by import."""
  names = {node.id for node in ast.walk(scope)
           if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
  return names | {node.arg for node in ast.walk(scope)
                  if isinstance(node, ast.arg)}


def problems(path: pathlib.Path) -> list[str]:
  """Returns the imports and attributes of project modules that do not exist."""
  tree = ast.parse((ROOT / path).read_text())
  modules, found = {}, []
  for node in ast.walk(tree):
    if not isinstance(node, ast.ImportFrom) or not node.module or (
        node.module.split('.')[0] not in FOLDERS):
      continue
    for alias in node.names:
      name = f'{node.module}.{alias.name}'
      if source_of(name):
        modules[alias.asname or alias.name] = name
      elif not source_of(node.module) or (
          alias.name not in names_of(node.module)):
        found.append(f'{path}:{node.lineno}: no {name}')

  def visit(node, hidden):
    if isinstance(node, _SCOPES):
      hidden = hidden | bound(node)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
      module = modules.get(node.value.id)
      if module and node.value.id not in hidden and (
          node.attr not in names_of(module)):
        found.append(f'{path}:{node.lineno}: no {module}.{node.attr}')
    for child in ast.iter_child_nodes(node):
      visit(child, hidden)

  visit(tree, frozenset())
  return found


def test_a_missing_name_is_found(tmp_path):
  path = tmp_path / 'wrong.py'
  path.write_text(
      'from adapters_jax.data import squad\n'
      'def rarely():\n'
      '  from adapters_jax.data import squat\n'
      '  return squad.lode_task(squad.load_task)\n'
      'def shadowed(squad):\n'
      '  return squad.anything\n')
  assert [line.partition(': ')[2] for line in problems(path)] == [
      'no adapters_jax.data.squat', 'no adapters_jax.data.squad.lode_task']


@pytest.mark.parametrize('folder', FOLDERS)
def test_names_exist(folder):
  missing = [line for path in FILES if path.parts[0] == folder
             for line in problems(path)]
  assert not missing, '\n'.join(missing)


def test_the_library_prints_nothing():
  """Commands print; the library logs and returns."""
  printing = [
      f'{path}:{node.lineno}' for path in FILES
      if path.parts[0] == 'adapters_jax' and path.parts[1] != 'api'
      for node in ast.walk(ast.parse((ROOT / path).read_text()))
      if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
      and node.func.id == 'print']
  assert not printing, printing
