"""Tiny encoders of every family: values of config.json, tensors, batches.

Names and shapes of the tensors are those of transformers, as
tests/fixtures/make_family_fixtures.py wrote them. Values come from a seed, so
that both sides draw the same.
"""

import functools
import json
import os

import numpy as np
from safetensors import numpy as safetensors_numpy

from adapters_jax.model import encoder
from adapters_jax.model import families
from tests import tiny

TENSORS = 'tests/fixtures/family_tensors.json'
_SIZES = {
    'vocab_size': 43, 'hidden_size': 12, 'num_hidden_layers': 2,
    'num_attention_heads': 3, 'intermediate_size': 20, 'hidden_act': 'gelu'}
_ROBERTA = {
    **_SIZES, 'max_position_embeddings': 46, 'type_vocab_size': 1,
    'layer_norm_eps': 1e-5, 'pad_token_id': 1}
_ELECTRA = {**_SIZES, 'model_type': 'electra', 'max_position_embeddings': 38,
            'type_vocab_size': 2}
_MODERNBERT = {
    'model_type': 'modernbert', 'vocab_size': 43, 'hidden_size': 12,
    'num_attention_heads': 3, 'intermediate_size': 20,
    'hidden_activation': 'gelu', 'pad_token_id': 0, 'cls_token_id': 1,
    'sep_token_id': 2, 'bos_token_id': 1, 'eos_token_id': 2,
    'reference_compile': False}
_DEBERTA = {
    **_SIZES, 'model_type': 'deberta-v2', 'relative_attention': True,
    'share_att_key': True, 'norm_rel_ebd': 'layer_norm',
    'pos_att_type': 'p2c|c2p', 'position_biased_input': False,
    'type_vocab_size': 0, 'layer_norm_eps': 1e-7, 'pad_token_id': 0}
# {case: values of config.json}
VALUES = {
    'bert': {**_SIZES, 'model_type': 'bert', 'max_position_embeddings': 38,
             'type_vocab_size': 2},
    'mpnet': {
        **_SIZES, 'model_type': 'mpnet', 'max_position_embeddings': 140,
        'layer_norm_eps': 1e-5, 'relative_attention_num_buckets': 32,
        'pad_token_id': 1},
    'roberta': {**_ROBERTA, 'model_type': 'roberta'},
    'xlm-roberta': {**_ROBERTA, 'model_type': 'xlm-roberta'},
    'camembert': {**_ROBERTA, 'model_type': 'camembert'},
    'distilbert': {
        'model_type': 'distilbert', 'vocab_size': 43, 'dim': 12, 'n_layers': 2,
        'n_heads': 3, 'hidden_dim': 20, 'max_position_embeddings': 38,
        'activation': 'gelu', 'sinusoidal_pos_embds': False},
    'electra': {**_ELECTRA, 'embedding_size': 12},
    'electra-small': {**_ELECTRA, 'embedding_size': 10},
    # Distances in buckets of one, of several, and in the last one.
    'deberta': {**_DEBERTA, 'position_buckets': 8,
                'max_position_embeddings': 38},
    # The buckets of the published models.
    'deberta-256': {**_DEBERTA, 'position_buckets': 256,
                    'max_position_embeddings': 512},
    # Layers 1 and 2 are local; texts of several blocks.
    'modernbert': {
        **_MODERNBERT, 'num_hidden_layers': 4, 'local_attention': 8,
        'max_position_embeddings': 38},
    # The window of the published models, a local layer last, biases.
    'modernbert-128': {
        **_MODERNBERT, 'num_hidden_layers': 3, 'local_attention': 128,
        'local_rope_theta': None, 'max_position_embeddings': 140,
        'attention_bias': True, 'mlp_bias': True, 'norm_bias': True},
}
# Lengths of the texts of a batch. MPNet's lie on both sides of the edges of its
# buckets, ModernBERT's on those of its window, and the first one elsewhere
# needs the last row of positions.
_LENGTHS = {
    'mpnet': (130, 91, 64, 32, 16, 8, 7), 'roberta': (44, 9, 3),
    'xlm-roberta': (44, 9, 3), 'camembert': (44, 9, 3),
    'modernbert-128': (140, 70, 60), 'deberta-256': (150, 130, 129, 128)}
