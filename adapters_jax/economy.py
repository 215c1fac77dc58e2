"""What many tasks cost: one base with a tuned tree each, or a model each."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Economy:
  """Parameters to keep for a number of tasks.

  Attributes:
    tasks: How many.
    shared: One base and a tuned tree for each task.
    separate: A fine-tuned model for each task.
    shared_ratio: `shared` in units of the base (the paper's 1.3x).
    separate_ratio: `separate` in the same units (the paper's 9x).
  """
  tasks: int
  shared: int
  separate: int
  shared_ratio: float
  separate_ratio: float


def economy(base: int, tuned: int, tasks: int) -> Economy:
  """Returns what `tasks` tasks cost (Houlsby et al., 2019, table 1).

  Args:
    base: Parameters of the pretrained model.
    tuned: Trained parameters a task.
    tasks: How many tasks.
  """
  shared, separate = base + tasks * tuned, tasks * base
  return Economy(tasks, shared, separate, shared / base, separate / base)
