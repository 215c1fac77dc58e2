"""Selects the points that tables report."""

import collections
from collections.abc import Iterable, Sequence
import math

from adapters_jax.analysis import points as points_lib
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import options


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


def headline(
    found: Iterable[points_lib.Point], sizes: Sequence[int],
    top_k: Sequence[int],
) -> list[points_lib.Point]:
  """Returns the points of a results table.

  They have default settings, except for rates, epochs, the computation and
  methods other than bottlenecks.
  Among the points of a task and base, those count whose data, number of
  training examples and precision most runs share, in a tie those with more
  examples: a single trial on few examples must not replace results.

  Args:
    found: Points.
    sizes: Adapter sizes to keep.
    top_k: Numbers of fine-tuned layers to keep.
  """
  kept = [
      p for p in found if not p.changed
      and (p.settings['tune'] != 'adapters' or p.named_config
           or p.settings['adapter_size'] in sizes)
      and (p.settings['tune'] != 'top_k' or p.settings['top_k'] in top_k)]

  names = options.marked(config_lib.Config, 'data')

  def own(point):
    others = {name: point.settings[name] for name in (*names, 'precision')
              if name != 'train_examples'}
    return point.examples, identity.digest(others)

  runs: dict[tuple[str, str], collections.Counter[tuple[float, str]]] = {}
  for point in kept:
    runs.setdefault(_task_and_base(point), collections.Counter())[
        own(point)] += len(point.records)
  most = {name: max(counts, key=lambda one: (counts[one], one))
          for name, counts in runs.items()}
  return [p for p in kept if own(p) == most[_task_and_base(p)]]


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
