"""Fields of an encoder's config that a user sets."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.methods import lora
from tests import tiny

METHOD = lora.LoRA(r=2)


def test_a_list_of_methods_is_a_tuple():
  listed = dataclasses.replace(tiny.TWO_LAYERS, adapters=[METHOD])
  given = dataclasses.replace(tiny.TWO_LAYERS, adapters=(METHOD,))
  assert listed == given and hash(listed) == hash(given)


@pytest.mark.parametrize('adapters', [METHOD, 'lora[r=2]', None, ['lora'],
                                      {'a': METHOD}])
def test_others_than_methods_are_named(adapters):
  with pytest.raises(
      errors.UserError, match='^`adapters`: give a tuple of configs') as found:
    dataclasses.replace(tiny.TWO_LAYERS, adapters=adapters)
  assert '\n' not in str(found.value) and len(str(found.value)) < 180


@pytest.mark.parametrize('number', [np.float32, jnp.float32, jnp.array])
def test_scalars_of_numpy_and_jax_have_a_hash(number):
  config = dataclasses.replace(tiny.TWO_LAYERS, dropout=number(0.25))
  wanted = dataclasses.replace(tiny.TWO_LAYERS, dropout=0.25)
  assert config == wanted and hash(config) == hash(wanted)
