"""Converts Google's TensorFlow 1 BERT checkpoints to a Hugging Face folder.

  pip install -e '.[tf1]'
  python -m scripts.convert_tf1_bert --source=uncased_L-12_H-768_A-12 --out=DIR

The source is the unpacked archive: bert_config.json, vocab.txt and
bert_model.ckpt.*. `--checkpoint=DIR` reads the result without TensorFlow.
"""

from collections.abc import Callable, Iterable
import dataclasses
import os
import re

import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax.api import flags
from adapters_jax import errors
from adapters_jax.downloads import atomic
from adapters_jax.downloads import json_files
from adapters_jax.model import pretrained
from adapters_jax.runs import options

# Variables of pretraining heads and of the optimizer.
_DROPPED = re.compile(r'^(cls/|global_step$|bad_steps|good_steps|loss_scale)|'
                      r'/(adam_[mv]|lamb_[mv])$')


@dataclasses.dataclass(frozen=True)
class Config:
  """Source and target."""
  source: str = options.option('', 'Folder of the unpacked archive.')
  out: str = options.option('', 'Folder to write.')
  cased: bool = options.option(False, 'Whether the vocabulary is cased.')


def hugging_face_name(name: str) -> str | None:
  """Returns the name of a variable in Hugging Face's BERT, None without one."""
  if _DROPPED.search(name):
    return None
  name = name.replace('/', '.')
  name = re.sub(r'\.layer_(\d+)\.', r'.layer.\1.', name)
  name = re.sub(r'\.gamma$', '.weight', name)
  name = re.sub(r'\.beta$', '.bias', name)
  name = re.sub(r'\.kernel$', '.weight', name)
  # Embeddings are variables without a leaf name of their own.
  return re.sub(r'_embeddings$', '_embeddings.weight', name)


def convert(
    names: Iterable[str], read: Callable[[str], np.ndarray]
) -> dict[str, np.ndarray]:
  """Returns {Hugging Face name: float32 tensor} of a checkpoint's variables.

  Args:
    names: Names of the variables.
    read: (name) -> value of the variable.
  """
  tensors = {}
  for name in names:
    new = hugging_face_name(name)
    if new is not None:
      value = np.asarray(read(name), np.float32)
      # Kernels are [in, out] in TensorFlow, [out, in] in Hugging Face's files.
      tensors[new] = np.ascontiguousarray(
          value.T if name.endswith('/kernel') else value)
  return tensors


def write(
    tensors: dict[str, np.ndarray], source: str, out: str, cased: bool
) -> None:
  """Writes the folder, and loads it once as a check.

  Args:
    tensors: {name in Hugging Face's BERT: tensor}.
    source: Folder of the unpacked archive.
    out: Folder to write, created if absent.
    cased: Whether the vocabulary is cased.

  Raises:
    errors.UserError: a file is missing, or the tensors do not make a BERT.
  """
  paths = {name: os.path.join(source, name)
           for name in ('bert_config.json', 'vocab.txt')}
  for path in paths.values():
    if not os.path.isfile(path):
      raise errors.UserError(f'--source: there is no file {path}')
  values = json_files.read(paths['bert_config.json'], what='--source: ')
  os.makedirs(out, exist_ok=True)
  # The released graph computes GELU by its tanh formula.
  if values.get('hidden_act') == 'gelu':
    values['hidden_act'] = 'gelu_new'
  atomic.write_json(
      os.path.join(out, 'config.json'), {'model_type': 'bert', **values})
  atomic.write_json(os.path.join(out, 'tokenizer_config.json'),
                     {'do_lower_case': not cased})
  with open(paths['vocab.txt'], 'rb') as file:
    vocabulary = file.read()
  for name, content in (('vocab.txt', vocabulary),
                        ('model.safetensors', safetensors_numpy.save(tensors))):
    with atomic.replacing(os.path.join(out, name)) as target:
      target.write(content)
  # Raises for missing, unknown and misshapen tensors.
  pretrained.load_base(out)


def main(config: Config) -> None:
  """Converts the checkpoint that the flags name."""
  if not config.source or not config.out:
    raise errors.UserError('--source and --out: name both folders')
  try:
    # Imported late: the package needs no TensorFlow.
    import tensorflow as tf
  except ImportError as error:
    raise errors.UserError(
        "TensorFlow is needed to read its checkpoints: pip install -e '.[tf1]'"
    ) from error
  prefix = os.path.join(config.source, 'bert_model.ckpt')
  try:
    reader = tf.train.load_checkpoint(prefix)
  except (ValueError, tf.errors.OpError) as error:
    raise errors.UserError(f'--source: cannot read {prefix}.*') from error
  names = sorted(reader.get_variable_to_shape_map())
  write(convert(names, reader.get_tensor), config.source, config.out,
        config.cased)
  print(f'--checkpoint={config.out}')


if __name__ == '__main__':
  flags.start(Config, main)
