"""The Adapter: everything a task adds to a base."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from adapters_jax import trees
from adapters_jax.methods import strings


@dataclasses.dataclass(frozen=True)
class Adapter:
  """A trained or imported adapter, apart from its base.

  Attributes:
    methods: Configs of its adapter methods; empty for fine-tuned leaves alone.
    tuned: Partial tree; the head and tuned norms included, if any.
    head_input: 'cls', 'pooler' or 'tokens', as in `heads.make`.
    labels: Class names in the order of the head's outputs; empty if unknown.
    texts: Names of the one or two texts of an input.
    max_length: Longest input in tokens.
    base: Identity of the base: name, or 'folder@hash' of its weights.
    task: Name of the task it was trained on.
    scores: {split: {metric: value}} of the kept step.
    settings: Training settings, for the reader; nothing depends on them.
  """
  methods: tuple[Any, ...]
  tuned: trees.Tree
  head_input: str = 'cls'
  labels: tuple[str, ...] = ()
  texts: tuple[str, ...] = ('text',)
  max_length: int = 128
  base: str = ''
  task: str = ''
  scores: Mapping[str, Mapping[str, float]] = dataclasses.field(
      default_factory=dict)
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def method(self) -> str:
    """Method string as `strings.parse` reads it; 'layer norms' without any."""
    return strings.render(self.methods) or 'layer norms'

  @property
  def outputs(self) -> int | None:
    """Outputs of the head, None without a head."""
    head = self.tuned.get('head')
    return None if head is None else head['bias'].shape[0]

  @property
  def trained_params(self) -> int:
    """Parameters that training changes, head and norms included."""
    return trees.count_trained(self.tuned)
