"""A tiny BERT checkpoint and data files, made on the spot for the tests."""

import dataclasses
import functools
import json
import os
from typing import Any
from unittest import mock

import jax
import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax import trees
from adapters_jax.adapters import storage
from adapters_jax.data import batching
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import shapes as shapes_lib
from adapters_jax.runs import config as config_lib

WORDS = ('good', 'fine', 'great', 'bad', 'poor', 'dull', 'a', 'film', 'very',
         'the', 'plot', '##s')
VOCABULARY = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS)
CONFIG = encoder.BertConfig(
    vocab_size=len(VOCABULARY), dim=12, layers=1, heads=2, ffn_dim=20,
    positions=40)
# Where layers differ. A program of one layer compiles in half the time.
TWO_LAYERS = dataclasses.replace(CONFIG, layers=2)
_VALUES = {
    'model_type': 'bert', 'vocab_size': CONFIG.vocab_size, 'hidden_size': 12,
    'num_hidden_layers': 1, 'num_attention_heads': 2, 'intermediate_size': 20,
    'max_position_embeddings': 40, 'type_vocab_size': 2, 'hidden_act': 'gelu'}


@functools.partial(jax.jit, static_argnums=0, static_argnames=('rows', 'train'))
def apply(model, params, *inputs, **keywords):
  """Returns a module's output, computed by one compiled program.

  Without jit every operation of a new shape is a program of its own.
  """
  return model.apply({'params': params}, *inputs, **keywords)


def hugging_face_shapes(
    dim: int, layers: int, ffn_dim: int, vocab_size: int, positions: int
) -> dict[str, tuple[int, ...]]:
  """Returns {name: shape} of a Hugging Face BertModel."""
  shapes = {
      'embeddings.word_embeddings.weight': (vocab_size, dim),
      'embeddings.position_embeddings.weight': (positions, dim),
      'embeddings.token_type_embeddings.weight': (2, dim),
      'embeddings.LayerNorm.weight': (dim,),
      'embeddings.LayerNorm.bias': (dim,),
      'pooler.dense.weight': (dim, dim),
      'pooler.dense.bias': (dim,),
  }
  for layer in range(layers):
    for name, out, inner in (
        ('attention.self.query', dim, dim), ('attention.self.key', dim, dim),
        ('attention.self.value', dim, dim),
        ('attention.output.dense', dim, dim),
        ('intermediate.dense', ffn_dim, dim), ('output.dense', dim, ffn_dim)):
      shapes[f'encoder.layer.{layer}.{name}.weight'] = (out, inner)
      shapes[f'encoder.layer.{layer}.{name}.bias'] = (out,)
    for name in ('attention.output', 'output'):
      for leaf in ('weight', 'bias'):
        shapes[f'encoder.layer.{layer}.{name}.LayerNorm.{leaf}'] = (dim,)
  return shapes


def random_tensors(
    shapes: dict[str, tuple[int, ...]], seed: int = 0, scale: float = 0.02
) -> dict[str, np.ndarray]:
  """Returns float32 tensors of these shapes; norms' scales are about 1."""
  rng = np.random.default_rng(seed)
  return {
      name: (scale * rng.standard_normal(shape, np.float32)
             + np.float32(name.endswith('LayerNorm.weight')))
      for name, shape in sorted(shapes.items())}


def write_checkpoint(
    folder: str, prefix: str = '', seed: int = 0, dim: int = 12,
    ffn_dim: int = 20, layers: int = 1, positions: int = 40,
) -> str:
  """Writes a tiny BERT as a Hugging Face folder and returns the folder."""
  os.makedirs(folder, exist_ok=True)
  tensors = random_tensors(
      hugging_face_shapes(dim, layers, ffn_dim, len(VOCABULARY), positions),
      seed, 0.3)
  safetensors_numpy.save_file(
      {prefix + name: value for name, value in tensors.items()},
      os.path.join(folder, 'model.safetensors'))
  with open(os.path.join(folder, 'config.json'), 'w') as file:
    json.dump({
        **_VALUES, 'hidden_size': dim, 'intermediate_size': ffn_dim,
        'num_hidden_layers': layers, 'max_position_embeddings': positions},
              file)
  with open(os.path.join(folder, 'vocab.txt'), 'w') as file:
    file.write('\n'.join(VOCABULARY) + '\n')
  return folder


