"""Public functions: load a base, train adapters on it, use and share them.

  import adapters_jax as aj

  base = aj.load_base('minilm-l6')
  film = aj.train(base, 'movie_sentiment', method='lora[r=8]', epochs=1)
  aj.predict(base, film, ['A joy from start to end.'])

They print nothing and change no global setting of JAX; progress goes to the
logger 'adapters_jax'.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import jax

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.adapters import adapter as adapter_lib
from adapters_jax.adapters import arguments
from adapters_jax.adapters import attention
from adapters_jax.adapters import compiled
from adapters_jax.adapters import composing
from adapters_jax.adapters import dropping
from adapters_jax.adapters import embedding
from adapters_jax.adapters import exchange
from adapters_jax.adapters import folding
from adapters_jax.adapters import locations
from adapters_jax.adapters import merge_checks
from adapters_jax.adapters import merge_rules
from adapters_jax.adapters import merging
from adapters_jax.adapters import prediction
from adapters_jax.adapters import pushing
from adapters_jax.adapters import remarks
from adapters_jax.api import train_names
from adapters_jax.api import train_settings
from adapters_jax.data import memory
from adapters_jax.data import pairs
from adapters_jax.data import questions
from adapters_jax.data import raw_text
from adapters_jax.data import tagged
from adapters_jax.downloads import paths
from adapters_jax.model import base as base_lib
from adapters_jax.model import composition
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import evaluation
from adapters_jax.runs import frozen
from adapters_jax.runs import run
from adapters_jax.runs import start as start_lib
from adapters_jax.runs.kinds import chosen_kind

Adapter = adapter_lib.Adapter
Base = base_lib.Base
Examples = memory.Examples
Pairs = pairs.Pairs
Questions = questions.Questions
TaggedExamples = tagged.TaggedExamples
Texts = raw_text.Texts
InMemory = chosen_kind.InMemory
Prediction = prediction.Prediction
UserError = errors.UserError
Average = composition.Average
BatchSplit = composition.BatchSplit
Fuse = composition.Fuse
Parallel = composition.Parallel
Split = composition.Split
Stack = composition.Stack
compose = composing.compose
drop_layers = dropping.drop_layers
fold = folding.fold
fusion_attention = attention.fusion_attention
load_base = base_lib.load
encode = embedding.encode
evaluate = evaluation.evaluate
member = composing.member
predict = prediction.predict
push = pushing.push


def train(
    base: Base, data: str | InMemory,
    method: str | methods.Method | Sequence[methods.Method] = '', *,
    dev: InMemory | None = None, test: InMemory | None = None,
    under: Adapter | Mapping[str, Adapter] | None = None,
    setup: composition.Setup = '', start: Adapter | None = None,
    **settings: Any,
) -> Adapter:
  """Trains an adapter, and keeps the step that is best on dev.

  The training step is compiled once per method and per input length, of which
  there are a few. This takes most of the time of a small training; the setting
  `buckets` limits the number of lengths. JAX keeps the programs for later
  processes if its option jax_compilation_cache_dir is set.

  In a notebook or at a prompt, Ctrl-C after the first evaluation ends the
  training early, with a warning; pressed again, it raises KeyboardInterrupt.

  >>> examples = aj.Examples(['good', 'bad'] * 8, ['yes', 'no'] * 8)
  >>> aj.train(base, examples, method='norms', max_steps=2).method
  'layer norms'

  Args:
    base: Pretrained encoder, which is not changed.
    data: Name of a task, such as 'movie_sentiment', 'rte' or 'squad', or
      'movie_sentiment_texts' for masked language modelling; or examples in
      memory: texts with labels, words with tags, questions with paragraphs,
      pairs of texts for sentence embeddings, or raw texts for masked language
      modelling.
    method: Method string, such as 'lora[r=8]' or 'par_bn|prefix_tuning'; or
      configs, such as `methods.lora.LoRA(r=8)` or the `methods` of an adapter;
      or 'full', 'top_k', 'norms', 'bias' or 'head' for weights of the base; or
      'fusion' for AdapterFusion over `under`. By default 'houlsby'; for masked
      language modelling 'seq_bn_inv', with `tune_norms=False` by default so
      that other adapters stack on the result.
    dev: Examples that choose the best step; without them a tenth of `data`,
      drawn with a fixed seed, is held out. Named tasks have their own.
    test: Examples to score in addition.
    under: Adapter or bank of adapters that stay frozen below the new one. The
      result contains them, and the new one as 'task', or as 'task_new' if the
      bank has a 'task'; see `member`.
    setup: Setup of a bank in `under`, or its text; by default a stack, or with
      'fusion' a `Fuse`.
    start: Adapter to continue from, of any origin, on the same task or another
      one. The new adapter takes over its method, layer norms and `max_length`.
      The head is kept if the classes are the same, in any order; else it is
      initialised again, with a warning. The optimizer state is always new.
    **settings: Fields of `runs.config.Config`, such as epochs, learning_rate,
      batch_size, seed, max_length. `class_weights` may be {class: weight}.

  Returns:
    The adapter, with its scores on dev and test, and the history of the
    training.

  Raises:
    errors.UserError: an unknown task, method or setting, or a value that cannot
      work.
  """
  text = train_settings.method_text(method)
  train_settings.check_arguments(base, data, text, start, dev, test)
  train_settings.check_names(settings, data, text)
  bank = frozen.bank_of(under)
  settings = {**train_settings.defaults(base, data, text, bank, start),
              **train_settings.plain(settings)}
  with train_names.arguments():
    kind, chosen = chosen_kind.of_data(data, dev, test)
    settings |= chosen
    train_settings.check_metric(
        settings.get('metric'), kind, settings['task'])
    with frozen.saved(bank, setup) as below, start_lib.saved(start) as before:
      settings |= below | before
      return run.train(
          config_lib.Config(checkpoint=base.checkpoint, **settings), kind)


def load_adapter(
    path: paths.Path, base: Base | None = None, *, head: bool = True
) -> Adapter:
  """Loads an adapter of this package, AdapterHub, PEFT or adapter-bert.

  >>> film.save('adapters/film')
  >>> aj.load_adapter('adapters/film').method == film.method
  True

  Args:
    path: Folder of an adapter or workdir of a run; a folder of another library;
      a .npz file of adapter-bert's variables; or a name on the Hugging Face
      hub. To read the head of a whole model, the folder or name of `base`.
    base: Pretrained encoder. Needed for the files of other libraries, which do
      not contain its shape; otherwise checked against the adapter.
    head: Whether to read the head in files of other libraries. If False, a head
      of an unsupported kind is no error.

  Returns:
    The adapter. One from another library reads one text, and may lack labels:
    set `texts` and `labels` with dataclasses.replace.

  Raises:
    errors.UserError: no adapter, a damaged one, or one of another base.
  """
  arguments.demand_base_or_none(base)
  path = locations.find(path, base)
  form = locations.find_format(path)
  if form == 'own':
    adapter = adapter_lib.load(path)
    if base is not None:
      compiled.check_base(base.identity, adapter, f'the adapter in {path}')
      compiled.warn_of_files(
          base.checkpoint, adapter, f'the adapter in {path}')
    return adapter
  if base is None:
    raise errors.UserError(
        f'`base`: {path} is a whole model; load_base reads it, and with that '
        'as `base` its head is an adapter' if form == 'transformers' else
        f'`base`: {path} does not say the shape of its base; give it, as in '
        'base=load_base(...)')
  adapter = exchange.read(
      path, base.config, head, lambda: base_lib.with_head_start(base),
      base.checkpoint)
  compiled.check_base(base.identity, adapter, f'the adapter in {path}')
  # The files name no base; the adapter is for the one that was given.
  return dataclasses.replace(adapter, base=base.identity)


def merge(
    bank: Mapping[str, Adapter], how: str = 'average', *,
    base: Base | None = None,
    weights: Sequence[float] | Mapping[str, float] | None = None,
    density: float = 0.5, seed: int = 0, rank: int = 0,
) -> Adapter:
  """Merges adapters of one method into one.

  >>> aj.merge({'food': food, 'news': news}, how='average').method
  'lora[r=2]'

  Args:
    bank: {name: adapter}.
    how: 'average', the mean of the parameters; 'linear', the weighted sum of
      the changes that LoRA, IA3 and layer norms make to the base; 'ties'
      (Yadav et al., 2023) or 'dare' (Yu et al., 2024), which drop changes of
      single parameters. Heads become a mean, weighted by |weight|; their tanh
      layer is merged as a change of the base's pooler, if it has one.
    base: Pretrained encoder, which all but 'average' need.
    weights: Weight of each adapter, in the order of the bank or by name. The
      default is 1 / n each, or 1 each for 'ties', which averages itself. Other
      weights must have the same sum as the default, except where updates are
      combined: LoRA and IA3 with 'linear', LoRA with a `rank`.
    density: Share of the values that 'ties' and 'dare' keep.
    seed: Seed of the random drops of 'dare'.
    rank: For LoRA, the rank to which the merged updates are cut. With 0, all
      ranks must be equal; 'linear' then adds them up, and the other ways merge
      the factors.

  Returns:
    The merged adapter in float32, without scores. Its `max_length` is the
    largest of the bank. It keeps the `threshold` if all adapters agree on one;
    else it has none, which is logged.

  Raises:
    errors.UserError: an unknown `how`, or adapters of different methods, bases,
      classes or numbers of texts.
  """
  merge_checks.check_types(bank, how, base, density, seed, rank)
  names = list(bank)
  # Before the check of the base, so that an unknown `how` is named first.
  combine = merge_rules.combination(
      how, len(names), merge_checks.weights_of(bank, weights),
      float(density), int(seed))
  if base is None and how != 'average':
    raise errors.UserError(
        f'`base`: how={how!r} needs the pretrained layer norms; give base')
  if base is not None:
    for name, adapter in bank.items():
      compiled.check_base(base.identity, adapter, f'adapter {name!r}')
  # An average needs no base: its weights sum to 1, so the base cancels out.
  params = {} if base is None else base.params
  with jax.default_matmul_precision('highest'):  # GPU and TPU would round.
    if rank:
      merged = merging.merge_products(
          bank, names, combine, params, int(rank))
    else:
      merged = merging.merge(bank, names, combine, params)
  tasks = dict.fromkeys(adapter.task for adapter in bank.values())
  return dataclasses.replace(
      merged, task='+'.join(tasks), scores={}, settings={},  # Of no run.
      history=(), threshold=merging.threshold_of(bank))


def export(
    adapter: Adapter, path: paths.Path, format: str = 'own', *,
    name: str = 'adapter', base: Base | None = None, head: bool = True,
) -> list[str]:
  """Writes an adapter for this package or another library.

  >>> notes = aj.export(food, 'exported', format='adapterhub')
  >>> aj.load_adapter('exported', base).labels
  ('negative', 'positive')

  Args:
    adapter: Adapter.
    path: Folder, created if absent; a .npz file for 'adapter_bert'.
    format: 'own', 'adapterhub', 'peft' (a head of classes must read the
      pooler; for DistilBERT the layer 'cls_relu', for ELECTRA and DeBERTa
      'cls_gelu', for ModernBERT 'cls_norm' or 'mean_norm'),
      'adapter_bert', the authors' TensorFlow variables, or a whole model with
      the adapter in it: 'sentence_transformers', or 'transformers' with a head.
    name: Name of the adapter in AdapterHub's files.
    base: Pretrained encoder; needed if the format demands a shape or a pooler
      that neither the adapter nor the name of its base determines.
    head: Whether to write the head.

  Returns:
    Notes on parts that the other library does not read, which are also logged
    as warnings.

  Raises:
    errors.UserError: an unknown format, or one that cannot hold the adapter.
  """
  arguments.demand_adapter(adapter, 'export(adapter, path)')
  arguments.demand_base_or_none(base)
  if not isinstance(name, str) or not name:
    raise errors.UserError(f'`name={name!r}`: give a text')
  adapter.check_labels()
  if base is not None:
    compiled.check_base(base.identity, adapter, 'the adapter')
    base.check_unchanged('export')
  notes = exchange.write(
      path, adapter, format, name=name,
      checkpoint=base.checkpoint if base is not None else '', head=head)
  return remarks.logged(notes, path)
