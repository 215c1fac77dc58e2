"""The settings of a training run: each is written once, here."""

import dataclasses
import functools
import hashlib
import json
import os

from adapters_jax import errors
from adapters_jax.runs.options import option

PRECISIONS = ('float32', 'tensorfloat32', 'bfloat16')

# Where a run happens, not what it is: neither in its hash nor in its record.
PATHS = ('workdir', 'data_dir', 'resume', 'mesh', 'remat', 'coordinator',
         'processes', 'process')


@dataclasses.dataclass(frozen=True)
class Config:
  """A training run; every field is a flag of the same name."""
  task: str = option(
      'movie_sentiment', 'Task to train on, a row of data.tasks.TASKS; for '
      "experiments.glue several with commas, or 'all' for GLUE's nine.")
  checkpoint: str = option(
      'minilm-l6', "Pretrained BERT: 'minilm-l6', a folder with config.json "
      'and model.safetensors, or a name on the Hugging Face hub like '
      "'bert-base-uncased'.")
  tune: str = option(
      'adapters', 'What is trained: adapters, full, top_k, norms, bias, head.')
  tune_norms: bool = option(
      True, "Train the pretrained layer norms along with adapters.")
  norm_layers: str = option(
      'all', "Which layer norms go with adapters: 'all', or 'same' as "
      'adapter_layers.')
  adapter_config: str = option(
      '', "Adapter method, e.g. 'lora[r=8]' or 'par_bn|prefix_tuning'; when "
      'empty, the bottleneck that the other adapter flags describe.')
  adapter_size: int = option(64, "Width of the adapters' bottleneck.")
  adapter_layers: str = option(
      'all', "Layers with adapters: 'all', 'none' or like '0-5,8'.")
  adapter_sites: str = option(
      'attention_output,ffn_output', 'Sublayers with adapters.')
  init_scale: float = option(
      1e-2, "Standard deviation of the adapters' truncated normal init.")
  activation: str = option('gelu', 'Nonlinearity of the adapters.')
  top_k: int = option(1, 'Layers from the top that --tune=top_k trains.')
  head_input: str = option(
      'cls', "What the head reads: 'cls', the last hidden state of [CLS], or "
      "'pooler', the pretrained tanh layer over it.")
  hidden_activation: str = option(
      '', "Of the pretrained feed-forward sublayers; the checkpoint's own when "
      'empty.')
  learning_rate: float = option(1e-3, 'Peak learning rate.')
  optimizer: str = option(
      'adam', "'adam', or 'adapter_bert' for that of the authors' code: no "
      'bias correction, epsilon 1e-6, a rate that drops after warm-up.')
  warmup: float = option(0.1, 'Share of the steps with a rising rate.')
  weight_decay: float = option(0.01, "AdamW's decay, not on norms or biases.")
  clip_norm: float = option(
      1.0, "Largest global norm of the trained leaves' gradient.")
  dropout: float = option(
      -1.0, "Dropout rate; below 0 for the checkpoint's own.")
  batch_size: int = option(32, 'Examples a step.')
  epochs: float = option(3.0, 'Passes over the training data.')
  max_steps: int = option(0, 'Steps to train; 0 for as many as epochs say.')
  max_length: int = option(128, 'Word pieces kept of an example.')
  buckets: int = option(
      7, 'Lengths that batches may be padded to, beside the longest.')
  train_examples: int = option(
      0, 'Train on so many examples, drawn with a fixed seed; 0 for all.')
  eval_every: int = option(
      0, 'Steps between evaluations on dev; 0 for once an epoch.')
  seed: int = option(0, 'Of the initialisation, data order and dropout.')
  precision: str = option(
      'float32', "Of the computation: 'float32', 'tensorfloat32' (the "
      "device's fast matmuls) or 'bfloat16' (the base is cast too).")
  mesh: str = option(
      'data', "How devices share the work: 'data' splits the batch over all, "
      "'data:4,fsdp:2' also keeps large leaves in 2 slices.")
  accumulate: int = option(
      1, 'Parts a batch is computed in, one after another, to save memory.')
  remat: bool = option(
      False, "Compute each layer's inner values again for the gradient rather "
      'than keep them, to save memory.')
  cache_frozen: bool = option(
      False, 'Compute the layers below the lowest trained one once, without '
      'dropout, and keep what they give in memory.')
  coordinator: str = option(
      '', "Several hosts: 'auto' on Cloud TPU, SLURM, Open MPI or Kubernetes, "
      'else host:port of the first process; empty for one process.')
  processes: int = option(0, 'Processes in all, with --coordinator=host:port.')
  process: int = option(
      -1, 'Which process this is, from 0, with --coordinator=host:port.')
  train_file: str = option('', 'Own training data: .tsv, .csv or .jsonl.')
  dev_file: str = option('', 'Own dev data, with --train_file.')
  test_file: str = option('', 'Own test data, with --train_file.')
  text_columns: str = option(
      'sentence', 'Column of the text in own data, or of two texts: a,b.')
  label_column: str = option('label', 'Column of the label in own data.')
  file_task: str = option(
      'classification', "Own data is for 'classification' or 'regression'.")
  workdir: str = option(
      '', 'Where results go; a folder named after the settings when empty.')
  data_dir: str = option(
      '', 'Where TFDS keeps its files; the cache folder when empty.')
  resume: bool = option(False, 'Go on with an unfinished run in the workdir.')

  @property
  def files(self) -> dict[str, str]:
    """{split: path} of one's own data, empty for a task of the table."""
    paths = {'train': self.train_file, 'dev': self.dev_file,
             'test': self.test_file}
    return {name: path for name, path in paths.items() if path}

  @property
  def task_name(self) -> str:
    """What to call the task in folders and tables."""
    return task_of(dataclasses.asdict(self))


