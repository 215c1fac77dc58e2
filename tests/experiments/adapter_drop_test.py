"""The experiment on AdapterDrop, on the tiny base."""

import json
from unittest import mock

import pytest

pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
pytestmark = pytest.mark.figures

from adapters_jax import errors  # noqa: E402
from adapters_jax.analysis import dropped_layers  # noqa: E402
from adapters_jax.runs import config as config_lib  # noqa: E402
from adapters_jax.sweeps import grid  # noqa: E402
from experiments import adapter_drop  # noqa: E402
from experiments.analysis import drops  # noqa: E402
from tests import tiny  # noqa: E402


@pytest.fixture(scope='module')
def checkpoint(two_layers):
  """Two layers, as the lowest is dropped."""
  return two_layers


def test_means_intervals_and_shares():
  found = {
      'scores': {'usual': [{'0': 0.8, '1': 0.5}, {'0': 0.9, '1': 0.5}],
                 'robust': [{'0': 0.8, '1': 0.7}]},
      'costs': {'0': {'flops': 8, 'cpu_seconds': 2.0},
                '1': {'flops': 4, 'cpu_seconds': 2.5}}}  # By chance.
  assert drops.rows(found) == [
      {'layers without': '0', 'usual': '85.0 ± 63.5', 'robust': '80.0',
       'operations': '1.00', 'processor time': '1.00'},
      {'layers without': '1', 'usual': '50.0 ± 0.0', 'robust': '70.0',
       'operations': '0.50', 'processor time': '1.25'}]


@pytest.mark.parametrize('computation, wanted', [
    ('computes in float32, products of bfloat16, matmul precision default',
     'movie sentiment'),
    ('computes in float32, matmul precision default',
     'movie sentiment, float32'),
    ('computes in bfloat16, matmul precision default',
     'movie sentiment, bfloat16')])
def test_a_figure_names_its_arithmetic(computation, wanted):
  drawn = drops.draw({
      'task': 'movie_sentiment', 'checkpoint': 'minilm-l6', 'metric': 'f1',
      'split': 'dev', 'train_examples': 9, 'computation': computation,
      'batch': [2, 3], 'scores': {'usual': [{'0': 0.8}, {'0': 0.9}]},
      'costs': {'0': {'flops': 8, 'cpu_seconds': 2.0}}})
  title = drawn.axes[0].get_title('left')
  assert title == f'{wanted}\n9 examples, 2 seeds'


@pytest.mark.parametrize('workdir, wanted', [
    ('here', ['here/usual', 'here/drop']), ('', ['', ''])])
def test_the_two_launches_have_folders_of_their_own(
    checkpoint, own_files, workdir, wanted, monkeypatch):
  launched = []

  def run_all(configs, *_):
    launched.extend(configs)
    record = mock.Mock(metrics={'dev': {'accuracy': 0.5}})
    return mock.Mock(failures=(), records=[record], runs=lambda: [])

  monkeypatch.setattr(adapter_drop.launch, 'run_all', run_all)
  monkeypatch.setattr(
      dropped_layers, 'costs', mock.Mock(side_effect=errors.UserError('end')))
  config = tiny.run_config(checkpoint, own_files, workdir)
  with pytest.raises(errors.UserError, match='end'):
    adapter_drop.main(config, grid.Options(), adapter_drop.Output())
  assert [one.workdir for one in launched] == wanted
  assert [one.adapter_drop for one in launched] == ['', '0-1']


@pytest.mark.parametrize('name, text', [
    ('grid', 'learning_rate=1e-3,1e-4'), ('pick', 'learning_rate')])
def test_several_settings_are_refused(name, text):
  with pytest.raises(errors.UserError, match=f'`{name}`: a line of scores'):
    adapter_drop.main(config_lib.Config(), grid.Options(**{name: text}),
                      adapter_drop.Output())


@pytest.mark.slow
def test_scores_costs_and_figure(
    checkpoint, own_files, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  config = tiny.run_config(checkpoint, own_files, '', buckets=0)
  adapter_drop.main(config, grid.Options(), adapter_drop.Output(
      str(tmp_path / 'found.json'), str(tmp_path / 'drop.png')))
  found = json.loads((tmp_path / 'found.json').read_text())
  assert found['split'] == 'test' and found['batch'][0] == config.batch_size
  assert found['computation'] and found['machine']['cpu']
  assert list(found['scores']) == ['trained as usual', 'AdapterDrop 0-1']
  for runs in found['scores'].values():
    assert [list(run) for run in runs] == [['0', '1', '2']]
  flops = [cost['flops'] for cost in found['costs'].values()]
  assert flops[0] > flops[1] > flops[2]
  assert (tmp_path / 'drop.png').stat().st_size > 1000
  assert 'trained as usual' in capsys.readouterr().out
