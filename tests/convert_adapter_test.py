"""Adapters on their way through the formats, as a user converts them."""

import jax
import numpy as np
import pytest

from adapters_jax import bank
from adapters_jax import inference
from adapters_jax import options
from adapters_jax import pretrained
from adapters_jax import trees
from adapters_jax.interchange import adapterhub
from adapters_jax.methods import strings
from scripts import convert_adapter
from tests import tiny


def make(text):
  """Returns an adapter for the tiny checkpoint, with a pooled head."""
  configs = strings.parse(text)
  rng = np.random.default_rng(0)
  shapes = {path: leaf.shape for path, leaf in adapterhub.adapter_shapes(
      configs, tiny.CONFIG).items()}
  shapes |= {'head/kernel': (12, 2), 'head/bias': (2,)}
  return bank.Adapter(configs, trees.unflatten({
      path: rng.standard_normal(shape, np.float32)
      for path, shape in shapes.items()}), 'pooler', ('yes', 'no'))


def convert(*flags):
  """Runs the script in this process; returns its exit status."""
  convert_adapter.flags.FLAGS.unparse_flags()
  convert_adapter.flags.FLAGS(['convert_adapter', *flags])
  try:
    convert_adapter.run(['convert_adapter'])
  except SystemExit as stopped:
    return stopped.code
  return 0


@pytest.mark.parametrize('form, text, ending', [
    ('adapterhub', 'lora[r=2]', ''), ('peft', 'lora[r=2]', ''),
    ('adapter_bert', 'bottleneck[size=3, activation=gelu_tanh]', '.npz')])
def test_there_and_back(form, text, ending, checkpoint, tmp_path, capsys):
  ours, theirs, back = (str(tmp_path / name) for name in 'abc')
  theirs += ending
  adapter = make(text)
  if form == 'adapter_bert':  # Whose checkpoints always have the norms.
    base = pretrained.load_base(checkpoint)
    norms, _ = trees.split(base, lambda path: trees.role(path) == 'norm')
    adapter.tuned.update(trees.overlay(adapter.tuned, norms))
  convert_adapter.write_own(ours, adapter, checkpoint)
  where = f'--checkpoint={checkpoint}'
  assert convert(f'--from={ours}', f'--to={theirs}', f'--format={form}',
                 where, '--labels=') == 0
  assert convert(f'--from={theirs}', f'--to={back}', '--format=own', where,
                 '--labels=yes,no') == 0
  before, after = (
      inference.load(folder, checkpoint) for folder in (ours, back))
  assert after.labels == ('yes', 'no')
  texts = [('a good film',), ('very dull',)]
  np.testing.assert_allclose(
      inference.logits(after, texts), inference.logits(before, texts),
      atol=1e-6)
  assert text.split('[')[0] in capsys.readouterr().out
  jax.tree.map(np.testing.assert_array_equal, before.tuned, {
      key: value for key, value in after.tuned.items() if key in before.tuned})


def test_what_is_wrong_is_one_line(checkpoint, tmp_path, capsys):
  where = f'--checkpoint={checkpoint}'
  for flags, message in (
      (('--from=', '--to=x', '--format=own'), 'give both'),
      ((f'--from={tmp_path}', '--to=x', '--format=own'), 'there is no'),
      (('--from=x', '--to=x', '--format=pefd'), 'mean peft')):
    assert convert(*flags, where) == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1, error
  with pytest.raises(options.UserError, match='no head'):
    convert_adapter.write_own(
        str(tmp_path), bank.Adapter((), {}), checkpoint)
