"""Writes what transformers' BERT computes, for the parity tests.

Run where torch and transformers are installed (extra `interop`):

  python -m scripts.make_bert_fixtures --checkpoint=DIR --out=tests/fixtures

DIR is the MiniLM folder in the cache. The tests then need neither library.
"""

import json
import os

from absl import app
from absl import flags
import numpy as np

from tests import parity

_CHECKPOINT = flags.DEFINE_string(
    'checkpoint', None, 'Folder of MiniLM.', required=True)
_OUT = flags.DEFINE_string('out', 'tests/fixtures', 'Where to write.')


def main(_) -> None:
  """Writes bert_hidden.npz and tokenization.json."""
  arrays = {}
  for name in parity.MODELS:
    batch = parity.make_inputs(name, _CHECKPOINT.value)
    hidden, pooled = parity.run_transformers(name, _CHECKPOINT.value, batch)
    for i, layer in enumerate(hidden):
      arrays[f'{name}_{i}'] = parity.sample(layer)
    arrays[f'{name}_pooled'] = parity.sample(pooled)
  np.savez_compressed(os.path.join(_OUT.value, 'bert_hidden.npz'), **arrays)
  rows = parity.tokenize_with_transformers(_CHECKPOINT.value)
  with open(os.path.join(_OUT.value, 'tokenization.json'), 'w') as file:
    json.dump(rows, file)


if __name__ == '__main__':
  app.run(main)
