"""One training run, from settings to record: what every experiment calls."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import importlib.metadata
import os
import platform
import shutil
import signal
import time
from typing import Any

import jax
import numpy as np

from adapters_jax import assets
from adapters_jax import bert
from adapters_jax import checkpoints
from adapters_jax import config as config_lib
from adapters_jax import console
from adapters_jax import metrics
from adapters_jax import options
from adapters_jax import optimizers
from adapters_jax import pretrained
from adapters_jax import results
from adapters_jax import training
from adapters_jax import trees
from adapters_jax import workdirs
from adapters_jax.data import batching
from adapters_jax.data import files
from adapters_jax.data import tasks
from adapters_jax.data import tokenization
from adapters_jax.methods import bottleneck

_SUBSET_SEED = 0


@dataclasses.dataclass(frozen=True)
class Setup:
  """What a run is made of, before it takes a step.

  Attributes:
    task: The task.
    splits: {split: tokenised examples}; unlabelled splits have labels -1.
    model: The classifier.
    base: The pretrained tree, on the device.
    tuned: The tuned tree at its initialisation.
    params: The whole tree at its initialisation, shapes only.
    select: Which paths are tuned.
    notes: What a reader of the record should know.
  """
  task: tasks.Task
  splits: dict[str, batching.Examples]
  model: bert.Classifier
  base: trees.Tree
  tuned: trees.Tree
  params: trees.Tree
  select: optimizers.Select
  notes: list[str]


def adapter_configs(
    config: config_lib.Config, layers: int
) -> tuple[bottleneck.Bottleneck, ...]:
  """Returns the adapter methods that the flags describe."""
  if config.tune != 'adapters':
    return ()
  chosen = options.parse_layers(
      config.adapter_layers, layers, '--adapter_layers')
  sites = tuple(s.strip() for s in config.adapter_sites.split(',') if s.strip())
  return (bottleneck.Bottleneck(
      size=config.adapter_size, init_scale=config.init_scale,
      activation=config.activation, sites=sites, layers=chosen),)


def make_model(
    config: config_lib.Config, shape: bert.BertConfig, outputs: int
) -> bert.Classifier:
  """Returns the classifier of the settings on an encoder of this shape."""
  rates = {} if config.dropout < 0 else {
      'dropout': config.dropout, 'attention_dropout': config.dropout}
  shape = dataclasses.replace(
      shape, adapters=adapter_configs(config, shape.layers),
      dtype='bfloat16' if config.precision == 'bfloat16' else 'float32',
      **rates)
  return bert.Classifier(shape, outputs, config.head_input)


def make_select(config: config_lib.Config, layers: int) -> optimizers.Select:
  """Returns which paths the settings tune."""
  norm_layers = None
  if config.norm_layers == 'same':
    norm_layers = options.parse_layers(
        config.adapter_layers, layers, '--adapter_layers')
  return optimizers.TUNE[config.tune](
      layers, tune_norms=config.tune_norms, norm_layers=norm_layers,
      top_k=config.top_k)


def check(config: config_lib.Config, experiment: str) -> None:
  """Raises UserError for a wrong setting, before any download or compile."""
  config_lib.check_numbers(config)
  config_lib.check_choices(config)
  if config.tune not in optimizers.TUNE:
    raise options.unknown('--tune', config.tune, optimizers.TUNE)
  if not config.files:
    tasks.find(config.task)
  shape = pretrained.config_of(config.checkpoint)
  adapter_configs(config, shape.layers)
  if config.max_length > shape.positions:
    raise options.UserError(
        f'--max_length={config.max_length}: the model has '
        f'{shape.positions} positions')
  if config.tune == 'top_k' and not 1 <= config.top_k <= shape.layers:
    raise options.UserError(
        f'--top_k={config.top_k}: the model has {shape.layers} layers')
  workdirs.check(config, experiment)


def load_data(
    config: config_lib.Config,
) -> tuple[tasks.Task, dict[str, tasks.Split], list[str]]:
  """Returns (task, splits, notes on what was left out)."""
  if config.files:
    columns = tuple(c for c in config.text_columns.split(',') if c)
    task, splits = files.load(config.files, columns, config.label_column,
                              config.file_task == 'regression')
  else:
    task = tasks.find(config.task)
    splits = tasks.load(task, config.data_dir)
  notes = []
  train = splits['train']
  if 0 < config.train_examples < len(train):
    rows = np.sort(np.random.default_rng(_SUBSET_SEED).permutation(
        len(train))[:config.train_examples])
    splits['train'] = tasks.Split(
        [train.texts[row] for row in rows], train.labels[rows])
    notes.append(f'trained on {len(rows)} of {len(train)} examples')
  return task, splits, notes


def prepare(config: config_lib.Config) -> Setup:
  """Loads data and checkpoint, and initialises what is new."""
  task, splits, notes = load_data(config)
  folder = pretrained.resolve(config.checkpoint)
  tokenizer = tokenization.load(folder, config.max_length)
  encoded = {
      name: batching.Examples(*tokenization.encode(tokenizer, split.texts),
                              split.labels)
      for name, split in splits.items()}
  shape = pretrained.config_of(config.checkpoint)
  model = make_model(config, shape, task.outputs)
  base = jax.device_put(cast_base(config, pretrained.load_base(
      folder, pooler=config.head_input == 'pooler')))
  select = make_select(config, shape.layers)
  tuned, params = init_tuned(model, base, select, config.seed)
  return Setup(task, encoded, model, base, tuned, params, select, notes)


def cast_base(config: config_lib.Config, base: trees.Tree) -> trees.Tree:
  """Returns the base in the precision of the settings."""
  if config.precision != 'bfloat16':
    return base
  return jax.tree.map(lambda leaf: leaf.astype('bfloat16'), base)


def init_tuned(
    model: bert.Classifier, base: trees.Tree, select: optimizers.Select,
    seed: int,
) -> tuple[trees.Tree, trees.Tree]:
  """Returns (tuned tree in float32, shapes of the whole tree) at the start.

  Only what the base lacks is initialised; the rest of `init` is never computed.
  """
  old = set(trees.flatten(base))

  @jax.jit
  def fresh(key):
    return trees.split(bert.init(model, key), lambda path: path not in old)[0]

  params = trees.overlay(
      base, fresh(jax.random.fold_in(jax.random.key(seed), 0)))
  tuned, _ = trees.split(params, select)
  tuned = jax.tree.map(lambda leaf: leaf.astype('float32'), tuned)
  return tuned, jax.eval_shape(lambda tree: tree, params)


def to_predictions(task: tasks.Task, logits: np.ndarray) -> np.ndarray:
  """Returns [examples] classes or scores of logits [examples, outputs]."""
  return logits.argmax(-1) if task.labels else logits[:, 0]


def versions() -> dict[str, str]:
  """Returns {package: version} of what decides a run's numbers."""
  names = ('jax', 'flax', 'optax', 'numpy', 'tokenizers', 'tensorflow-datasets')
  return {'python': platform.python_version(),
          **{name: importlib.metadata.version(name) for name in names}}


