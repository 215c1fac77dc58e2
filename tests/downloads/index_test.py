"""The sizes of real assets, and the growth of files that pip writes."""

import sys

from adapters_jax.downloads import assets
from adapters_jax.downloads import index


def test_growth_of_the_archive_is_reported(tmp_path):
  code = ("import time, os; folder = os.environ['TMPDIR']; "
          "open(f'{folder}/a.whl', 'wb').write(bytes(300)); "
          "open(f'{folder}/other', 'wb').write(bytes(9000)); time.sleep(0.7)")
  sizes = []
  status = index._run(
      [sys.executable, '-c', code], str(tmp_path), sizes.append)
  assert status == (0, '')
  assert sizes[-1] == 300
  assert set(sizes) <= {0, 300}


def test_embedded_checkpoints():
  assert assets.checkpoints() == ('minilm-l6', 'mpnet-base')


def test_bytes_of_the_table():
  mpnet = assets.ASSETS['mpnet-base']
  # config.json, model.safetensors, tokenizer.json, its config, vocab.txt.
  assert mpnet.size == 571 + 437_971_872 + 466_021 + 363 + 231_536
  assert mpnet.download == 404_534_822