def write_data(
    folder: str, examples: int = 60, seed: int = 0
) -> dict[str, str]:
  """Writes train, dev and test TSVs that a tiny model can learn.

  Returns:
    {'train_file', 'dev_file', 'test_file': path}
  """
  os.makedirs(folder, exist_ok=True)
  rng = np.random.default_rng(seed)
  paths = {}
  for split, count in (
      ('train', examples), ('dev', examples // 2), ('test', examples // 3)):
    path = os.path.join(folder, f'{split}.tsv')
    with open(path, 'w') as file:
      file.write('sentence\tlabel\n')
      for _ in range(count):
        label = int(rng.integers(2))
        words = list(rng.choice(WORDS[6:11], rng.integers(2, 9)))
        words.insert(0, str(rng.choice(WORDS[3:6] if label else WORDS[:3])))
        file.write(f'{" ".join(words)}\t{("yes", "no")[label]}\n')
    paths[f'{split}_file'] = path
  return paths


def run_config(
    checkpoint: str, own_files: dict[str, str], workdir: str, **changed: Any
) -> config_lib.Config:
  """Returns the settings of a run of 8 steps, evaluated after 4 and 8.

  In float32, so that processes which a test starts compute as the test does.

  Args:
    checkpoint: Folder of `write_checkpoint`.
    own_files: Paths of `write_data`.
    workdir: Folder of the results.
    **changed: Other settings.
  """
  return config_lib.Config(**{
      'checkpoint': checkpoint, **own_files, 'adapter_size': 3,
      'batch_size': 16, 'learning_rate': 1e-2, 'buckets': 1, 'max_length': 12,
      'max_steps': 8, 'eval_every': 4, 'precision': 'float32',
      'workdir': workdir, **changed})


def at_step(wanted, act):
  """Acts when the batch of a step is made, while the step before runs."""
  make = batching.Schedule.batch

  def batch(self, step):
    if step == wanted:
      act()
    return make(self, step)
  return mock.patch.object(batching.Schedule, 'batch', batch)


def tuned_of(workdir: str) -> dict[str, np.ndarray]:
  """Returns {path: array} of the adapter in a workdir."""
  return trees.flatten(
      storage.load_tuned(os.path.join(workdir, 'adapter'))[0])


def random_batch(
    config: encoder.BertConfig = CONFIG, batch: int = 4, length: int = 5,
    seed: int = 0,
) -> dict[str, np.ndarray]:
  """Returns a batch whose last rows are padded and whose last is filler."""
  rng = np.random.default_rng(seed)
  lengths = np.maximum(2, length - np.arange(batch))
  weights = np.ones(batch, np.float32)
  weights[-1] = 0.0
  return {
      'tokens': rng.integers(5, config.vocab_size, (batch, length), np.int32),
      'segments': rng.integers(0, 2, (batch, length), np.int32),
      'mask': np.arange(length) < lengths[:, None],
      'labels': rng.integers(0, 2, batch, np.int32),
      'weights': weights,
  }


def init(model: heads.Classifier, seed: int = 0) -> dict:
  """Returns initialised parameters of a model."""
  # Not jitted: a whole program would compile anew for every model, operations
  # of equal shapes compile once.
  return encoder.init(model, jax.random.key(seed))


def drawn(
    model: heads.Classifier, base: dict | None = None, seed: int = 0
) -> dict:
  """Returns a base with random leaves for what a model has beside it.

  NumPy draws them, so that nothing compiles: tests of what does not depend on
  the initial values take half the time.

  Args:
    model: Model, with adapters or without.
    base: Tree that is kept; None to draw all.
    seed: Of the random leaves. Scales are about 1, variances positive.
  """
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    values = np.float32(0.3) * rng.standard_normal(leaf.shape, np.float32)
    if path.endswith('running_variance'):
      return np.abs(values)
    return values + np.float32(path.endswith('scale'))

  whole = trees.map_with_path(draw, shapes_lib.of(model))
  return trees.overlay(whole, base) if base else whole