def enable_compilation_cache() -> None:
  """Keeps compiled programs in the cache folder, for the next start."""
  folder = os.path.join(assets.cache_dir(), 'compiled')
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)


@contextlib.contextmanager
def caught_signals() -> Iterator[Callable[[], bool]]:
  """Yields asked(): whether SIGTERM or Ctrl-C has come since."""
  came = []
  before = {}
  try:
    for number in (signal.SIGTERM, signal.SIGINT):
      before[number] = signal.signal(number, lambda n, _: came.append(n))
  except ValueError:
    pass  # Not the main thread: whoever started us deals with signals.
  try:
    yield lambda: bool(came)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def run(config: config_lib.Config, experiment: str) -> results.Record:
  """Trains, evaluates and saves one run; or returns its finished record.

  Args:
    config: The settings.
    experiment: The name its folder and record carry.

  Returns:
    The record, which is also in the workdir.

  Raises:
    options.UserError: something in the settings, the data or the folder.
    training.Interrupted: a signal came; the state is saved.
  """
  check(config, experiment)
  with workdirs.claimed(config, experiment) as folder:
    record = workdirs.finished(folder)
    if record is not None:
      print(f'this run has finished before: {folder}')
      print(console.run_summary(record, folder))
      return record
    enable_compilation_cache()
    precision = 'highest' if config.precision == 'float32' else 'default'
    with jax.default_matmul_precision(precision), caught_signals() as stop:
      return _Run(config, experiment, folder).go(stop)


