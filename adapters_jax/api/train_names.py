"""Rewrites messages of runs, which name settings, for callers of `train`."""

from collections.abc import Iterable, Iterator
import contextlib
import dataclasses
import re
from typing import Any

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.adapters import folders
from adapters_jax.methods import hints
from adapters_jax.runs import checks

# {setting: argument of `train`}
ARGUMENT_OF = {
    'tune': 'method', 'adapter_config': 'method', 'adapters': 'under',
    'checkpoint': 'base', 'task': 'data', 'train_file': 'data',
    'dev_file': 'dev', 'dev_fraction': 'dev', 'test_file': 'test',
    'test_fraction': 'test'}

# {setting: command that shows its use, if that is no `train --SETTING=...`}
_COMMANDS = {
    'resume': 'train --workdir=... --resume',
    **{name: f'train --train_file=... --{name}=...' for name in (
        'text_columns', 'label_column', 'label_separator', 'choice_columns',
        'file_task')},
    'negative_column': 'sweep --experiment=embeddings --negative_column=...'}

# {name in other libraries: setting or argument}
SAME = {
    'adapter': 'method', 'adapter_name': 'method', 'amp': 'precision',
    'autocast': 'precision', 'bf16': 'precision', 'bs': 'batch_size',
    'checkpointing': 'remat', 'clip': 'clip_norm',
    'compute_metrics': 'metric', 'data_seed': 'seed', 'dev_data': 'dev',
    'dev_dataset': 'dev', 'dev_examples': 'dev', 'dtype': 'precision',
    'early_stopping': 'patience',
    'early_stopping_patience': 'patience', 'eval': 'dev', 'eval_data': 'dev',
    'eval_dataset': 'dev', 'eval_examples': 'dev',
    'eval_metric': 'metric', 'eval_set': 'dev', 'eval_steps': 'eval_every',
    'eval_strategy': 'eval_every', 'evaluation_strategy': 'eval_every',
    'fp16': 'precision', 'grad_clip': 'clip_norm',
    'gradient_accumulation_steps': 'accumulate',
    'gradient_checkpointing': 'remat', 'gradient_clip_val': 'clip_norm',
    'grad_accum': 'accumulate', 'hidden_dropout_prob': 'dropout',
    'init_from': 'start', 'key': 'seed',
    'label_smoothing_factor': 'label_smoothing', 'lr': 'learning_rate',
    'lora_config': 'method', 'max_grad_norm': 'clip_norm',
    'max_len': 'max_length', 'max_seq_len': 'max_length',
    'max_seq_length': 'max_length', 'max_tokens': 'max_length',
    'metric_for_best_model': 'metric', 'mixed_precision': 'precision',
    'mlm_probability': 'mask_rate', 'monitor': 'metric', 'n_epochs': 'epochs',
    'num_epochs': 'epochs', 'num_steps': 'max_steps',
    'num_train_epochs': 'epochs', 'optim': 'optimizer',
    'peft_config': 'method', 'per_device_train_batch_size': 'batch_size',
    'pos_weight': 'class_weights', 'random_state': 'seed',
    'resume_from_checkpoint': 'start', 'rng': 'seed',
    'sequence_length': 'max_length', 'steps': 'max_steps',
    'test_data': 'test', 'test_dataset': 'test', 'torch_dtype': 'precision',
    'train_batch_size': 'batch_size', 'train_data': 'data',
    'train_dataset': 'data', 'training_steps': 'max_steps',
    'val': 'dev', 'val_data': 'dev', 'val_dataset': 'dev', 'valid': 'dev',
    'validation': 'dev', 'validation_data': 'dev',
    'warmup_ratio': 'warmup', 'wd': 'weight_decay'}
# Arguments of `train` that a name of another library may mean.
ARGUMENTS = 'base', 'data', 'method', 'dev', 'test', 'under', 'start'

_BIAS = ("`method='bias'` trains the biases of the base; adapters train those "
         'of its layer norms, unless `tune_norms=False`')
_BASE = 'the base brings its own; leave it out'
_BEST = ('the step that is best on dev is kept in memory; save it with '
         '`adapter.save(DIR)`')
_CLASSES = ('the labels of `data` are the classes; if they are numbers, give '
            'Examples their `names`')
_DECAY = ('the rate rises over `warmup`, then falls linearly to 0; '
          '`optimizer` chooses its shape')
_DEVICE = 'JAX chooses the device, see its variable JAX_PLATFORMS'
_LOOP = ('write the loop yourself, see docs/how_it_works.md; '
         '`Adapter(methods, tuned, ...)` makes its result an adapter')
_LOG = "progress goes to the logger 'adapters_jax'"
_SCORES = ('the losses and scores of a training are in `adapter.history`; '
           f'{_LOG}')
