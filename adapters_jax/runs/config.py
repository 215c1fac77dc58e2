"""Settings of a training run, each declared once with its role. No JAX."""

import dataclasses
import os
import re
from typing import Any

from adapters_jax.runs import checks
from adapters_jax.runs import options
from adapters_jax.runs.options import option


@dataclasses.dataclass(frozen=True)
class Config:
  """Settings of a training run; every field is a flag of the same name.

  Raises:
    errors.UserError: a number outside its range, an unknown choice, or
      settings that contradict each other.
  """
  task: str = option(
      'movie_sentiment', 'Task to train on, a row of data.tasks.TASKS; for '
      "experiments.glue several with commas, or 'all' for GLUE's nine.", 'data')
  checkpoint: str = option(
      'minilm-l6', "Pretrained encoder: 'minilm-l6', 'mpnet-base', a folder "
      'with config.json and model.safetensors, or a name on the Hugging Face '
      "hub like 'bert-base-uncased'.", 'data')
  tune: str = option(
      'adapters', 'Leaves to train: adapters, full, top_k, norms, bias, head, '
      'fusion; none scores the base as it is, for sentence embeddings and '
      'heads that the checkpoint holds.',
      'method', 'column')
  tune_norms: bool = option(
      True, 'Train the pretrained layer norms along with adapters.', 'method')
  norm_layers: str = option(
      'all', "Layer norms to train with adapters: 'all', or 'same' for those "
      'of the layers with adapters.', 'method')
  adapter_config: str = option(
      '', "Adapter method, e.g. 'lora[r=8]' or 'par_bn|prefix_tuning'; when "
      'empty, the bottleneck that the other adapter flags describe.', 'method')
  adapter_size: int = option(
      64, "Width of the adapters' bottleneck.", 'method', 'vmapped', 'free',
      'column', 'bottleneck')
  adapter_layers: str = option(
      'all', "Layers with adapters: 'all', 'none' or like '0-5,8'.", 'method',
      'bottleneck')
  adapter_sites: str = option(
      'attention_output,ffn_output', 'Sublayers with adapters.', 'method',
      'bottleneck')
  init_scale: float = option(
      1e-2, "Standard deviation of the adapters' truncated normal init.",
      'method', 'vmapped', 'free', 'bottleneck')
  activation: str = option(
      'gelu', 'Nonlinearity of the adapters.', 'method', 'bottleneck')
  adapters: str = option(
      '', 'Saved adapters below the new one, or fused by --tune=fusion, and '
      'frozen: DIR,DIR or name=DIR,name=DIR.', 'method', 'folders')
  setup: str = option(
      '', "Setup of the saved adapters, e.g. 'stack(a, b)' or 'fuse(a, b)'; a "
      'stack of all when empty, a fuse with --tune=fusion.', 'method')
  start: str = option(
      '', 'Saved adapter to continue from: its folder, or the workdir of a '
      'run. It gives the method, and the head where the classes are the same.',
      'method', 'folders')
  adapter_drop: str = option(
      '', 'Numbers of lower layers without adapters, like 0-5; each step draws '
      'one (AdapterDrop). None are left out when empty.', 'method')
  top_k: int = option(
      1, 'Layers from the top that --tune=top_k trains.', 'method', 'column')
  head_input: str = option(
      'cls', "Input of the head: 'cls', the last hidden state of [CLS]; "
      "'pooler', the pretrained tanh layer over it; 'cls_gelu' or 'cls_relu', "
      "a trained layer over it, as in ELECTRA or DistilBERT; 'cls_norm' or "
      "'mean_norm', a layer and a norm over [CLS] or the mean of the text, as "
      'in ModernBERT.', 'method')
  hidden_activation: str = option(
      '', 'Activation of the pretrained feed-forward sublayers; that of the '
      'checkpoint when empty.', 'method')
  learning_rate: float = option(
      1e-3, 'Peak learning rate.', 'schedule', 'vmapped', 'column')
  pooling: str = option(
      '', 'Pooling of sentence embeddings: mean, cls, max, ...; that of the '
      'base when empty.', 'method', 'embeddings')
  pair_loss: str = option(
      '', "Loss of sentence embeddings: 'multiple_negatives' for pairs, "
      "'cosent' or 'cosine' for scored ones; the first that fits the data when "
      'empty.', 'schedule', 'embeddings')
  similarity_scale: float = option(
      20.0, 'Factor of the cosines in the loss of sentence embeddings.',
      'schedule', 'embeddings')
  matryoshka_dims: str = option(
      '', "Leading dimensions that are embeddings too, with the full width, "
      "like '384,128,32'; all dimensions alone when empty.", 'schedule',
      'embeddings')
  mask_rate: float = option(
      0.15, 'Share of the word pieces that language modelling predicts.',
      'schedule', 'texts')
  whole_words: bool = option(
      True, 'Mask all pieces of a word together.', 'schedule', 'texts')
  optimizer: str = option(
      'adam', "'adam', or 'adapter_bert' for that of the authors' code: no "
      'bias correction, epsilon 1e-6, a rate that drops after warm-up.',
      'schedule')
  warmup: float = option(
      0.1, 'Fraction of the steps over which the learning rate warms up.',
      'schedule', 'vmapped')
  weight_decay: float = option(
      0.01, "AdamW's decay, not on norms or biases.", 'schedule', 'vmapped')
  clip_norm: float = option(
      1.0, "Largest global norm of the trained leaves' gradient.", 'schedule')
  dropout: float = option(
      -1.0, 'Dropout rate; below 0 for that of the checkpoint.', 'schedule')
  metric: str = option(
      '', 'Metric that picks the best step on dev, e.g. macro_f1 or '
      "balanced_accuracy; the task's first when empty.", 'schedule')
  class_weights: str = option(
      '', "Weights of the classes in the loss: 'balanced' for the inverse of "
      'their frequency, or like spam:5,ham:1; equal ones when empty.',
      'schedule', 'vmapped')
  label_smoothing: float = option(
      0.0, 'Share of the target probability that is spread over all classes.',
      'schedule')
  threshold: str = option(
      '', 'Probability from which on the second of two classes, or each of '
      "several labels, is predicted; 'dev' picks it on dev. When empty, the "
      "more probable class, and 'dev' for several labels.", 'schedule')
  patience: int = option(
      0, 'Evaluations without a better dev score after which a run stops; 0 '
      'for all steps.', 'schedule', 'vmapped')
  batch_size: int = option(32, 'Examples a step.', 'speed', 'column')
  epochs: float = option(
      3.0, 'Passes over the training data.', 'schedule', 'column')
  max_steps: int = option(
      0, 'Steps to train; 0 derives them from epochs.', 'schedule', 'column')
  max_length: int = option(128, 'Longest input in word pieces.', 'data')
  buckets: int = option(
      7, 'Lengths to pad batches to, in addition to the longest; at most 3 on '
      'GPU and TPU.', 'speed',
      'column')
  train_examples: int = option(
      0, 'Training examples, drawn with a fixed seed; 0 for all.', 'data')
  eval_every: int = option(
      0, 'Steps between evaluations on dev; 0 for once an epoch.', 'speed',
      'column')
  seed: int = option(
      0, 'Seed of the initialisation, data order and dropout. Runs with seeds '
      'from 1000 on are trials, in no mean.', 'schedule', 'vmapped', 'column')
  precision: str = option(
      'bfloat16_products', "Precision of the computation: 'bfloat16_products' "
      "(float32 results of bfloat16 operands; 'float32' on a CPU without AMX "
      "or AMD's AVX512_BF16), 'float32', 'tensorfloat32' (the device's fast "
      "matmuls) or 'bfloat16' (the base is cast too).",
      'speed', first='float32')
  mesh: str = option(
      'data', "Devices: 'data' splits the batch over all, 'data:4,fsdp:2' "
      'also keeps large leaves in 2 slices.', 'where', 'devices')
  threads: int = option(
      0, "Threads of XLA's products on a CPU; 0 for one a core. Equal numbers "
      'give equal bits on any number of cores.', 'where', 'devices')
  accumulate: int = option(
      1, 'Parts of a batch, computed one after another to save memory.',
      'speed')
  remat: bool = option(
      False, "Recompute each layer's inner values for the gradient to save "
      'memory.', 'where', 'devices')
  cache_frozen: bool = option(
      False, 'Compute the layers below the lowest trained one once, without '
      'dropout, and keep their output in memory.', 'speed')
  coordinator: str = option(
      '', "Several hosts: 'auto' on Cloud TPU, SLURM, Open MPI or Kubernetes, "
      'else host:port of the first process; empty for one process.', 'where',
      'hosts')
  processes: int = option(
      0, 'Number of processes, with --coordinator=host:port.', 'where', 'hosts')
  process: int = option(
      -1, 'Index of this process, from 0, with --coordinator=host:port.',
      'where', 'hosts')
  join_seconds: int = option(
      300, 'Seconds to wait for the other processes, with --coordinator.',
      'where', 'hosts')
  train_file: str = option(
      '', 'Training data of your own: .tsv, .csv, .jsonl or .parquet, here or '
      'on the hub (hf://datasets/OWNER/NAME/FILE).', 'data', 'path')
  dev_file: str = option(
      '', 'Dev data of your own, with --train_file.', 'data', 'path')
  test_file: str = option(
      '', 'Test data of your own, with --train_file.', 'data', 'path')
  dev_fraction: float = option(
      0.0, 'Share of --train_file to hold out as dev data, without '
      '--dev_file.', 'data', 'files')
  test_fraction: float = option(
      0.0, 'Share of --train_file to hold out as test data, with '
      '--dev_fraction.', 'data', 'files')
  text_columns: str = option(
      'sentence', 'Column of the text in own data, or of two texts: a,b.',
      'data', 'files')
  label_column: str = option(
      'label', 'Column of the label in own data; of several labels either one '
      'column, or a column of 0 and 1 for each: a,b.', 'data', 'files')
  label_separator: str = option(
      ',', 'Separator of several labels in one column.', 'data', 'files')
  choice_columns: str = option(
      '', 'Columns of the choices, a,b, or one with a list; a known layout '
      '(context and choices, SWAG, COPA) when empty.', 'data', 'files')
  negative_column: str = option(
      '', 'Column of a text that does not belong to the pair, in own data for '
      'sentence embeddings.', 'data', 'files', 'embeddings')
  file_task: str = option(
      'classification', "Kind of own data: 'classification', 'regression', "
      "'multilabel' or 'multiple_choice'; 'pairs' for sentence embeddings, "
      "'text' for language modelling.", 'data', 'files')
  workdir: str = option(
      '', 'Folder of the results; one named after the settings when empty.',
      'where', 'vmapped')
  data_dir: str = option(
      '', 'Folder of the TFDS files; the cache folder when empty.', 'where',
      'path')
  resume: bool = option(
      False, 'Continue an unfinished run in the workdir.', 'where', 'vmapped')
  track: str = option(
      '', 'Trackers of losses and scores, with commas: jsonl and tensorboard '
      'write into the workdir, wandb sends to Weights & Biases.', 'where')
  save_minutes: float = option(
      5.0, 'Maximum minutes between saves, apart from those around '
      'evaluations; 0 for these alone.', 'where')

  def __post_init__(self):
    # `dataclasses.replace` runs these too, so every Config is valid.
    checks.convert_types(self)
    checks.check_settings(self)

  @property
  def dropped_layers(self) -> tuple[int, ...]:
    """Numbers of layers in `adapter_drop`, () if it is empty."""
    if not self.adapter_drop:
      return ()
    from adapters_jax.adapters import settings  # Imports JAX.
    return settings.parse_layers(self.adapter_drop, None, 'adapter_drop')

  @property
  def files(self) -> dict[str, str]:
    """{split: path} of own data, empty for a task of the table."""
    paths = {'train': self.train_file, 'dev': self.dev_file,
             'test': self.test_file}
    return {name: path for name, path in paths.items() if path}

  @property
  def columns(self) -> tuple[str, ...]:
    """Columns of the texts in own data."""
    return options.names(self.text_columns)

  @property
  def label_columns(self) -> tuple[str, ...]:
    """Columns of the labels in own data with several labels a text."""
    return options.names(self.label_column)

  @property
  def choices(self) -> tuple[str, ...]:
    """Columns of the choices in own data, () for those of a known layout."""
    return options.names(self.choice_columns)

  @property
  def form(self) -> str:
    """Form of the labels of own files, one of data.tasks.FORMS."""
    several = self.file_task in ('multilabel', 'multiple_choice')
    return self.file_task if several else 'single'

  @property
  def task_name(self) -> str:
    """Name of the task in folders and tables."""
    return task_of({'task': self.task, 'train_file': self.train_file})


# Defaults of `task` in question answering and in masked language modelling.
SQUAD, TEXTS = 'squad', 'movie_sentiment_texts'


def task_of(values: dict[str, Any]) -> str:
  """Returns the name of a task in folders and tables.

  Own data is named after its training file, unless `task` differs from the
  experiments' defaults.
  """
  if not values['train_file'] or values['task'] not in (
      '', Config.task, SQUAD, TEXTS):
    return values['task']
  name = os.path.basename(values['train_file'])
  name = re.sub('@[0-9a-f]{16}$', '', name)  # Portable paths have a hash.
  return os.path.splitext(name)[0]