class _Run:
  """The state of one call of `run`, so that its callbacks can share it."""

  def __init__(self, config: config_lib.Config, experiment: str, folder: str):
    self.config, self.experiment, self.folder = config, experiment, folder
    print(console.device_line(versions()))
    self.setup = prepare(config)
    console.print_trained(self.setup.tuned, self.setup.params)
    train = self.setup.splits['train']
    self.schedule = batching.Schedule(
        train, batching.bucket_lengths(train.lengths, config.buckets),
        config.batch_size, config.seed)
    per_epoch = self.schedule.steps_per_epoch
    self.steps = config.max_steps or max(1, round(config.epochs * per_epoch))
    self.eval_every = config.eval_every or per_epoch
    self.eval_step = training.make_eval_step(self.setup.model)
    self.batches = {}
    # What travels with the progress, beside arrays.
    self.extra: dict[str, Any] = {
        'history': [], 'losses': [], 'seconds': 0.0, 'cpu_seconds': 0.0}

  def score(self, tuned: trees.Tree, split: str) -> dict[str, float]:
    """Returns the metrics of a tuned tree on a labelled split."""
    setup = self.setup
    examples = setup.splits[split]
    if split not in self.batches:
      self.batches[split] = batching.eval_batches(
          examples, self.schedule.buckets, self.config.batch_size)
    logits = training.predict(
        self.eval_step, setup.base, tuned, self.batches[split], len(examples))
    predictions = to_predictions(setup.task, logits)
    self.collapsed = (
        setup.task.labels[predictions[0]]
        if setup.task.labels and np.ptp(predictions) == 0 else None)
    return metrics.compute(setup.task.metrics, examples.labels, predictions)

  def go(self, stop: Callable[[], bool]) -> results.Record:
    """Trains to the end, and writes the artefact and the record."""
    config, setup = self.config, self.setup
    tx = optimizers.make_optimizer(
        setup.select, learning_rate=config.learning_rate, steps=self.steps,
        warmup=config.warmup, weight_decay=config.weight_decay,
        clip_norm=config.clip_norm)
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    progress = training.init_progress(
        training.init_state(setup.tuned, tx, key))
    resume = checkpoints.Resume(os.path.join(self.folder, 'resume'))
    if config.resume:
      saved = resume.restore(progress)
      if saved:
        progress, self.extra = saved
        print(f'going on from step {int(progress.state.step)}')
    loss_fn = (
        training.cross_entropy if setup.task.labels else training.squared_error)
    bar = console.ProgressBar(
        self.steps, int(progress.state.step), config.batch_size)
    shape = optimizers.warmup_linear(self.steps, config.warmup)
    clocks = time.perf_counter(), time.process_time()

    def rate_at(step):
      return config.learning_rate * float(shape(step))

    def report(step, values):
      self.extra['losses'].append(values['loss'])
      bar.update(values['loss'], rate_at(step))

    def evaluate(tuned, step):
      dev = self.score(tuned, 'dev')
      entry = {'step': step, 'loss': float(np.mean(self.extra['losses'])),
               'dev': dev}
      if self.collapsed is not None:
        entry['collapsed_to'] = self.collapsed
      self.extra['history'].append(entry)
      self.extra['losses'] = []
      bar.write(f'step {step}: loss {entry["loss"]:.4f}; dev '
                f'{console.percent(dev)}')
      return dev[setup.task.metrics[0]]

    def save(progress):
      resume.save(progress, {**self.extra, **self.clock(clocks)})

    try:
      progress = training.fit(
          training.make_train_step(setup.model, tx, loss_fn), progress,
          setup.base, self.schedule.batch, steps=self.steps,
          eval_every=self.eval_every, evaluate=evaluate, save=save,
          report=report, stop=stop, rate_at=rate_at)
    finally:
      bar.close()
      resume.close()
    self.extra.update(self.clock(clocks))
    return self.finish(progress)

  def clock(self, since: tuple[float, float]) -> dict[str, float]:
    """Returns the wall and processor seconds, with those before a resume."""
    wall, cpu = since
    return {
        'seconds': self.extra['seconds'] + time.perf_counter() - wall,
        'cpu_seconds': self.extra['cpu_seconds'] + time.process_time() - cpu}

  def finish(self, progress: training.Progress) -> results.Record:
    """Scores the best tuned tree, saves it, and writes the record."""
    config, setup = self.config, self.setup
    scores = {}
    for split, examples in setup.splits.items():
      if split != 'train' and np.any(examples.labels != -1):
        scores[split] = self.score(progress.best, split)
        if split == 'dev' and self.collapsed is not None:
          setup.notes.append(
              f'collapse: every dev example is called {self.collapsed!r}; try '
              'a lower --learning_rate or another --seed')
    portable = config_lib.portable(config)
    checkpoints.save_tuned(
        os.path.join(self.folder, 'adapter'), progress.best,
        artefact(portable, setup.task))
    padded, real = self.schedule.tokens(0, self.steps)
    record = results.Record(
        experiment=self.experiment, config=portable, metrics=scores,
        trained_params=trees.count(setup.tuned),
        total_params=trees.count(setup.params),
        roles=console.role_counts(setup.tuned),
        seconds=round(self.extra['seconds'], 1),
        cpu_seconds=round(self.extra['cpu_seconds'], 1),
        steps=self.steps, best_step=int(progress.best_step),
        padded_tokens=padded, real_tokens=real, history=self.extra['history'],
        notes=setup.notes, device=console.describe_devices(),
        versions=versions(),
        commit=results.commit_of(os.path.dirname(os.path.abspath(__file__))))
    results.write(os.path.join(self.folder, results.RECORD), record)
    shutil.rmtree(os.path.join(self.folder, 'resume'), ignore_errors=True)
    print(console.run_summary(record, self.folder))
    return record


def artefact(portable: dict[str, Any], task: tasks.Task) -> dict[str, Any]:
  """Returns the settings saved with a tuned tree: all that using it needs."""
  return {'task': task.name, 'labels': list(task.labels),
          'texts': list(task.texts), 'config': portable}
