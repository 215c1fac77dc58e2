"""The experiment on AdapterDrop, on the tiny base."""

import json

import pytest

pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")

from adapters_jax.sweeps import grid  # noqa: E402
from experiments import adapter_drop  # noqa: E402
from tests import tiny  # noqa: E402

pytestmark = pytest.mark.slow


def test_scores_costs_and_figure(
    checkpoint, own_files, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  config = tiny.run_config(checkpoint, own_files, '')
  adapter_drop.main(config, grid.Options(), adapter_drop.Output(
      str(tmp_path / 'found.json'), str(tmp_path / 'drop.png')))
  found = json.loads((tmp_path / 'found.json').read_text())
  assert list(found['scores']) == ['trained as usual', 'AdapterDrop 0-1']
  for runs in found['scores'].values():
    assert [list(run) for run in runs] == [['0', '1', '2']]
  flops = [cost['flops'] for cost in found['costs'].values()]
  assert flops[0] > flops[1] > flops[2]
  assert (tmp_path / 'drop.png').stat().st_size > 1000
  assert 'trained as usual' in capsys.readouterr().out