# {name in other libraries: where its effect is, as no setting has it}
_ELSEWHERE = {
    **dict.fromkeys((
        'callback', 'callbacks', 'logging_dir', 'project', 'report_to',
        'run_name', 'wandb'), _SCORES),
    **dict.fromkeys((
        'disable_tqdm', 'log_level', 'logging_first_step', 'logging_steps',
        'logging_strategy', 'progress', 'progress_bar', 'tqdm', 'verbose'),
                    _LOG),
    **dict.fromkeys((
        'checkpoint_dir', 'load_best_model_at_end', 'output_dir',
        'overwrite_output_dir', 'save_dir', 'save_steps', 'save_strategy',
        'save_total_limit'), _BEST),
    **dict.fromkeys((
        'lr_schedule', 'lr_scheduler', 'lr_scheduler_kwargs',
        'lr_scheduler_type', 'schedule', 'scheduler'), _DECAY),
    **dict.fromkeys((
        'compute_loss', 'criterion', 'loss', 'loss_fn', 'loss_function',
        'optimizers', 'tx'), f'for one of your own {_LOOP}'),
    **dict.fromkeys((
        'class_names', 'id2label', 'label2id', 'label_names', 'num_classes',
        'num_labels'), _CLASSES),
    **dict.fromkeys(('data_collator', 'model', 'tokenizer'), _BASE),
    'bias': _BIAS,
    'modules_to_save': 'head and layer norms are trained and saved with the '
                       'adapter',
    **dict.fromkeys(('problem_type', 'task_type'),
                    '`data` decides on the kind of task'),
    **dict.fromkeys(('device', 'no_cuda', 'use_cpu'), _DEVICE),
    'early_stopping_threshold': 'any better score on dev counts; `patience` '
                                'sets the evaluations without one',
    'hub_model_id': 'send the trained adapter with `push(adapter, NAME)`',
    'per_device_eval_batch_size': 'the size follows from `batch_size`',
    'push_to_hub': 'send the trained adapter with `push(adapter, NAME)`',
    **dict.fromkeys((
        'dev_size', 'dev_split', 'test_size', 'val_size', 'val_split',
        'validation_split'), 'without `dev`, a tenth of `data` is held out'),
    'warmup_steps': 'give `warmup`, the share of the steps that warms up',
}


@contextlib.contextmanager
def arguments() -> Iterator[None]:
  """Replaces settings by arguments of `train` in UserErrors of the context."""
  try:
    yield
  except errors.UserError as error:
    # In place, to keep subclass and traceback.
    error.args = (errors.rewrite(str(error), _renamed), *error.args[1:])
    raise


def unknown(
    name: str, settings: Iterable[str], method: str = '', value: Any = None
) -> errors.UserError:
  """Returns the error for a name that `train` does not know.

  Args:
    name: Name that a user gave as a setting.
    settings: Settings that `train` takes.
    method: Method string of the call, '' for the default.
    value: Value that the user gave.
  """
  word = name.lower()
  if word in _ELSEWHERE:
    return errors.UserError(f'setting: unknown {name!r}; {_ELSEWHERE[word]}')
  if word not in SAME and (example := _of_method(word, method, value)):
    return errors.UserError(
        f'setting: {name!r} is a field of the method; write it there, as in '
        f'`method={example!r}`')
  return errors.unknown('setting', name, [*settings, *ARGUMENTS], SAME)


def check_value(name: str, value: Any) -> None:
  """Raises UserError for an optimizer or a schedule of optax as a setting.

  Args:
    name: Setting of `train`.
    value: Value that the user gave.
  """
  if name == 'optimizer' and hasattr(value, 'update'):
    raise errors.UserError(
        f'`optimizer`: give {" or ".join(checks.CHOICES["optimizer"])} as a '
        f'string; for one of your own {_LOOP}')
  if name == 'learning_rate' and callable(value):
    raise errors.UserError(f'`learning_rate`: give a number; {_DECAY}')


def _of_method(word: str, method: str, value: Any) -> str:
  """Returns an example of a method with a field, '' if none has it.

  Args:
    word: Name of the field, here or in another library.
    method: Method string of the call; its method is preferred.
    value: Value of the field.
  """
  shown = value if isinstance(value, (int, float)) else '...'
  own_name = re.split(r'[|\[]', method)[0].strip()
  for name in (own_name, 'lora', *methods.CONFIGS):
    fields = {field.name for config in methods.CONFIGS.get(name, ())
              for field in dataclasses.fields(config)}
    if own := word if word in fields else hints.of_field(word, fields):
      return f'{name}[{own}={shown}]'
  return ''


def advice(setting: str) -> str:
  """Returns the end of a message, "... is a setting of the commands; ...".

  Args:
    setting: Setting that `train` does not take by this name.
  """
  if setting not in ARGUMENT_OF:
    command = _COMMANDS.get(setting, f'train --{setting}=...')
    return ('is a setting of the commands; leave it out, or run '
            f'`adapters-jax {command}`')
  example = _renamed(setting, 'a=DIR') if setting == 'adapters' else (
      f'`{ARGUMENT_OF[setting]}`')
  return f'is a setting of the commands; give {example}'


def _renamed(name: str, value: str | None) -> str:
  """Returns the argument of `train` for a setting, in backticks.

  Args:
    name: Name of the setting.
    value: Its value, None without one.
  """
  argument = ARGUMENT_OF.get(name, name)
  if value is None:
    return f'`{argument}`'
  if name == 'adapters':  # Temporary folders: the user passed adapters.
    names = (part.partition('=')[0].strip() for part in folders.split(value))
    shown = ', '.join(f'{one!r}: ...' for one in names)
    return f'`{argument}={{{shown}}}`'
  if name == 'tune' and value == 'adapters':  # Names no method.
    return f"a `{argument}` such as 'lora'"
  if name == 'checkpoint':
    return f'`{argument}=load_base({value!r})`'
  if argument != name:
    return f'`{argument}={value!r}`'
  return f'`{name}={value}`'
