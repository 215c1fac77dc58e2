"""Selects the points that tables and figures report."""

from collections.abc import Hashable, Iterable, Sequence
import math
import re
from typing import Any

from adapters_jax.analysis import points as points_lib
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import options

# Settings that all runs of a task and base share in a table, at any value: the
# data and the arithmetic. The batch size is none, as each method may need its
# own.
DATA = (*options.marked(config_lib.Config, 'data'), 'precision')
Values = tuple[Any, ...]
_NAMES = re.compile(r'(?:^|\|)\s*([^\[|]+)')  # Of a method and of a union.


def picked(found: Iterable[points_lib.Point]) -> list[points_lib.Point]:
  """Returns the point to report of each task, base and method.

  Its schedule scored best on dev with seeds that pick. Without such trials it
  has the most seeds and, among equals, the best mean on dev.
  """
  def rank(point):
    score = -math.inf if math.isnan(point.pick_score) else point.pick_score
    return score, len(point.records), point.dev

  chosen: dict[tuple[str, str, str], points_lib.Point] = {}
  for point in found:
    key = *_task_and_base(point), point.method
    if key not in chosen or rank(point) > rank(chosen[key]):
      chosen[key] = point
  return list(chosen.values())


def fullest(
    found: Iterable[tuple[Values, Values, Hashable, int, float]]
) -> dict[Values, Values]:
  """Returns {panel: its data with the most seeds of methods, then examples}.

  Each method counts with the most runs of one of its points, so that neither a
  sweep of one method nor a pilot of one seed replaces a comparison.

  Args:
    found: (panel, data, method, number of runs, number of training examples)
      of each point.
  """
  panels: dict[Values, dict[Values, list[tuple[Hashable, int, float]]]] = {}
  for panel, data, method, runs, examples in found:
    panels.setdefault(panel, {}).setdefault(data, []).append(
        (method, runs, examples))

  def rank(entry):
    data, points = entry
    seeds: dict[Hashable, int] = {}
    for method, runs, _ in points:
      seeds[method] = max(runs, seeds.get(method, 0))
    # The data break ties, so that the order of the points does not count.
    return (sum(seeds.values()), max(examples for _, _, examples in points),
            data)

  return {panel: max(by_data.items(), key=rank)[0]
          for panel, by_data in panels.items()}


def data_of(
    point: points_lib.Point, names: Sequence[str] = DATA
) -> Values:
  """Returns a point's values of some settings."""
  return tuple(point.settings[name] for name in names)


def main_data(
    found: Iterable[points_lib.Point], names: Sequence[str] = DATA
) -> dict[Values, Values]:
  """Returns {(task, base): values of `names`} of tables or of the main figure.

  Of all points with default settings: neither the sizes in a table nor the
  methods in a figure change the choice. Sizes and fields of a method are none
  of their own, or an ablation of them would replace the comparison.

  Args:
    found: Points of any runs.
    names: Settings that all runs of a task and base share.
  """
  return fullest(
      (_task_and_base(p), data_of(p, names),
       (p.settings['tune'], *_NAMES.findall(p.named_config)),
       len(p.records), p.examples) for p in found if _is_default(p))


def headline(
    found: Iterable[points_lib.Point], sizes: Sequence[int],
    top_k: Sequence[int],
) -> list[points_lib.Point]:
  """Returns the points of a results table.

  They have default settings, except for rates, epochs, the batch size, the
  head's input, DATA and methods other than bottlenecks. Those of a task and
  base are on the data of `main_data`.

  Args:
    found: Points.
    sizes: Adapter sizes to keep.
    top_k: Numbers of fine-tuned layers to keep.
  """
  found = list(found)
  main = main_data(found)
  return [
      p for p in found if _is_default(p)
      and data_of(p) == main[_task_and_base(p)]
      and (p.settings['tune'] != 'adapters' or p.named_config
           or p.settings['adapter_size'] in sizes)
      and (p.settings['tune'] != 'top_k' or p.settings['top_k'] in top_k)]


def left_out(
    found: Iterable[points_lib.Point], chosen: Iterable[points_lib.Point]
) -> list[tuple[points_lib.Point, list[points_lib.Point]]]:
  """Returns points of the tasks of a table that are on other data.

  Args:
    found: Points of any runs.
    chosen: Points of one table, of `headline`.

  Returns:
    (a point of the table, points of its task and base with other DATA, which
    are equal in all of them) for each such DATA.
  """
  there = {_task_and_base(point): point for point in chosen}
  others: dict[tuple[Values, Values], list[points_lib.Point]] = {}
  for point in found:
    name, data = _task_and_base(point), data_of(point)
    if _is_default(point) and name in there and data != data_of(there[name]):
      others.setdefault((name, data), []).append(point)
  return [(there[name], some) for (name, _), some in others.items()]


def _is_default(point: points_lib.Point) -> bool:
  """Returns whether no setting of the method but `head_input` is changed."""
  return all(text.partition('=')[0] == 'head_input' for text in point.changed)


def by_base(
    found: Iterable[points_lib.Point]
) -> dict[str, list[points_lib.Point]]:
  """Returns {`Point.base`: its points, in order}, larger models first."""
  bases: dict[str, list[points_lib.Point]] = {}
  for point in found:
    bases.setdefault(point.base, []).append(point)

  def size(name):
    return max(point.records[0].total_params for point in bases[name])

  return {name: bases[name]
          for name in sorted(bases, key=lambda name: (-size(name), name))}


def missing_seeds(
    found: Iterable[points_lib.Point]
) -> list[tuple[points_lib.Point, list[int]]]:
  """Returns the points without seeds that others of their task have.

  Args:
    found: Points of one table. The base as it is needs no seeds.
  """
  trained = [point for point in found if point.settings['tune'] != 'none']
  seeds: dict[str, set[int]] = {}
  for point in trained:
    seeds.setdefault(point.task, set()).update(point.seeds)
  return [(point, sorted(missing)) for point in trained
          if (missing := seeds[point.task] - point.seeds)]


def _task_and_base(point: points_lib.Point) -> tuple[str, str]:
  return point.task, point.settings['checkpoint']
