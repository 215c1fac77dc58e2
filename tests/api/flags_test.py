"""Tests of the checks before the first of many runs."""

import dataclasses
import re
from unittest import mock

from absl import flags as absl_flags
import pytest

from adapters_jax import errors
from adapters_jax.api import expand
from adapters_jax.api import experiments
from adapters_jax.api import flags
from adapters_jax.api import launch
from adapters_jax.api import started
from adapters_jax.api import written
from adapters_jax.api.commands import convert
from adapters_jax.api.commands import sweep
from adapters_jax.downloads import hub_data
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import file_checks
from adapters_jax.runs import options
from adapters_jax.runs.kinds import classification
from adapters_jax.sweeps import engine
from adapters_jax.sweeps import execution
from adapters_jax.sweeps import grid
from adapters_jax.sweeps import outcome as outcome_lib
from tests.sweeps import grid_test


@pytest.fixture
def config(checkpoint, own_files, tmp_path):
  return config_lib.Config(
      checkpoint=checkpoint, max_length=12, max_steps=1, batch_size=8,
      workdir=str(tmp_path / 'run'), **own_files)


def check(config, how):
  launch.check_all([config], [config], 'glue', classification.KIND, how)


@pytest.mark.parametrize('changed, message', [
    ({'mesh': 'x'}, '`mesh=x`: not of the form'),
    ({'mesh': 'data:64'}, '`mesh=data:64`: does not fit'),
    ({'label_column': 'x'}, "train.tsv, line 2: no column 'x'"),
    ({'adapter_config': 'loha'}, "'loha' is not implemented"),
])
def test_a_sweep_of_one_run_is_checked_before_it(config, changed, message):
  config = dataclasses.replace(config, **changed)
  with pytest.raises(errors.UserError, match=message):
    check(config, execution.HowToRun())
  check(config, execution.ALONE)  # Checked when it starts.


def test_runs_whose_seeds_pick_have_no_table(config, capsys):
  records = tuple(grid_test.make_record(dataclasses.replace(
      grid_test.CONFIG, seed=seed)) for seed in (1000, 1001))
  outcome = outcome_lib.Outcome(
      records, ('a', 'b'), (('c', 'failed'),), configs=(config, config))
  many = grid.Options(seeds='1000-1001')
  with mock.patch.object(engine, 'go', lambda *_: outcome):
    assert launch.run_all([config], 'glue', many) is outcome
  printed = capsys.readouterr()
  assert 'all settings' not in printed.out and 'c: failed' in printed.err


def test_the_table_of_a_picked_setting_counts_its_trials(config, capsys):
  made = [grid_test.make_record(
      dataclasses.replace(grid_test.CONFIG, seed=seed, learning_rate=rate), dev)
          for seed, rate, dev in (
              (0, 1e-3, 0.5), (1, 1e-3, 0.6), (1000, 1e-3, 0.9),
              (1000, 1e-4, 0.8), (1000, 1e-2, 0.1))]
  outcome = outcome_lib.Outcome(
      tuple(made[:2]), ('a', 'b'), trials=tuple(made[2:]),
      configs=(config, config))
  with mock.patch.object(engine, 'go', lambda *_: outcome):
    launch.run_all([config], 'glue', grid.Options(seeds='0-1'))
  printed = capsys.readouterr().out
  lines = [line.split() for line in printed.partition(
      'all settings')[2].splitlines()]
  head, = (line for line in lines if 'trials' in line)
  row, = (line for line in lines if 'cola' in line)
  # The name of the method is three words.
  assert row[head.index('trials') + 2] == '3' and '55.0' in row


@pytest.mark.parametrize('changed, points, unread', [
    ({'tune': 'full', 'adapter_config': 'lroa'}, '', 'adapter_config=lroa'),
    ({'top_k': 2}, '', 'top_k=2'),
    ({}, 'top_k=1,3', 'top_k=3'),
    ({'adapter_config': 'lora'}, 'tune=full,head', 'adapter_config=lora'),
    ({'tune': 'norms'}, 'adapter_config=lora', 'adapter_config=lora'),
    ({'adapter_config': 'lora'}, 'tune=adapters,full', ''),
    ({}, 'tune=full; tune=top_k top_k=1; adapter_config=lora', '')])
