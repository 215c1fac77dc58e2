import dataclasses
from unittest import mock

from absl.testing import parameterized
import jax
import pytest

from adapters_jax import errors
from scripts import compile_tpu
from tests import tiny

FOUR_LAYERS = dataclasses.replace(tiny.CONFIG, layers=4)
CONFIG = compile_tpu.Config(
    checkpoint_config='four', adapter_size=3, batch_size=4, max_length=8,
    precision='float32')


class CompileTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enterContext(
        mock.patch.dict(compile_tpu.SHAPES, {'four': FOUR_LAYERS}))

  @pytest.mark.slow
  def test_flops_grow_by_the_layer_so_two_models_tell_a_deep_one(self):
    flops = [
        compile_tpu.lower(CONFIG, jax.devices()[:1], layers, False)[0]
        .cost_analysis()['flops'] for layers in (2, 3, 4)]
    self.assertGreater(flops[0], 0)
    self.assertAlmostEqual(
        flops[1] - flops[0], flops[2] - flops[1], delta=0.01 * flops[0])

  @pytest.mark.slow
  def test_report_of_the_device_here(self):
    report = compile_tpu.measure(CONFIG, jax.devices()[:1])
    adapters = 4 * 2 * (12 * 3 + 3 + 3 * 12 + 12)
    norms = (1 + 4 * 2) * 2 * 12
    self.assertEqual(report.trained, adapters + norms + 12 * 2 + 2)
    # Parameters once, two Adam moments of what is trained, and a batch.
    self.assertGreater(
        report.arguments, 4 * (report.parameters + 2 * report.trained))
    self.assertLess(
        report.arguments, 4 * (report.parameters + 2 * report.trained) + 4000)
    self.assertGreater(report.temporary, 0)
    self.assertGreater(report.flops, 0)

  def test_wrong_flags(self):
    with self.assertRaisesRegex(errors.UserError, '--tune'):
      compile_tpu.main(compile_tpu.Config(tune='adapter'))
    with self.assertRaisesRegex(errors.UserError, '--noscan'):
      compile_tpu.main(compile_tpu.Config(tune='top_k'))

  def test_a_slice_that_is_not_there(self):
    pytest.importorskip('libtpu')
    devices = compile_tpu.topology_devices('v5e:2x4')
    self.assertLen(devices, 8)
    self.assertEqual(devices[0].platform, 'tpu')
    with self.assertRaisesRegex(errors.UserError, '--topology=v5e:banana'):
      compile_tpu.topology_devices('v5e:banana')

  def test_without_libtpu_one_line_says_what_to_install(self):
    from jax.experimental import topologies
    with mock.patch.object(
        topologies, 'get_topology_desc', side_effect=RuntimeError('no tpu')):
      with self.assertRaisesRegex(errors.UserError, r'\.\[tpu\]'):
        compile_tpu.topology_devices('v5e:2x4')
