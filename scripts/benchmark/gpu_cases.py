"""Cases of scripts.benchmark.gpu, equal on both sides; imports no torch."""

import dataclasses
import os
import shutil
from typing import Any

import jax
import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax import trees
from adapters_jax.data import tasks
from adapters_jax.methods import bottleneck
from adapters_jax.model import bert_config
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from scripts.benchmark import batches

SIZE = 64  # Width of the adapters.
SHAPES = {
    'tiny': bert_config.BertConfig(
        vocab_size=50, dim=16, layers=1, heads=2, ffn_dim=24, positions=64),
    'minilm-l6': pretrained.CHECKPOINTS['minilm-l6'],
    'base': bert_config.BertConfig(),
    'large': bert_config.BertConfig(
        dim=1024, layers=24, heads=16, ffn_dim=4096),
}


def name(case: dict[str, Any]) -> str:
  """Returns the name of a case, as in 'adapters-bfloat16-32x128'."""
  runs = f'-{case["runs"]} runs' if case.get('runs', 1) > 1 else ''
  return (f'{case["tune"]}-{case["precision"]}-{case["batch"]}x'
          f'{case["length"]}{runs}')


def shape_of(model: str, folder: str) -> bert_config.BertConfig:
  """Returns the shape of the base.

  Args:
    model: Key of SHAPES.
    folder: Folder of a checkpoint, which wins unless empty.
  """
  return pretrained.read_config(folder) if folder else SHAPES[model]


def model_of(shape: bert_config.BertConfig, tune: str) -> heads.Classifier:
  """Returns the classifier of a case.

  Args:
    shape: Shape of the base.
    tune: 'adapters' or 'full'.
  """
  adapters = (bottleneck.Bottleneck(SIZE),) if tune == 'adapters' else ()
  return heads.Classifier(dataclasses.replace(shape, adapters=adapters), 2)


def params_of(shape: bert_config.BertConfig, folder: str) -> trees.Tree:
  """Returns a whole tree with adapters and head.

  Args:
    shape: Shape of the base.
    folder: Folder of its weights; random ones when empty.
  """
  base = pretrained.load_base(folder, pooler=False) if folder else {}
  model = model_of(shape, 'adapters')
  return jax.jit(
      lambda base: encoder.init(model, jax.random.key(0), base))(base)


def with_tune(params: trees.Tree, tune: str) -> trees.Tree:
  """Returns the leaves of a case's model: without adapters for 'full'."""
  if tune == 'adapters':
    return params
  return trees.split(params, lambda path: trees.role(path) != 'adapter')[0]


def batch_of(
    shape: bert_config.BertConfig, batch: int, length: int
) -> dict[str, np.ndarray]:
  """Returns a batch of random words without padding.

  Args:
    shape: Shape of the base.
    batch: Examples.
    length: Tokens of each.
  """
  return batches.random_batch(length, batch, (5, shape.vocab_size))


def training_cases(
    batch: int, lengths: list[int]
) -> list[dict[str, Any]]:
  """Returns the cases of train steps, the most important first.

  Args:
    batch: Examples.
    lengths: Tokens of each example.
  """
  return [
      {'tune': tune, 'precision': precision, 'batch': batch, 'length': length}
      for length in sorted(lengths, reverse=True)
      for precision in ('bfloat16', 'tensorfloat32', 'float32')
      for tune in ('adapters', 'full')]


def pack(folder: str) -> None:
  """Writes MiniLM in float16 and reviews for a machine without network.

  Args:
    folder: Folder to write: model/, train.tsv and dev.tsv.
  """
  source = pretrained.resolve('minilm-l6')
  target = os.path.join(folder, 'model')
  os.makedirs(target, exist_ok=True)
  for file in os.listdir(source):
    if file.endswith(('.json', '.txt')) and os.path.isfile(
        os.path.join(source, file)):
      shutil.copy(os.path.join(source, file), target)
  weights = safetensors_numpy.load_file(
      os.path.join(source, 'model.safetensors'))
  safetensors_numpy.save_file(
      {key: value.astype(np.float16) if value.dtype == np.float32 else value
       for key, value in weights.items()},
      os.path.join(target, 'model.safetensors'))
  task = tasks.find('movie_sentiment')
  for split, most in (('train', 1000), ('dev', 500)):
    found = tasks.load(task, '')[split]
    with open(os.path.join(folder, f'{split}.tsv'), 'w') as file:
      file.write('sentence\tlabel\n')
      for (text,), label in list(zip(found.texts, found.labels))[:most]:
        text = ' '.join(text.split())
        file.write(f'{text}\t{task.labels[label]}\n')
