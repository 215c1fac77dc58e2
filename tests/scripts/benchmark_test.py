"""The benchmark's summaries, tables and processes, without the peer."""

import json
import subprocess
import sys
import time
import types

from absl.testing import parameterized
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.methods import bottleneck
from adapters_jax.model import encoder
from scripts.benchmark import __main__ as benchmark
from scripts.benchmark import table as benchmark_table
from scripts.benchmark import measures
from scripts.benchmark import ours
from scripts.benchmark import sides
from scripts.benchmark import workers

# A side whose work is to sleep and to add; it prints, as libraries do.
_STUB = """
import time
from adapters_jax import errors
from scripts.benchmark import workers

class Side:
  total = 0
  def begin(self, **settings):
    print('a library says hello')
  def add(self, number):
    self.total += number
    return self.total
  def rest(self, seconds):
    time.sleep(seconds)
  def work(self, seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
  def refuse(self):
    raise errors.UserError('--flag: no')
  def end(self):
    raise SystemExit(3)

workers.serve(Side())
"""


def answer(seconds, cpu_seconds=0.0):
  return workers.Answer(None, seconds, cpu_seconds, 0.0)


@pytest.fixture
def stub():
  with workers.Worker(['-c', _STUB]) as worker:
    yield worker


def test_a_worker_keeps_its_state_and_clocks_its_calls(stub):
  stub.ask('begin', task='any')
  assert stub.ask('add', number=3).value == 3
  assert stub.ask('add', number=4).value == 7
  rest = stub.ask('rest', seconds=0.2)
  assert rest.seconds >= 0.2 and rest.cpu_seconds < 0.1
  work = stub.ask('work', seconds=0.1)
  assert work.cpu_seconds >= 0.1 and work.seconds >= 0.09
  assert work.idle_cpu_seconds < 0.05


def test_a_workers_errors_reach_the_parent(stub):
  with pytest.raises(errors.UserError, match='--flag: no'):
    stub.ask('refuse')
  with pytest.raises(RuntimeError, match='add: TypeError'):
    stub.ask('add', letter='a')
  assert stub.ask('add', number=2).value == 2  # It goes on.
  with pytest.raises(RuntimeError, match='ended with status 3'):
    stub.ask('end')


def test_sides_work_in_turns():
  log = []

  class Fake:

    def __init__(self, name):
      self.name = name

    def ask(self, call, **arguments):
      log.append((self.name, call, arguments))
      return answer(len(log))

  answers = workers.in_turns(
      {'a': Fake('a'), 'b': Fake('b')}, 2,
      {'a': ('step', {'length': 8}), 'b': ('walk', {})})
  assert log == 3 * [('a', 'step', {'length': 8}), ('b', 'walk', {})]
  assert [a.seconds for a in answers['a']] == [3, 5]  # After the warm-up.
  assert [a.seconds for a in answers['b']] == [4, 6]
  log.clear()
  answers = workers.in_turns(
      {'a': Fake('a')}, 1, {'a': ('step', {})}, awaken=('stretch', {}))
  assert [call for _, call, _ in log] == 2 * ['stretch', 'step']
  assert [a.seconds for a in answers['a']] == [4]  # Without the stretching.


def test_ratios_are_those_of_each_turn():
  row = sides.compare({
      'ours': [answer(1.0, 4.0), answer(2.0, 2.0), answer(4.0, 3.0)],
      'peer': [answer(3.0), answer(3.0), answer(3.0)],
      'peer_bfloat16': [answer(4.0), answer(3.5), answer(3.5)]})
  assert row['sides']['ours']['seconds'] == {'min': 1.0, 'median': 2.0}
  assert row['sides']['ours']['cpu_seconds'] == {'min': 2.0, 'median': 3.0}
  assert row['best_peer'] == 'peer'  # By the minimum.
  assert row['ratios'] == {
      'ours': {'of_minima': 3.0, 'median': 1.5, 'min': 0.75}}
  assert row['turns'] == 3


class Stub:
  """Stands for all sides' workers in a whole measurement."""

  SPEEDS = {(sides.OURS, 'float32'): 1.0,
            (sides.OURS, 'bfloat16_products'): 0.5,
            (sides.PEER, 'float32'): 2.0, (sides.PEER, 'bfloat16'): 1.5}

  def __init__(self, command, **environment):
    self.command, self.speed = command, None

  def ask(self, call, **arguments):
    if call == 'begin':
      self.speed = self.SPEEDS[self.command, arguments['precision']]
    speed = self.speed or 1.0
    value = {
        'facts': {
            'steps': 10, 'real_tokens': 90, 'padded_tokens': 100,
            'padded_tokens_to_128': 400, 'necessary_flops': 6e9,
            'buckets': [4, 8]},
        'gemm': speed * 1e-3, 'trained': 7,
        'predict': arguments.get('examples'),
        'phases': {'imports': 1.0, 'steps': 3.0, 'evaluation': 1.0},
        'memory': {'peak_bytes': 5 * 10**6, 'saved_bytes': 10**6},
        'about': {'version': '1'},
    }.get(call)
    seconds = speed
    if call == 'epoch':
      steps = arguments['last'] - arguments['first']
      seconds *= steps * (3.0 if arguments.get('length') else 1.0)
    return workers.Answer(value, seconds, 2 * seconds, 0.0)

  def close(self):
    pass

  def __enter__(self):
    return self

  def __exit__(self, *_):
    pass


