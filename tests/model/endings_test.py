"""Methods that presume a norm at the end of sublayers, where there is none."""

import json
import re

import pytest

from adapters_jax.api import train_names
from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.methods import strings
from adapters_jax.model import endings
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import task_checks
from tests import tiny_families

REFUSED = ('seq_bn', 'pfeiffer', 'adapter_plus', 'seq_bn_inv', 'pfeiffer+inv',
           'compacter++', 'unipelt')


def check(text):
  endings.check_pre_norm(strings.parse(text), 'modernbert', text)


@pytest.mark.parametrize('name', methods.CONFIGS)
def test_the_advice_to_a_refused_method_works(name):
  if name not in REFUSED:
    check(name)
    return
  with pytest.raises(errors.UserError) as raised:
    check(f'lora|{name}')
  message = str(raised.value)
  assert message.startswith(f'`adapter_config=lora|{name}`: sublayers of ')
  changed = re.search(r', as in (.*), or give', message)[1]
  assert changed.startswith(f'{name}[')
  other = re.search(r'such as (\w+)$', message)[1]
  assert other == f'double_seq_bn{"_inv" * name.endswith("inv")}'
  for text in (changed, other):
    check(text)


def test_the_advice_of_a_residual_that_reads_the_norm():
  with pytest.raises(errors.UserError, match='seq_bn presumes one') as raised:
    check('seq_bn[residual_before_ln=post_add]')
  changes = re.search('; set (.*), as in', str(raised.value))[1]
  assert changes == 'original_ln_before=false, residual_before_ln=true'
  check(f'seq_bn[{changes}]')


def test_a_run_names_the_method_as_it_was_given(tmp_path):
  (tmp_path / 'config.json').write_text(
      json.dumps(tiny_families.VALUES['modernbert']))
  config = config_lib.Config(
      checkpoint=str(tmp_path), adapter_config='pfeiffer+inv', max_length=16)
  with pytest.raises(errors.UserError, match=re.escape(
      "`method='pfeiffer+inv'`: sublayers")), train_names.arguments():
    task_checks.check_model(config)