def task_of(values: dict[str, object]) -> str:
  """Returns what to call the task of some settings, portable or not.

  A task given beside own files is a name for them.
  """
  default = next(f.default for f in dataclasses.fields(Config)
                 if f.name == 'task')
  if not values['train_file'] or values['task'] != default:
    return values['task']
  path = values['train_file'].split('@')[0]
  return os.path.splitext(os.path.basename(path))[0]


@functools.cache
def _hash_of(path: str, size: int, changed: int) -> str:
  del size, changed  # They tell whether the file is still the same.
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()[:16]


def _content_hash(path: str) -> str:
  stat = os.stat(path)
  return _hash_of(path, stat.st_size, stat.st_mtime_ns)


def portable(config: Config) -> dict[str, object]:
  """Returns the settings without paths: files are named with their content."""
  values = dataclasses.asdict(config)
  for name in PATHS:
    values.pop(name)
  for name in ('train_file', 'dev_file', 'test_file'):
    path = values[name]
    if path:
      values[name] = f'{os.path.basename(path)}@{_content_hash(path)}'
  if os.path.isdir(config.checkpoint):
    folder = os.path.abspath(config.checkpoint)
    digest = _content_hash(os.path.join(folder, 'model.safetensors'))
    values['checkpoint'] = f'{os.path.basename(folder)}@{digest}'
  return values


def completed(values: dict[str, object]) -> dict[str, object]:
  """Returns saved settings with the defaults of flags that came later."""
  defaults = dataclasses.asdict(Config())
  return {**{k: v for k, v in defaults.items() if k not in PATHS}, **values}


def digest(values: dict[str, object]) -> str:
  """Returns 12 hex digits that name the settings.

  Settings at their default do not enter, so that a new flag renames no run.
  """
  defaults = dataclasses.asdict(Config())
  changed = {k: v for k, v in values.items() if v != defaults.get(k)}
  text = json.dumps(changed, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def check_adapter_config(config: Config) -> None:
  """Raises UserError if flags of the default adapter come with another."""
  defaults = Config()
  for name in ('adapter_size', 'adapter_layers', 'adapter_sites', 'init_scale',
               'activation'):
    if getattr(config, name) != getattr(defaults, name):
      raise errors.UserError(
          f'--{name} is for the default adapter; write it into '
          f'--adapter_config, as in {config.adapter_config.split("[")[0]}'
          '[FIELD=VALUE]')


def check_numbers(config: Config) -> None:
  """Raises UserError, naming the flag, for a number outside its range."""
  def demand(good: bool, name: str, wanted: str) -> None:
    if not good:
      raise errors.UserError(
          f'--{name}={getattr(config, name)}: give {wanted}')

  demand(config.adapter_size >= 1, 'adapter_size', '1 or more')
  demand(config.init_scale >= 0, 'init_scale', 'a standard deviation, >= 0')
  demand(config.learning_rate > 0, 'learning_rate', 'a rate above 0')
  demand(0 <= config.warmup <= 1, 'warmup', 'a share from 0 to 1')
  demand(config.weight_decay >= 0, 'weight_decay', '0 or more')
  demand(config.clip_norm > 0, 'clip_norm', 'a norm above 0')
  demand(config.dropout < 1, 'dropout', 'a rate below 1')
  demand(config.batch_size >= 1, 'batch_size', '1 or more')
  demand(config.accumulate >= 1 and config.batch_size % config.accumulate == 0,
         'accumulate', f'a divisor of --batch_size={config.batch_size}')
  demand(config.epochs > 0 or config.max_steps > 0, 'epochs',
         'more than 0, or --max_steps')
  demand(config.max_steps >= 0, 'max_steps', '0 or more')
  demand(config.max_length >= 3, 'max_length', '3 or more')
  demand(config.buckets >= 0, 'buckets', '0 or more')
  demand(config.train_examples >= 0, 'train_examples', '0 or more')
  demand(config.eval_every >= 0, 'eval_every', '0 or more')
  demand(config.seed >= 0, 'seed', '0 or more')


def check_choices(config: Config) -> None:
  """Raises UserError for a word that is not one of its flag's few."""
  for name, choices in (
      ('norm_layers', ('all', 'same')),
      ('head_input', ('cls', 'pooler')),
      ('precision', PRECISIONS),
      ('file_task', ('classification', 'regression')),
  ):
    value = getattr(config, name)
    if value not in choices:
      raise errors.unknown(f'--{name}', value, choices)
  if config.files and not (config.train_file and config.dev_file):
    raise errors.UserError(
        'own data needs both --train_file and --dev_file')
  for name in ('train_file', 'dev_file', 'test_file'):
    path = getattr(config, name)
    if path and not os.path.isfile(path):
      raise errors.UserError(f'--{name}: there is no file {path}')
  if len([c for c in config.text_columns.split(',') if c]) not in (1, 2):
    raise errors.UserError(
        f'--text_columns={config.text_columns}: name one column or two')