def test_settings_that_no_run_reads_are_refused(
    config, changed, points, unread):
  config = dataclasses.replace(config, **changed)
  with mock.patch.object(engine, 'go', return_value=outcome_lib.Outcome()) as (
      go):
    if not unread:
      launch.run_all([config], 'glue', grid.Options(grid=points))
      return
    with pytest.raises(errors.UserError, match=f'^`{unread}`: is read by'):
      launch.run_all([config], 'glue', grid.Options(grid=points))
  assert not go.called


def test_several_hosts_forecast_nothing(config):
  hosts = dataclasses.replace(
      config, coordinator='127.0.0.1:1', processes=2, process=0)
  for one, timed in ((config, True), (hosts, False)):
    with mock.patch.object(
        engine, 'go', return_value=outcome_lib.Outcome()) as go:
      launch.run_all([one], 'glue', grid.Options(seeds='0-1'))
    assert (go.call_args.args[-1] is not None) == timed


def test_devices_of_other_machines_are_not_asked_for(config):
  config = dataclasses.replace(config, mesh='data:64', batch_size=64)
  check(config, execution.HowToRun(launcher='ray'))


def test_defaults_of_a_swept_experiment_win_over_a_preset(config):
  with mock.patch.object(flags, 'read') as read, mock.patch.object(
      launch, 'run_all', side_effect=errors.UserError('launched')):
    with pytest.raises(errors.UserError, match='launched'):
      sweep.main(
          config, grid.Options(preset='paper'), execution.HowToRun(),
          sweep.Sweep('squad'), expand.Folders(), written.Predictions())
  values = read.call_args.args[1]
  assert (values['max_length'], values['epochs']) == (384, 20)


def test_settings_of_the_start_of_a_sweep_win_over_the_defaults(
    config, monkeypatch):
  values = absl_flags.FlagValues()
  for field in dataclasses.fields(config_lib.Config):
    flags._DEFINE[field.type](
        field.name, field.default, '', flag_values=values)
  values(['sweep', '--start=DIR', '--dropout=0.5'])
  monkeypatch.setattr(flags.flags, 'FLAGS', values)
  monkeypatch.setattr(started, 'settings', lambda start, _: {
      'adapter_config': f'lora[r={len(start)}]', 'max_length': 12,
      'dropout': 0.1})
  with mock.patch.object(experiments, 'make_runs') as made:
    sweep.main(
        dataclasses.replace(config, start='DIR'), grid.Options(),
        execution.HowToRun(), sweep.Sweep('language_modeling'),
        expand.Folders(), written.Predictions())
  (found,) = made.call_args.args[1]
  assert (found.adapter_config, found.max_length) == ('lora[r=3]', 12)
  # Explicit flags and other defaults stay.
  assert (found.dropout, found.file_task) == (0.5, 'text')


def test_predictions_of_a_sweep_without_any_are_refused_first(config):
  for name in ('embeddings', 'language_modeling'):
    with pytest.raises(errors.UserError, match=f'`write_pred.*{name}'):
      sweep.main(
          config, grid.Options(), execution.HowToRun(), sweep.Sweep(name),
          expand.Folders(), written.Predictions(True))


def test_files_of_the_hub_become_those_of_its_cache(config, monkeypatch):
  monkeypatch.setattr(
      hub_data, '_found', lambda name, file, *_: f'/cache/{name}/{file}')
  values = absl_flags.FlagValues()
  for split in ('train', 'dev', 'test'):
    absl_flags.DEFINE_string(f'{split}_file', '', '', flag_values=values)
  values.mark_as_parsed()
  monkeypatch.setattr(flags.flags, 'FLAGS', values)
  config = dataclasses.replace(config, train_file='hf://datasets/a/b/c.tsv')
  with pytest.raises(errors.UserError, match='`dev_file`: there is no file'):
    # Before any download.
    file_checks.check(dataclasses.replace(config, dev_file='absent.tsv'))
  found = flags.with_local_files(
      dataclasses.replace(config, dev_file='dev.tsv'))
  # A sweep reads the flags again.
  assert values.train_file == '/cache/a/b/c.tsv'
  assert (found.train_file, found.dev_file, found.test_file) == (
      '/cache/a/b/c.tsv', 'dev.tsv', config.test_file)


