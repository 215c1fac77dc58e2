"""Presets of the paper and its authors' code, and defaults of experiments."""

from typing import Any

from adapters_jax import errors
from adapters_jax.runs import config as config_lib

PRESETS = {
    # Houlsby et al. (2019), sections 3.1, 3.2 and 3.6. For a sweep over the
    # paper's grid, add `--grid=paper --seeds=0-4`.
    'paper': {
        'tune': 'adapters', 'tune_norms': True, 'adapter_size': 64,
        'init_scale': 1e-2, 'optimizer': 'adam', 'batch_size': 32,
        'warmup': 0.1, 'learning_rate': 3e-4, 'epochs': 20.0,
        'max_length': 128, 'head_input': 'cls'},
    # The authors' released code at its defaults, with the rate and epochs of
    # its example run on MRPC.
    'adapter_bert': {
        'tune': 'adapters', 'tune_norms': True, 'adapter_size': 64,
        'init_scale': 1e-3, 'activation': 'gelu_tanh',
        'hidden_activation': 'gelu_tanh', 'optimizer': 'adapter_bert',
        'weight_decay': 0.01, 'clip_norm': 1.0, 'batch_size': 32,
        'warmup': 0.1, 'learning_rate': 3e-4, 'epochs': 5.0,
        'max_length': 128, 'head_input': 'pooler', 'dropout': 0.1},
}

# Defaults of question answering, in place of those of Config.
SQUAD = {'task': config_lib.SQUAD, 'max_length': 384}
# The same for sentence embeddings.
EMBEDDINGS = {'text_columns': 'anchor,positive', 'max_length': 256,
              'file_task': 'pairs'}
# The same for masked language modelling. Norms stay untuned, so that task
# adapters can stack on the result.
LANGUAGE_MODELING = {
    'task': config_lib.TEXTS, 'adapter_config': 'seq_bn_inv',
    'tune_norms': False, 'text_columns': 'text', 'file_task': 'text'}


def find(name: str) -> dict[str, Any]:
  """Returns the settings of a preset; UserError with near matches if none."""
  if name not in PRESETS:
    raise errors.unknown('--preset', name, PRESETS)
  return PRESETS[name]
