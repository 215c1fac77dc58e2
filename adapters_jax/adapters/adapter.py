"""The Adapter: everything a task adds to a base."""

from collections.abc import Mapping
import dataclasses
import os
from typing import Any

from adapters_jax import errors
from adapters_jax import trees
from adapters_jax.adapters import field_checks
from adapters_jax.adapters import folders
from adapters_jax.adapters import settings as settings_lib
from adapters_jax.adapters import storage
from adapters_jax.adapters import trained
from adapters_jax.data import squad
from adapters_jax.downloads import json_files
from adapters_jax.downloads import paths
from adapters_jax.methods import base as methods_base
from adapters_jax.methods import strings
from adapters_jax.model import composition as composition_lib
from adapters_jax.model import heads
from adapters_jax.model import setups


@dataclasses.dataclass(frozen=True, eq=False)
class Adapter:
  """A trained or imported adapter, without its base.

  Adapters are equal if their fields are; trees are compared by value.

  Attributes:
    methods: Configs of its adapter methods; empty for fine-tuned leaves alone.
    tuned: Partial tree, with head and tuned norms, if any.
    head_input: Name of the head, a key of heads.HEADS.
    labels: Class names in the order of the head's outputs; empty if unknown.
    texts: Names of the one or two texts of an input.
    max_length: Longest input in tokens.
    base: Identity of the base, from `model.base.identity`: its name,
      'folder@hash' or 'name#hash'; '' if unknown.
    task: Name of the task it was trained on.
    scores: {split: {metric: value}} of the kept step.
    history: One entry per evaluation of the training, as in records: 'step',
      the mean 'loss' since the one before, 'dev' {metric: value}, and
      'collapsed_to', the label that every dev example got, if there is one,
      '' if none got any. That of the kept step has 'kept': True. Only `train`
      sets it, and it is not saved; () otherwise.
    settings: Training settings, for people and for `prediction.load`.
    base_files: {name: hash} of the small files of a base in a folder.
    hidden_activation: Activation of the base's feed-forward sublayers; that of
      the checkpoint when empty.
    family: Family of the base, a key of `families.FAMILIES`.
    threshold: Probability from which on the second of two classes, or each of
      several labels, is predicted; None for the most probable class, or 0.5
      with several labels.
    setup: For a composed adapter, the setup of its members by name; None for a
      single one.
    members: (name, number of methods) of each member, in the order of
      `methods`; () for a single one.
  """
  methods: tuple[Any, ...]
  tuned: trees.Tree = dataclasses.field(repr=False)
  head_input: str = 'cls'
  labels: tuple[str, ...] = ()
  texts: tuple[str, ...] = ('text',)
  max_length: int = 128
  base: str = ''
  task: str = ''
  scores: Mapping[str, Mapping[str, float]] = dataclasses.field(
      default_factory=dict)
  history: tuple[Mapping[str, Any], ...] = dataclasses.field(
      default=(), repr=False, compare=False, kw_only=True)
  settings: Mapping[str, Any] = dataclasses.field(
      default_factory=dict, repr=False)
  base_files: Mapping[str, str] = dataclasses.field(
      default_factory=dict, repr=False)
  hidden_activation: str = ''
  family: str = 'bert'
  threshold: float | None = None
  setup: composition_lib.Block | None = None
  members: tuple[tuple[str, int], ...] = ()

  def __post_init__(self):
    checks = field_checks
    checks.check_tree(self.tuned, self.setup)
    for name, value in {
        'tuned': trees.plain(self.tuned),
        'methods': methods_base.demand_methods(self.methods, 'methods'),
        'threshold': checks.threshold(self.threshold),
        'max_length': checks.max_length(self.max_length),
        'labels': checks.labels(self.labels),
        **{field: checks.entries(field, getattr(self, field))
           for field in ('scores', 'settings', 'base_files')},
        'texts': checks.strings('texts', self.texts)}.items():
      object.__setattr__(self, name, value)
    checks.check_names(self.head_input, self.hidden_activation, self.family)
    checks.check_texts(base=self.base, task=self.task)

  def __eq__(self, other: object) -> bool:
    if not isinstance(other, Adapter):
      return NotImplemented
    return self is other or all(
        trees.equal(self.tuned, other.tuned) if field.name == 'tuned' else
        getattr(self, field.name) == getattr(other, field.name)
        for field in dataclasses.fields(self) if field.compare)

  def __hash__(self) -> int:
    return hash((self.methods, self.head_input, self.labels, self.base))

  def __repr__(self) -> str:
    """Returns one line, without all the fields of methods."""
    shown = ', '.join(f'{name}={getattr(self, name)!r}' for name in (
        'task', 'labels', 'base', 'scores') if getattr(self, name))
    return f'Adapter({", ".join(filter(None, (repr(self.method), shown)))})'

  @property
  def composition(self) -> Any:
    """Tree over `methods`, None where they act one after the other."""
    if self.setup is None:
      return None
    return setups.over_methods(self.setup, dict(self.members))[0]

  @property
  def method(self) -> str:
    """Method string for `strings.parse`; a description if there are no methods.

    For a composed adapter, the text of its setup.
    """
    if self.setup is not None:
      return str(self.setup)
    if self.methods:
      return strings.render(self.methods)
    roles = {trees.role(path) for path in trees.flatten(self.tuned)}
    # Checked first, as such trees hold a head and norms too. Whether 'full',
    # 'top_k' or 'bias' trained them cannot be seen.
    if 'encoder' in roles:
      return 'fine-tuned weights'
    return 'head' if roles == {'head'} else 'layer norms'

  @property
  def head(self) -> heads.Head:
    """Head, a row of heads.HEADS; meaningless if `outputs` is None."""
    return heads.HEADS[self.head_input]

  @property
  def outputs(self) -> int | None:
    """Number of outputs of the head, None without a head."""
    head = self.tuned.get('head')
    return None if head is None else head['bias'].shape[0]

  @property
  def classes(self) -> tuple[str, ...]:
    """Class names, or numbers if unknown; empty for a score or an answer.

    Raises:
      errors.UserError: as of `check_labels`.
    """
    if self.head.least_classes is None:
      return ()
    self.check_labels()
    outputs = self.outputs or 0
    # A single output is a score, without classes.
    return self.labels or tuple(
        str(n) for n in range(outputs) if self.head.has_classes(outputs))

  def check_labels(self) -> None:
    """Raises UserError for labels or a threshold that do not fit the head."""
    # Not in `__post_init__`: head and labels may be replaced one at a time.
    if (self.labels and self.head.least_classes is not None
        and self.outputs not in (None, len(self.labels))):
      raise errors.UserError(
          f'`labels`: the head has {self.outputs} outputs, not '
          f'{len(self.labels)}; name each of them, or none')
    if self.threshold is not None and self.outputs is not None and (
        not self.head.takes_threshold(self.outputs)):
      raise errors.UserError(
          f'`threshold={self.threshold}`: is for two classes, or several '
          'labels a text; give None')

  @property
  def trained_params(self) -> int:
    """Number of parameters that its training changed, with head and norms.

    Those of frozen members do not count.
    """
    return trained.count(
        self.tuned, self.methods, self.members, self.settings)

  def save(self, folder: paths.Path) -> None:
    """Writes tuned.safetensors and config.json, which `load` reads.

    Args:
      folder: Folder of the adapter, made if absent.

    Raises:
      errors.UserError: no path, a file in its place, the folder of a model,
        labels that do not fit the head, or values that `load` would refuse.
    """
    self.check_labels()
    settings_lib.checked({**self.settings}, '`settings`')
    # Again: a dict may have been changed since.
    field_checks.check_head(self.tuned, '`tuned`')
    folder = paths.target(folder, 'folder')
    storage.save_tuned(folder, self.tuned, {
        'task': self.task, 'labels': list(self.labels),
        'texts': list(self.texts),
        # Merged and imported adapters come from no run.
        'config': dict(self.settings) or self.as_settings(),
        'adapter': {
            'method': strings.render(self.methods),
            'head_input': self.head_input, 'max_length': self.max_length,
            'base': self.base, 'hidden_activation': self.hidden_activation,
            'family': self.family, 'scores': self.scores,
            'base_files': self.base_files,
            **({} if self.setup is None else {
                'setup': str(self.setup),
                'members': [list(member) for member in self.members]}),
            **({} if self.threshold is None
               else {'threshold': self.threshold})}})

  def as_settings(self) -> dict[str, Any]:
    """Returns the settings of a run that would train such an adapter."""
    tunes = {'fine-tuned weights': 'full', 'head': 'head',
             'layer norms': 'norms'}
    return {
        'tune': tunes.get(self.method, 'adapters'),
        'adapter_config': strings.render(self.methods),
        'checkpoint': self.base, 'max_length': self.max_length,
        'hidden_activation': self.hidden_activation,
        # The setting names the input only: the task implies the head.
        'head_input': (
            self.head_input if self.head.transformers ==
            heads.HEADS['pooler'].transformers else 'cls')}