def test_paths_of_all_commands_may_be_at_home(monkeypatch):
  monkeypatch.setenv('HOME', '/me')
  found = absl_flags.FlagValues()
  convert.define_flags(found)
  for name in ('adapters', 'train_file'):
    absl_flags.DEFINE_string(name, '', '', flag_values=found)
  monkeypatch.setattr(flags.flags, 'FLAGS', found)
  flags.parse_argv([
      'convert', '--to=~/out', '--adapters=a=~/x,~/y', '--train_file=~/z',
      '--labels=~/no,yes'])
  assert (found.to, found.adapters, found.train_file) == (
      '/me/out', 'a=/me/x,/me/y', '/me/z')
  assert found['from'].value == '' and found.labels == ['~/no', 'yes']


@pytest.mark.parametrize('flag, advice', [
    ('adapter_size=8,64', True), ('learning_rate=1e-4,3e-4', True),
    ('adapter_size=x', False), ('threads=1,2', False),
    ('pick_examples=1,2', False)])
def test_several_values_of_a_flag_are_a_grid(
    flag, advice, monkeypatch, capsys):
  for has_grid in (True, False):
    found = absl_flags.FlagValues()
    for one in (config_lib.Config, *[grid.Options] * has_grid):
      for field in dataclasses.fields(one):
        flags._DEFINE[field.type](
            field.name, field.default, '', flag_values=found)
    if not has_grid and flag.startswith('pick'):
      continue
    monkeypatch.setattr(flags.flags, 'FLAGS', found)
    with pytest.raises(SystemExit, match='^2$'):
      flags.parse_argv(['sweep', f'--{flag}'])
    error = capsys.readouterr().err
    assert error.startswith(f'error: flag --{flag}: ')
    assert error.endswith(
        f"; several values go into --grid='{flag}'\n") == (advice and has_grid)


def test_flags_from_a_file(tmp_path, monkeypatch, capsys):
  path = tmp_path / 'shared.flags'
  path.write_text('# Of all runs.\n--epochs=5\n--rate=3e-4\n')
  found = absl_flags.FlagValues()
  for name in ('epochs', 'rate'):
    absl_flags.DEFINE_float(name, 0, '', flag_values=found)
  monkeypatch.setattr(flags.flags, 'FLAGS', found)
  flags.parse_argv(
      ['train', '--epochs=1', f'--flagfile={path}', '--rate=1e-3'])
  assert (found.epochs, found.rate) == (5, 1e-3)
  with pytest.raises(SystemExit, match='^2$'):
    flags.parse_argv(['train', f'--flagfile={path}s'])
  assert capsys.readouterr().err.count('\n') == 1


@dataclasses.dataclass
class Plain:
  size: int = 1


@dataclasses.dataclass
class Optional:
  size: float | None = options.option(None, 'Size.')


@dataclasses.dataclass
class Taken:
  logtostderr: bool = options.option(False, 'A flag of absl too.')


@dataclasses.dataclass
class Mistyped:
  size: int = options.option('x', 'Size.')


@dataclasses.dataclass
class Quoted:
  size: 'int' = options.option(1, 'Size.')


@pytest.mark.parametrize('made, defaults, message', [
    (Plain, {}, r"Plain.size: make the field by options.option\(DEFAULT, "),
    (Optional, {}, 'Optional.size: .* bool, int, float, str, not float'),
    (Taken, {}, 'Taken.logtostderr: .*a flag of this name; give another'),
    (Mistyped, {}, "Mistyped.size, its default: .*'x'"),
    (Quoted, {'size': 'x'}, "Quoted.size, its default: .*'x'"),
    (Quoted, {'sise': 2}, "defaults of the .* 'sise'; did you mean size"),
    (config_lib.Config, {'train_exampels': 40}, 'did you mean train_examples'),
])
def test_faults_of_a_script_are_one_line(made, defaults, message, capsys):
  with pytest.raises(SystemExit, match='^2$'):
    flags.start(made, print, defaults=defaults)
  error = capsys.readouterr().err
  assert re.match(f'error: .*{message}', error) and error.count('\n') == 1
