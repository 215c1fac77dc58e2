"""Executes every committed notebook again."""

import glob
import os
import re

import pytest

nbclient = pytest.importorskip(
    'nbclient', reason="needs the extra 'notebooks'")
nbformat = pytest.importorskip('nbformat')
for needed in ('ipykernel', 'matplotlib', 'pandas'):
  pytest.importorskip(needed)
from experiments.analysis import layer_picture  # noqa: E402

pytestmark = pytest.mark.slow
ROOT = os.path.abspath(os.path.join(
    os.path.dirname(__file__), os.pardir, os.pardir))
FOLDER = os.path.join(ROOT, 'experiments', 'notebooks')
NAMES = sorted(os.path.basename(path)
               for path in glob.glob(os.path.join(FOLDER, '*.ipynb')))
SETTINGS = 'parameters'  # The tag of the cell that says what is run.


# What a notebook has named or imported from the clone is unknown to the next.
FORGET = """
import sys
sys.path[:] = [path for path in sys.path if path != '../..']
for name in [one for one in sys.modules if one.startswith('experiments')]:
  del sys.modules[name]
%reset -f
"""


@pytest.fixture(scope='module')
def client(tmp_path_factory):
  """A client whose kernel executes all notebooks, and imports JAX once.

  It computes on the CPU, and imports as a reader's does.
  """
  found = nbclient.NotebookClient(
      nbformat.v4.new_notebook(), timeout=300,
      # Jupyter, too, starts a kernel in the folder of its notebook.
      resources={'metadata': {'path': FOLDER}})
  with pytest.MonkeyPatch.context() as patch:
    patch.delenv('PYTHONPATH', raising=False)
    patch.setenv('JAX_PLATFORMS', 'cpu')
    patch.setenv('ADAPTERS_JAX_CACHE', str(tmp_path_factory.mktemp('cache')))
    with found.setup_kernel():
      yield found


def read(name):
  return nbformat.read(os.path.join(FOLDER, name), nbformat.NO_CONVERT)


def execute(client, notebook):
  forget = nbformat.v4.new_notebook(
      cells=[nbformat.v4.new_code_cell(FORGET)])
  for client.nb in forget, notebook:
    client.execute(cleanup_kc=False)  # The kernel goes on.
  return notebook


def words(notebook):
  """Returns what a notebook says of the records in words and tables."""
  found = [output['data'][kind] for cell in notebook.cells
           for output in cell.get('outputs', ())
           for kind in ('text/markdown', 'text/html')
           if kind in output.get('data', {})]
  return [re.sub('<[^>]+>', ' ', text).split() for text in found]


def test_there_are_seven():
  assert len(NAMES) == 7


@pytest.mark.parametrize('name', NAMES)
def test_committed_as_executed_from_top_to_bottom(name):
  code = [cell for cell in read(name).cells if cell['cell_type'] == 'code']
  counts = [cell['execution_count'] for cell in code]
  assert counts == list(range(1, len(code) + 1))
  assert not any(output['output_type'] == 'error'
                 for cell in code for output in cell['outputs'])
  assert '/home/' not in str(code) and '/root/' not in str(code)


@pytest.mark.parametrize('name', [
    n for n in NAMES if n not in ('walkthrough.ipynb', 'composition.ipynb')])
def test_says_now_what_it_said(client, name):
  committed = read(name)
  before = words(committed)
  assert before and words(execute(client, committed)) == before, (
      'the records have changed; run: python -m jupyter execute '
      '--inplace experiments/notebooks/*.ipynb')


def test_composition_on_a_tiny_base(client, checkpoint):
  notebook = read('composition.ipynb')
  cell, = (c for c in notebook.cells
           if SETTINGS in c['metadata'].get('tags', ()))
  cell['source'] = (
      'import numpy as np\n'
      'import adapters_jax as aj\n'
      f'BASE = {checkpoint!r}\n'
      "texts, labels = ['good film', 'dull plot'] * 12, ['no', 'yes'] * 12\n"
      'FILM = FOOD = NEWS = [aj.Examples(texts, labels)] * 2\n'
      "TEXTS = ['a good film', 'very dull', 'the plot', 'bad']\n"
      'QUICK = dict(max_steps=4, batch_size=8, max_length=8, buckets=0,\n'
      '             eval_every=4, tune_norms=False)\n')
  execute(client, notebook)


def test_walkthrough_on_a_tiny_base(client, checkpoint):
  notebook = read('walkthrough.ipynb')
  cell, = (c for c in notebook.cells
           if SETTINGS in c['metadata'].get('tags', ()))
  cell['source'] = (
      f'BASE = {checkpoint!r}\n'
      "BOTTLENECK, LORA = 'bottleneck[size=3]', 'lora[r=2]'\n"
      'SETTINGS = dict(max_steps=4, learning_rate=3e-2, batch_size=8,\n'
      '                max_length=24, buckets=0)\n')
  execute(client, notebook)
  outputs = [output for c in notebook.cells for output in c.get('outputs', ())]
  printed = ''.join(output.get('text', '') for output in outputs)
  assert 'the base is what it was, bit for bit' in printed
  assert 'encoder/layer_0/adapter_ffn_output_0/down/kernel' in printed
  assert printed.count('in the stack: ') == 6
  assert sum('image/png' in output.get('data', ()) for output in outputs) == 1


def test_layer_picture_names_every_part():
  figure = layer_picture.draw(dim=8, size=3)
  texts = [text.get_text() for text in figure.axes[0].texts]
  for name, times in (
      ('attention', 1), ('feed-forward', 1), ('adapter', 3), ('layer norm', 2),
      ('+', 3), ('down: 8 → 3', 1), ('up: 3 → 8', 1)):
    assert texts.count(name) == times, name
