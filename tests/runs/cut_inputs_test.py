"""Inputs that `max_length` cuts: a warning where many of training are."""

import logging

import pytest

import adapters_jax as aj

QUICK = {'method': 'norms', 'max_steps': 1, 'batch_size': 16, 'buckets': 0}
LONG, SHORT = 'a good film and the plot is bad', 'good'


def trained(base, data, caplog, **settings):
  """Returns (level, message) of each line on cut inputs."""
  with caplog.at_level(logging.INFO, 'adapters_jax'):
    aj.train(base, data, dev=data, **{**QUICK, **settings})
  return [(one.levelname, one.getMessage()) for one in caplog.records
          if 'are cut to' in one.getMessage()]


@pytest.mark.parametrize('long, level, end', [
    (3, 'WARNING', '; `max_length` raises this limit'), (2, 'INFO', '')])
def test_many_cut_inputs_are_a_warning(base, caplog, long, level, end):
  data = aj.Examples(
      [LONG] * long + [SHORT] * (20 - long), ['yes', 'no'] * 10)
  assert trained(base, data, caplog, max_length=6) == [
      (level, f'train: {long} of 20 inputs are cut to 6 tokens{end}'),
      ('INFO', f'dev: {long} of 20 inputs are cut to 6 tokens')]


def test_at_the_limit_of_the_base_there_is_no_way_out(base, caplog):
  longest = base.config.longest
  data = aj.Examples(['good ' * 50] * 4, ['yes', 'no'] * 2)
  assert trained(base, data, caplog, max_length=longest)[0] == (
      'INFO', f'train: 4 of 4 inputs are cut to {longest} tokens')
  caplog.clear()
  fits = aj.Examples([LONG] * 4, ['yes', 'no'] * 2)
  assert not trained(base, fits, caplog, max_length=longest)


def test_pairs(base, caplog):
  words = ('good', 'bad', 'dull', 'fine')
  pairs = aj.Pairs([(word, f'{LONG} {word}') for word in words])
  assert trained(base, pairs, caplog, max_length=6, method='lora[r=2]') == [
      ('WARNING', 'train: 4 of 4 inputs are cut to 6 tokens; `max_length` '
       'raises this limit'),
      ('INFO', 'dev: 4 of 4 inputs are cut to 6 tokens')]
