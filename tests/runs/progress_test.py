import io
import logging
import types
from unittest import mock

import numpy as np
import pytest

from adapters_jax.data import batching
from adapters_jax.data import examples as examples_lib
from adapters_jax.runs import console
from adapters_jax.runs import progress


def test_lines_where_there_is_no_terminal(clock, capsys):
  meter = progress.Meter(steps=200, done=20, batch_size=8, eval_every=500)
  for step in range(60):
    clock.seconds += 40.0 if step in (0, 30) else 1.0  # Two steps compile.
    meter.update(0.5, lambda: 1e-3)
  meter.close()
  out, err = capsys.readouterr()
  lines = out.splitlines()
  assert lines[0] == (
      'about 3 min for the other 174 steps, without evaluations and compiling')
  assert lines[1] == ('step 51 of 200: loss 0.500, rate 1.00e-03, '
                      '8 examples/s, about 2 min left, without evaluations')
  assert len(lines) == 2 and not err
  assert '\x1b' not in out and '\r' not in out


def test_evaluations_are_a_part_of_the_forecast(clock, capsys):
  meter = progress.Meter(steps=250, done=0, batch_size=8, eval_every=100)
  for step in range(1, 241):
    clock.seconds += 1.0
    meter.update(0.5, lambda: 1e-3)
    if step % 100 == 0:
      with meter.evaluation(step):
        # The first one compiles.
        clock.seconds += 1200.0 if step == 100 else 600.0
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == (
      'about 4 min for the other 240 steps, without evaluations and compiling')
  assert [line.partition('examples/s, ')[2] for line in lines[1:]] == [
      'about 4 min left, without evaluations',  # 210 steps.
      'about 3 min left, without evaluations',
      'about 2 min left, without evaluations',
      'about 42 min left',  # 149 steps, 2 * 20 min.
      'about 42 min left', 'about 41 min left', 'about 41 min left',
      'about 11 min left',  # 49 steps, 10 min.
      'about 10 min left']
  assert 'step 101 of 250' in lines[4]


def test_a_continued_run_forecasts_the_evaluations_that_are_left(clock, capsys):
  # Stopped between step 100 and its evaluation.
  meter = progress.Meter(
      steps=300, done=100, batch_size=8, eval_every=100, evaluated=0)
  with meter.evaluation(100):
    clock.seconds += 3600.0
  for _ in range(5):
    clock.seconds += 2.0
    meter.update(0.5, lambda: 1e-3)
  assert capsys.readouterr().out == (
      'about 2.1 h for the other 195 steps and 2 evaluations, without '
      'compiling\n')


def test_first_steps_that_compile_are_not_in_the_forecast(clock, capsys):
  meter = progress.Meter(steps=200, done=0, batch_size=8, eval_every=500)
  # The program of a step is loaded while the step before is read, and a step
  # may be done by the time that its own program is there.
  seconds = [7.0, 7.0, 0.002, 7.0, 7.0, 0.002, 7.0, 0.002, *[0.5] * 12]
  for step, some in enumerate(seconds):
    clock.seconds += some
    meter.update(0.5, lambda: 1e-3, step < 8)
  assert capsys.readouterr().out.splitlines() == [
      'about 2 min for the other 187 steps, without evaluations and compiling']


def test_a_short_training_has_no_lines(clock, capsys):
  meter = progress.Meter(steps=9, done=0, batch_size=8, eval_every=500)
  for _ in range(9):
    clock.seconds += 1.0
    meter.update(0.5, lambda: 1e-3)
  assert capsys.readouterr() == ('', '')


def test_a_bar_on_a_terminal(clock):
  class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
      return True
  out, err = Terminal(), Terminal()
  with mock.patch('sys.stdout', out), mock.patch('sys.stderr', err):
    meter = progress.Meter(steps=200, done=0, batch_size=8, eval_every=500)
    for _ in range(100):
      clock.seconds += 1.0
      meter.update(0.5, lambda: 1e-3)
    meter.close()
  assert '200' in err.getvalue()
  assert len(out.getvalue().splitlines()) == 1  # The forecast.


def test_a_library_shows_nothing(clock, capsys):
  console.hide()
  meter = progress.Meter(steps=200, done=0, batch_size=8, eval_every=500)
  for _ in range(100):
    clock.seconds += 1.0
    meter.update(0.5, lambda: 1e-3)
  assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('seconds, text', [
    (0.4, '0 s'), (89, '89 s'), (91, '2 min'), (3600, '60 min'),
    (7200, '2.0 h')])
def test_durations(seconds, text):
  assert progress.duration(seconds) == text


def test_every_line_has_the_prefix(capsys):
  console.show(prefix='cola --seed=1: ')
  logging.getLogger('adapters_jax.x').info('one\ntwo')
  console.show()
  logging.getLogger('adapters_jax.x').info('three')
  assert capsys.readouterr().out == (
      'cola --seed=1: one\ncola --seed=1: two\nthree\n')


def test_the_plan_counts_as_the_schedule_does():
  examples = examples_lib.Examples(
      [np.arange(3)] * 10 + [np.arange(5)] * 7,
      [np.zeros(3)] * 10 + [np.zeros(5)] * 7, np.zeros(17, np.int64))
  schedule = batching.Schedule(examples, [5], 4, seed=0)
  setup = types.SimpleNamespace(
      splits={'train': examples, 'dev': examples}, schedule=schedule, steps=15,
      eval_every=5, data={'train': {'examples': 17}, 'dev': {'examples': 17}})
  assert progress.plan_line(setup) == (
      'examples: train 17, dev 17; 15 steps of 4 examples (3 epochs), about '
      '195 tokens (300 with padding); evaluated every 5 steps')
  assert '(3 epochs of 2 runs)' in progress.plan_line(setup, 2)
  setup.steps = 5
  assert '(1 epoch)' in progress.plan_line(setup)
  setup.steps = 15
  setup.data['train']['examples'] = 9  # Sentences, the longest in two windows.
  assert progress.plan_line(setup).startswith(
      'examples: train 9 in 17 windows, dev 17 in 17 windows; 15 steps of 4 '
      'windows (3 epochs)')
