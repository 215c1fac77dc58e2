"""Tests that packages import downwards only, and nothing heavy at first."""

import ast
import collections
import pathlib
import subprocess
import sys

import pytest

import adapters_jax

ROOT = pathlib.Path(adapters_jax.__file__).parent
# Rank of each room; a module imports from its own room or a lower rank.
RANKS = {
    'errors': 0,
    'trees': 1,
    'layers': 1,
    'downloads': 2, 'methods': 2,
    'model': 3, 'data': 3,
    'training': 4,
    'adapters': 5,
    'runs': 6,
    'sweeps': 7,
    'analysis': 8,
    'api': 9,
}


def imports_of(path: pathlib.Path) -> set[str]:
  """Returns the dotted names below adapters_jax that a file imports."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module and (
        node.module.split('.')[0] == 'adapters_jax'):
      package = node.module.removeprefix('adapters_jax').strip('.')
      for alias in node.names:
        name = f'{package}.{alias.name}'.strip('.')
        is_module = (ROOT / f'{name.replace(".", "/")}.py').exists() or (
            ROOT / name.replace('.', '/') / '__init__.py').exists()
        found.add(name if is_module else package)
    elif isinstance(node, ast.Import):
      found |= {alias.name.removeprefix('adapters_jax').strip('.')
                for alias in node.names
                if alias.name.split('.')[0] == 'adapters_jax'}
  return found - {''}


def graph() -> dict[str, set[str]]:
  """Returns {module: modules it imports}, both without the package's name."""
  edges = {}
  for path in sorted(ROOT.rglob('*.py')):
    name = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
    edges[name.removesuffix('.__init__')] = imports_of(path)
  return edges


def test_packages_import_downwards():
  upwards = []
  for module, imported in graph().items():
    if module == '__init__':
      continue
    room = module.split('.')[0]
    for name in imported:
      other = name.split('.')[0]
      if other != room and RANKS[other] >= RANKS[room]:
        upwards.append(f'{module} -> {name}')
  assert not upwards, upwards


def test_there_is_no_circle():
  edges = graph()
  state = collections.defaultdict(int)  # 1: on the path, 2: done.
  circles = []

  def visit(module, path):
    state[module] = 1
    for name in sorted(edges.get(module, ())):
      if state[name] == 1:
        circles.append([*path[path.index(name):], name])
      elif not state[name]:
        visit(name, [*path, name])
    state[module] = 2

  for module in edges:
    if not state[module]:
      visit(module, [module])
  assert not circles, circles


def test_the_house_has_few_rooms():
  entries = [path.name for path in ROOT.iterdir()
             if path.name != '__pycache__']
  assert len(entries) <= 15, sorted(entries)
  assert {name.removesuffix('.py') for name in entries} <= {
      *RANKS, '__init__', 'py.typed'}


def test_the_import_is_light_and_names_are_listed():
  script = (
      'import sys, adapters_jax as aj; '
      'heavy = {"jax", "numpy", "flax"} & set(sys.modules); '
      'assert not heavy, heavy; '
      'assert set(aj.__all__) <= set(dir(aj)); '
      'from adapters_jax import errors, UserError; '
      'assert UserError is errors.UserError')
  subprocess.run([sys.executable, '-c', script], check=True)
  with pytest.raises(AttributeError, match='no attribute'):
    adapters_jax.absent