_SHORTER = (38, 9, 3)


# Families whose layers are another's, under the other's case.
ALIASES = {'xlm-roberta': 'roberta', 'camembert': 'roberta'}
# Families with a class of layers of their own, which have tests of their own.
OTHER_LAYERS = {'modernbert'}
REPEATED = {'deberta-256'}  # Cases of other lengths for a family with a case.


def sampled() -> list[str]:
  """Returns one case of each family with BERT's layers, except BERT's own."""
  first: dict[str, str] = {}
  for case, values in VALUES.items():
    first.setdefault(values['model_type'], case)
  first['electra'] = 'electra-small'  # A narrow embedding is the harder one.
  return [case for name, case in first.items()
          if name != 'bert' and name not in {*ALIASES, *OTHER_LAYERS}]


def config(case: str) -> encoder.BertConfig:
  """Returns the shape of a case."""
  return families.parse_config(VALUES[case], case)


@functools.cache
def names() -> dict[str, dict]:
  """Returns the names of tensors in transformers, for each case.

  Returns:
    {case: {'bare': {name: shape} of the encoder alone, 'prefix': of these names
    in models of tasks, 'AutoModelForPreTraining', 'AutoModelForMaskedLM' and
    'AutoModelForSequenceClassification': names of their heads}}
  """
  with open(TENSORS, encoding='utf-8') as file:
    return json.load(file)


def names_of(case: str) -> dict:
  """Returns the entry of a case in `names`.

  Args:
    case: Key of VALUES.

  Raises:
    LookupError: names the command that makes the fixtures of the case.
  """
  if case not in names():
    raise LookupError(
        f'{TENSORS} has no {case!r}; run `python -m '
        'tests.fixtures.make_family_fixtures` in the environment of the live '
        'comparisons (CONTRIBUTING.md, "Set-up and tests")')
  return names()[case]


def random_tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
  """Returns float32 tensors of these shapes, norms' scales about 1."""
  tensors = tiny.random_tensors(shapes, scale=0.3)
  for name in tensors:
    # Not called LayerNorm: DistilBERT's and ModernBERT's.
    if name.endswith('norm.weight'):
      tensors[name] += 1
  return tensors


def tensors(case: str) -> dict[str, np.ndarray]:
  """Returns {name: tensor} of the bare encoder of a case."""
  return random_tensors({
      name: tuple(shape) for name, shape in names_of(case)['bare'].items()})


def batch(case: str) -> dict[str, np.ndarray]:
  """Returns tokens, segments and mask [texts, length] of a case.

  Padding has the token 0, as in all batches of this package.
  """
  rng = np.random.default_rng(3)
  lengths = np.array(_LENGTHS.get(case, _SHORTER))
  shape = len(lengths), lengths.max()
  mask = np.arange(shape[1]) < lengths[:, None]
  tokens = rng.integers(5, VALUES[case]['vocab_size'], shape, np.int32)
  segments = (np.arange(shape[1]) >= 3).astype(np.int32) * mask
  return {'tokens': tokens * mask, 'segments': segments.astype(np.int32),
          'mask': mask}


def write_checkpoint(case: str, folder: str) -> str:
  """Writes a case as a Hugging Face folder and returns the folder."""
  tiny.write_checkpoint(folder)  # For its vocabulary.
  safetensors_numpy.save_file(
      tensors(case), os.path.join(folder, 'model.safetensors'))
  with open(os.path.join(folder, 'config.json'), 'w') as file:
    json.dump(VALUES[case], file)
  # The vocabulary is BERT's: other families have other default names.
  names = ('cls', 'sep', 'unk', 'pad', 'mask')
  with open(os.path.join(folder, 'tokenizer_config.json'), 'w') as file:
    json.dump({f'{name}_token': f'[{name.upper()}]' for name in names}, file)
  return folder