@pytest.fixture
def stubs(monkeypatch):
  monkeypatch.setattr(workers, 'Worker', Stub)
  monkeypatch.setattr(workers, '_PAUSE', 0.0)  # Stubs have no threads.
  monkeypatch.setattr(measures.tasks, 'load', lambda task, data_dir: None)
  monkeypatch.setattr(
      measures, 'timed', lambda command, _: answer(4.0 + len(command) % 2))


def run(**settings):
  benchmark.main(benchmark.Config(
      turns=3, slices=5, tasks='movie_sentiment', **settings))


def test_all_parts_are_measured_merged_and_printed(stubs, tmp_path, capsys):
  out = str(tmp_path / 'found.json')
  run(parts='gemm,step,inference,process', out=out)
  run(parts='epoch,start,phases,memory', out=out)
  with open(out) as file:
    found = json.load(file)
  assert set(found) == {'about', *benchmark_table.TIMED}
  for tune in ('adapters', 'full'):
    for length in ('16', '32', '64', '128'):
      row = found['step'][tune]['lengths'][length]
      assert row['best_peer'] == 'peer_bfloat16'
      assert row['ratios']['ours']['min'] == 1.5
      assert row['ratios']['ours_bfloat16']['of_minima'] == 3.0
  epoch = found['epoch']['tasks']['movie_sentiment']
  assert {side: row['seconds'] for side, row in epoch['sides'].items()} == {
      'ours': 10.0, 'ours_bfloat16': 5.0, 'peer': 20.0, 'peer_bfloat16': 15.0,
      'peer_to_128': 60.0, 'peer_bfloat16_to_128': 45.0}
  assert epoch['ratios']['ours_bfloat16']['slice_min'] == 3.0
  assert found['inference']['sizes']['8']['ratios']['ours']['median'] == 1.5
  capsys.readouterr()
  run(table=True, out=out)
  printed = capsys.readouterr().out
  for timed in benchmark_table.TIMED.values():
    assert timed in printed
  rows = [line for line in printed.splitlines() if 'to 128 |' in line]
  assert len(rows) == 2 and '60.0 *' in rows[0]
  assert '1.25' in printed  # All phases by steps and evaluation.
  # 6e9 FLOPs in 10 s, by the peak: 2 * 4096 * 1536 * 384 in a millisecond.
  # Of minima, of medians, the lowest of a turn.
  assert '| 1.50x, 1.50x (1.50x) | 3.00x, 3.00x (3.00x) |' in printed
  share = round(100 * 6e9 / 10 / (2 * 4096 * 1536 * 384 / 1e-3))
  assert f'{share} %' in printed


def test_wrong_parts_and_an_absent_file_are_user_errors(tmp_path):
  with pytest.raises(errors.UserError, match='--parts'):
    run(parts='step,naps')
  with pytest.raises(errors.UserError, match='--out'):
    run(table=True, out=str(tmp_path / 'absent.json'))
  old = tmp_path / 'old.json'
  old.write_text('{"step": {"adapters": {}, "timed": ""}}')
  with pytest.raises(errors.UserError, match='earlier version'):
    run(table=True, out=str(old))


class NecessaryFlopsTest(parameterized.TestCase):

  @parameterized.parameters(1, 3)
  def test_necessary_flops(self, layers):
    config = encoder.BertConfig(dim=8, ffn_dim=20, layers=layers,
                             adapters=(bottleneck.Bottleneck(size=3),))
    # A matrix product of [n, a] and [a, b] is 2 n a b. Frozen kernels count
    # forward and towards their input, adapters and attention three times.
    kernels, adapters, pairs = 4 * 64 + 2 * 160, 4 * 24, 2 * 8
    expected = 0
    for n in (5, 7):
      expected += (layers - 1) * 2 * (
          2 * n * kernels + 3 * n * adapters + 3 * n * n * pairs)
      expected += 2 * (2 * n * 2 * 64 + 2 * (2 * 64 + 320)
                       + 3 * adapters + 3 * n * pairs)
    self.assertEqual(
        ours.necessary_flops(config, np.array([5, 7])), expected)


def test_first_calls_of_a_length_with_a_single_step_are_no_steps(monkeypatch):
  now, taken = [0.0], set()

  def take(batch):
    now[0] += 1 if batch in taken else 8  # The first one compiles.
    taken.add(batch)

  monkeypatch.setattr(time, 'perf_counter', lambda: now[0])
  space = types.SimpleNamespace
  side = ours.Side()
  side.kind = space(
      make_score=lambda setup, size: lambda tuned, split: take(split))
  side.imports, side.loading, side._place = 3.0, 4.0, lambda batch: batch
  side.setup = space(schedule=space(  # Lengths 0, 1, 0.
      steps_per_epoch=3, at=lambda n: space(length=n % 2),
      batch=lambda n: n % 2))
  side.progress, side.memory, side._take = (
      space(state=space(tuned={})), lambda: {}, take)
  found = side.phases()
  assert found == {
      'imports': 3, 'data, base, initialisation': 4, 'programs': 3 * 7,
      'steps': 3, 'evaluation': 1, 'saving': 0}


def test_the_parent_imports_neither_library():
  code = ('import sys; from scripts.benchmark import __main__ as benchmark; '
          'print({"jax", "torch"} & set(sys.modules))')
  out = subprocess.run([sys.executable, '-c', code], check=True,
                       capture_output=True, text=True)
  assert out.stdout == 'set()\n'


@pytest.mark.interop
def test_both_sides_step_alike_in_size():
  pytest.importorskip('adapters')
  for command in (sides.OURS, sides.PEER):
    with workers.Worker(command) as worker:
      assert worker.ask(
          'gemm', rows=6, inner=5, columns=4, repeats=2,
          rounded=True).value > 0
      assert worker.ask('about').value