def load(folder: str) -> Adapter:
  """Loads a saved adapter.

  Args:
    folder: Folder of the adapter, the workdir of the run that trained it, or
      a name on the Hugging Face hub.

  Raises:
    errors.UserError: no adapter in the folder, or a damaged one.
  """
  folder = folders.folder_of(folders.local(folder))
  tuned, saved = storage.load_tuned(folder)
  field_checks.check_head(tuned, os.path.join(folder, folders.WEIGHTS))
  return _described(tuned, saved, os.path.join(folder, folders.SETTINGS))


def _described(
    tuned: trees.Tree, saved: Mapping[str, Any], where: str
) -> Adapter:
  """Returns the adapter that a tree and the JSON value saved with it describe.

  Args:
    tuned: Partial tree.
    saved: JSON value, written by `Adapter.save` of this or an earlier version.
    where: Path of its file, for messages.

  Raises:
    errors.UserError: an entry is missing, or of another type.
  """
  values = settings_lib.checked(json_files.inner(saved, 'config', where), where)
  task = json_files.string(saved, 'task', where)
  if 'adapter' in saved:
    own = json_files.inner(saved, 'adapter', where)
    method = json_files.string(own, 'method', where)
    methods = (strings.parse(method, f'{where}: `method`', saved=True)
               if method else ())
  else:  # Saved by a version that described adapters by settings alone.
    own = {**settings_lib.DEFAULTS, **values}
    own['base'] = own['checkpoint']
    own.pop('threshold', None)  # A setting of the run, not its result.
    if task == squad.TASK.name:
      own['head_input'] = 'tokens'
    # Without the number of layers, which is unknown; training checked them.
    with errors.within(where):
      methods = settings_lib.methods_of(values, None)
  tuned = storage.without_unused(tuned, methods)
  setup, members = storage.setup_of(own, methods, where)
  fields: dict[str, Any] = {
      'head_input': json_files.string(own, 'head_input', where),
      'labels': json_files.strings(saved, 'labels', where),
      'texts': json_files.strings(saved, 'texts', where),
      'max_length': json_files.integer(
          own, 'max_length', where, 1, field_checks.LONGEST),
      'base': json_files.string(own, 'base', where), 'task': task,
      'scores': json_files.inner(own, 'scores', where), 'settings': values,
      'base_files': json_files.inner(own, 'base_files', where),
      'hidden_activation': json_files.string(own, 'hidden_activation', where),
      # Absent in adapters of versions that knew BERT alone.
      'family': json_files.string(own, 'family', where, 'bert'),
      'threshold': (json_files.number(own, 'threshold', where, 0, 1)
                    if 'threshold' in own else None)}
  with errors.within(where):
    adapter = Adapter(methods, tuned, setup=setup, members=members, **fields)
  # `save` writes these settings for an adapter that has none.
  return (dataclasses.replace(adapter, settings={})
          if values == adapter.as_settings() else adapter)
