"""The history of a training in memory, and of adapters without a training."""

import dataclasses
import json
import logging
import math
import signal
import sys

import numpy as np
import pytest

import adapters_jax as aj
from tests import tiny

EXAMPLES = aj.Examples(
    ['good film', 'bad film', 'great plot', 'dull plot'] * 16,
    ['yes', 'no'] * 32)


@pytest.fixture(scope='module')
def adapter(base):
  return aj.train(base, EXAMPLES, method='lora[r=2]', max_steps=6, eval_every=2,
                  batch_size=8, buckets=1, learning_rate=1e-2)


def test_an_entry_for_each_evaluation(adapter):
  assert [entry['step'] for entry in adapter.history] == [2, 4, 6]
  assert all(0 < entry['loss'] < 2 for entry in adapter.history)
  # The first of the best steps is the one that is kept.
  metric = next(iter(adapter.scores['dev']))
  best = max(adapter.history, key=lambda entry: entry['dev'][metric])
  assert best['dev'] == pytest.approx(adapter.scores['dev'])
  assert [entry for entry in adapter.history if 'kept' in entry] == [best]
  assert best['kept'] is True
  assert json.loads(json.dumps(adapter.history)) == list(adapter.history)


def test_the_loss_is_the_mean_since_the_last_entry(base, adapter):
  whole = aj.train(base, EXAMPLES, method='lora[r=2]', max_steps=6,
                   eval_every=6, batch_size=8, buckets=1, learning_rate=1e-2)
  entry, = whole.history
  assert math.isclose(entry['loss'], np.mean(
      [part['loss'] for part in adapter.history]), rel_tol=1e-5)


@pytest.mark.parametrize('number', [1, 4])
def test_ctrl_c_in_a_notebook(base, adapter, number, monkeypatch, caplog):
  monkeypatch.setattr(sys, 'ps1', '>>> ', raising=False)

  def again():
    return aj.train(base, EXAMPLES, method='lora[r=2]', max_steps=6,
                    eval_every=2, batch_size=8, buckets=1, learning_rate=1e-2)

  with tiny.at_step(number, lambda *_: signal.raise_signal(signal.SIGINT)):
    if number < 2:  # Before an evaluation, there is no best step.
      with pytest.raises(KeyboardInterrupt):
        again()
      return
    found = again()
  taken = number + 1
  best, = (entry for entry in found.history if 'kept' in entry)
  assert [entry['step'] for entry in found.history] == [2, 4]
  for entry, other in zip(found.history, adapter.history):
    assert {**other, 'kept': ''} == {**entry, 'kept': ''}
  metric = next(iter(found.scores['dev']))
  assert best['dev'][metric] == max(
      entry['dev'][metric] for entry in found.history)
  assert found.scores['dev'] == pytest.approx(best['dev'])
  message = f'after step {taken} of 6; the adapter is that of step '
  assert f'{message}{best["step"]}, the best so far' in caplog.text


def test_a_collapse_is_in_the_history_and_logged(base, caplog):
  caplog.set_level(logging.INFO, 'adapters_jax')
  found = aj.train(base, EXAMPLES, method='head', max_steps=1, batch_size=8,
                   buckets=1, learning_rate=1e-9, train_examples=20)
  label = found.history[0]['collapsed_to']
  assert label in ('no', 'yes')
  assert [(record.levelname, record.getMessage()) for record in caplog.records
          if record.name == 'adapters_jax.runs.run'] == [
      ('INFO', 'trained on 20 of 58 examples'),
      ('WARNING', f'collapse: every dev example is called {label!r}; try a '
       'lower learning rate or another seed')]


def test_no_label_at_all_is_a_collapse_too(base, caplog):
  found = aj.train(
      base, aj.Examples(['good film', 'bad plot'] * 10, [['x'], ['y']] * 10),
      method='head', max_steps=1, batch_size=8, buckets=0, learning_rate=1e-9,
      threshold=0.99)
  assert found.history[0]['collapsed_to'] == ''
  assert 'collapse: no dev example has a predicted label; try' in caplog.text


def test_other_adapters_have_none(base, adapter, tmp_path):
  adapter.save(str(tmp_path))
  loaded = aj.load_adapter(str(tmp_path))
  bank = {'a': adapter, 'b': adapter}
  whole = aj.compose(bank, 'stack(a, b)')
  for other in (loaded, aj.merge(bank), aj.merge(bank, rank=1), whole,
                aj.member(whole, 'a'), aj.drop_layers(base, adapter, 1)):
    assert other.history == ()
  # It is no part of what an adapter is.
  assert dataclasses.replace(adapter, history=()) == adapter
  assert 'history' not in repr(adapter)
