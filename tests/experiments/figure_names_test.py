"""Tests of markers and names by which points of figures are told apart."""

import numpy as np
import pytest

from tests.experiments import made_records

pytest.importorskip('pandas', reason="needs the extra 'notebooks'")
pytest.importorskip('matplotlib', reason="needs the extra 'notebooks'")
pytestmark = pytest.mark.figures

# pylint: disable=wrong-import-position
from experiments.analysis import figures  # noqa: E402
from experiments.analysis import frames  # noqa: E402

put, put_floor = made_records.put, made_records.put_floor


def distances(folder):
  runs = frames.load(str(folder))
  return figures.distances(frames.tradeoff(runs), frames.powers(runs))


def test_top_layers_are_hollow(tmp_path):
  put_floor(tmp_path)
  put(tmp_path, [0.7, 0.7], 40)
  drawn = distances(tmp_path)
  assert [text.get_text() for text in drawn.legends[0].get_texts()] == ['RTE']
  put(tmp_path, [0.6, 0.6], 200, tune='top_k', top_k=2)
  drawn = distances(tmp_path)
  fills = {float(line.get_xdata()[0]): line.get_fillstyle()
           for line in drawn.axes[0].lines if line.get_marker() != 'None'}
  assert fills == {4: 'full', 20: 'none'}  # Per cent of the parameters.
  legend = drawn.legends[0]
  assert [(text.get_text(), handle.get_fillstyle()) for text, handle in zip(
      legend.get_texts(), legend.legend_handles)] == [
          ('RTE', 'full'), ('adapters', 'full'), ('top layers', 'none')]


def test_a_point_below_another_is_larger(tmp_path):
  for task, score in (('cola', 0.7), ('rte', 0.7), ('wnli', 0.75)):
    put_floor(tmp_path, task=task)
    put(tmp_path, [score, score], 40, task=task)
  sizes = [line.get_markersize() for line in distances(tmp_path).axes[0].lines
           if line.get_marker() != 'None']
  np.testing.assert_array_equal(np.array(sizes) > min(sizes),
                                [True, False, False])


def test_precisions_are_named_unless_the_default(tmp_path):
  def titles():
    runs = frames.load(str(tmp_path))
    return [axis.get_title('left').split('\n')[0]
            for axis in figures.tradeoff(frames.tradeoff(runs)).axes]

  put_floor(tmp_path, task='rte', precision='float32')
  assert titles() == ['RTE, float32']  # Another figure may have both.
  put_floor(tmp_path, task='wnli')
  assert titles() == ['RTE, float32', 'wnli']
  put(tmp_path, [0.7], task='rte', precision='float32')
  put(tmp_path, [0.7], task='wnli')
  names = [text.get_text()
           for text in distances(tmp_path).legends[0].get_texts()]
  assert names == ['RTE, float32', 'wnli']
