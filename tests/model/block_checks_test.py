"""Tests of the methods that blocks of a setup hold or refuse."""

import pytest

from adapters_jax import errors
from adapters_jax.methods import strings
from adapters_jax.model import block_checks
from adapters_jax.model import setups


def check(text, a, b):
  """Checks a setup of the methods a and b in two layers."""
  methods = {'a': strings.parse(a)[0], 'b': strings.parse(b)[0]}
  tree, places = setups.over_methods(setups.parse(text), {'a': 1, 'b': 1})
  block_checks.check(tree, [methods[name] for name, _ in places], 2)


@pytest.mark.parametrize(('text', 'one', 'two', 'message'), (
    ('fuse(a, b)', 'lora', 'houlsby', 'bottleneck adapters, not LoRA'),
    ('average(a, b)', 'lora', 'prefix_tuning', 'PrefixTuning.*attention.*or '
     'merge'),
    ('split(a, b, splits=[2])', 'loreft', 'lora', 'ReFT.*whole layers'),
    ('average(a, b)', 'prompt_tuning', 'lora', 'embeddings; give stack'),
    ('average(a, b)', 'ia3_inputs', 'lora[sites=["query", "ffn_output"]]',
     'at ffn_output, a method that scales inputs'),
    ('stack(a, b)', 'adapter_plus', 'par_bn',
     r'adapter_plus: it ends .*\(original_ln_after=False\).*put it last'),
    ('stack(average(a, a), b)', 'adapter_plus', 'houlsby', 'put it last'),
    ('stack(b, fuse(b, a), b)', 'adapter_plus', 'seq_bn', 'put it last'),
    ('average(a, b)', 'adapter_plus', 'houlsby', 'one of its members ends'),
    ('fuse(a, b)', 'seq_bn[ln_after=True,adapter_residual_before_ln=True]',
     'seq_bn', 'apart from its residual')))
def test_methods_that_a_block_cannot_hold(text, one, two, message):
  with pytest.raises(errors.UserError, match=message):
    check(text, one, two)


@pytest.mark.parametrize(('text', 'one', 'two'), (
    # Each method is alone at its sites.
    ('average(a, b)', 'ia3_inputs', 'lora'),
    ('average(a, b)', 'ia3_inputs[leave_out=[0]]',
     'lora[sites=["ffn_output"], leave_out=[1]]'),
    ('stack(a, b)', 'adapter_plus', 'houlsby[sites=["attention_output"]]'),
    ('stack(a, b)', 'adapter_plus[leave_out=[0]]', 'seq_bn[leave_out=[1]]'),
    # The one that ends the sublayer is the last there.
    ('stack(b, a)', 'adapter_plus', 'houlsby'),
    ('stack(b, average(a, a))', 'adapter_plus', 'houlsby'),
    ('fuse(a, b)', 'adapter_plus', 'seq_bn'),
    ('stack(fuse(a, b), b)', 'adapter_plus', 'seq_bn')))
def test_methods_that_a_block_holds(text, one, two):
  check(text, one, two)
