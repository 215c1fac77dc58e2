import os
import pathlib
import socket
import subprocess
import sys
from unittest import mock

from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.training import hosts
from adapters_jax.training import sharding

ROOT = pathlib.Path(__file__).parents[2]


class SpecTest(parameterized.TestCase):

  @parameterized.parameters(
      ('encoder/layer_3/ffn_output/kernel', (24, 16), ('fsdp', None)),
      ('encoder/layers/ffn_output/kernel', (5, 24, 16), (None, 'fsdp', None)),
      ('0/trained/mu/encoder/layer_3/ffn_output/kernel', (24, 16),
       ('fsdp', None)),
      ('encoder/layer_3/ffn_output/kernel', (9, 16), (None, None)),
      ('encoder/layer_3/ffn_output/bias', (16,), (None,)),
      ('encoder/layer_3/adapter_ffn_output_0/up/kernel', (8, 16),
       (None, None)),
      ('0/mu/encoder/layer_3/adapter_ffn_output_0/up/kernel', (8, 16),
       (None, None)),
      ('head/kernel', (16, 2), (None, None)),
      ('embeddings/words/embedding', (18, 16), (None, None)),
      ('embeddings/project/kernel', (10, 12), ('fsdp', None)),
      ('encoder/relative_bias', (32, 2), (None, None)),
      ('step', (), ()),
  )
  def test_rules(self, path, shape, wanted):
    spec = sharding.spec_of(path, shape, {'data': 4, 'fsdp': 2})
    self.assertEqual(tuple(spec), wanted)

  def test_without_an_fsdp_axis_all_is_whole(self):
    spec = sharding.spec_of('encoder/x/kernel', (4, 6), {'data': 8})
    self.assertEqual(tuple(spec), (None, None))


class MeshTest(parameterized.TestCase):

  @parameterized.parameters(
      ('data', 8, {'data': 8}),
      ('data:8', 8, {'data': 8}),
      ('data,fsdp:2', 8, {'data': 4, 'fsdp': 2}),
      ('data:2,fsdp', 8, {'data': 2, 'fsdp': 4}),
      ('fsdp', 3, {'fsdp': 3}),
      ('data', 1, {'data': 1}),
  )
  def test_parse(self, text, devices, wanted):
    self.assertEqual(sharding.parse_mesh(text, devices), wanted)

  @parameterized.parameters(
      'model:8', 'data:0', 'data:x', '', 'data:4,data:2', 'data:', 'data:-1')
  def test_other_forms_name_the_flag(self, text):
    with self.assertRaisesRegex(errors.UserError, f'^`mesh={text}`: not of'):
      sharding.parse_mesh(text, 8)

  @parameterized.parameters('data:4', 'data:16', 'data:3,fsdp', 'data,fsdp')
  def test_another_number_of_devices_names_the_flag(self, text):
    with self.assertRaisesRegex(
        errors.UserError, f'^`mesh={text}`: does not fit 8 devices'):
      sharding.parse_mesh(text, 8)

  def test_a_batch_that_does_not_split_names_the_flag(self):
    with self.assertRaisesRegex(
        errors.UserError, '^`mesh=data`: a batch of 6 .* over 4 devices; '
        'give a multiple of 4$'):
      sharding.make_mesh('data', 6, [None] * 4)
    with self.assertRaisesRegex(errors.UserError, 'in 3 parts .* of 12$'):
      sharding.make_mesh('data', 8, [None] * 4, accumulate=3)

  def test_one_device(self):
    mesh = sharding.make_mesh('data', 3, jax.devices()[:1])
    self.assertEqual(sharding.local_rows(mesh, 3), (0, 1, 2))
    self.assertEqual(sharding.mesh_line(mesh), 'mesh data:1')
    placed = sharding.distribute(mesh, {'a': {'kernel': np.ones((2, 3))}})
    self.assertEqual(placed['a']['kernel'].sharding.mesh, mesh)
    made = sharding.create(
        mesh, lambda x: {'twice': 2 * x, 'key': jax.random.key(1)}, jnp.ones(3))
    np.testing.assert_array_equal(
        sharding.gather(mesh, made['twice']), 2 * np.ones(3))

  @parameterized.parameters('Auto', 'Explicit')
  def test_a_mesh_of_the_caller_is_set_aside(self, axes):
    mesh = sharding.one_device()
    own = jax.make_mesh(
        (1,), ('x',), axis_types=(jax.sharding.AxisType[axes],))
    with jax.set_mesh(own):
      with self.assertRaises(KeyError), sharding.without_context_mesh():
        self.assertTrue(jax.sharding.get_abstract_mesh().empty)
        made = sharding.create(mesh, jnp.zeros_like, np.ones((2, 3)))
        self.assertEqual(made.sharding.mesh, mesh)
        raise KeyError
      self.assertEqual(jax.sharding.get_abstract_mesh(), own.abstract_mesh)
    with sharding.without_context_mesh():
      self.assertTrue(jax.sharding.get_abstract_mesh().empty)


class StartTest(parameterized.TestCase):

  @parameterized.parameters(
      ('', 2, -1, '`processes` and `process` go with'),
      ('', 0, 0, '`processes` and `process` go with'),
      ('localhost', 2, 0, '`coordinator=localhost`: give host:port'),
      ('localhost:12', 2, 2, '`process=2` `processes=2`'),
      ('localhost:12', 0, -1, '`process=-1` `processes=0`'),
  )
  def test_contradicting_flags(self, coordinator, processes, process, message):
    with self.assertRaisesRegex(errors.UserError, message):
      hosts.join_all(coordinator, processes, process)

  def test_a_port_that_cannot_be_used(self):
    initialize = mock.Mock()
    with (mock.patch.object(jax.distributed, 'initialize', initialize),
          mock.patch.dict(os.environ), socket.socket() as taken):
      os.environ.pop('JAX_COORDINATOR_BIND_ADDRESS', None)
      taken.bind(('127.0.0.1', 0))
      taken.listen()
      port = taken.getsockname()[1]
      for number, reason in ((port, 'Address already in use'),
                             (99999, '.*0-65535.*')):
        with self.assertRaisesRegex(
            errors.UserError, f'^`coordinator=here:{number}`: port {number} '
            rf'cannot be used \({reason}\); give another$'):
          hosts.join_all(f'here:{number}', 2, 0)
      initialize.assert_not_called()
      hosts.join_all(f'here:{port}', 2, 1)  # It connects to that port.
      os.environ['JAX_COORDINATOR_BIND_ADDRESS'] = '127.0.0.1:0'
      hosts.join_all(f'here:{port}', 2, 0)
      self.assertEqual(initialize.call_count, 2)

  def test_auto_without_a_cluster(self):
    initialize = mock.Mock(side_effect=ValueError('no address'))
    with mock.patch.object(jax.distributed, 'initialize', initialize):
      with self.assertRaisesRegex(
          errors.UserError, '`coordinator=auto`: found no cluster'):
        hosts.join_all('auto', 0, -1)
    initialize.assert_called_once()

  def test_one_process_needs_nothing(self):
    hosts.join_all('', 0, -1)
    self.assertTrue(hosts.is_first())


@pytest.mark.first
@pytest.mark.slow
class EightDevicesTest(parameterized.TestCase):

  def test_in_a_process_with_eight_devices(self):
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-x', '-n', '0', '-p',
         'no:cacheprovider', 'tests/training/eight_devices.py'],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, 'JAX_PLATFORMS': 'cpu',
             'XLA_FLAGS': '--xla_force_host_platform_device_count=8'})
    self.assertEqual(result.returncode, 0, result.stdout[-6000:])
    self.assertRegex(result.stdout, r'\d+ passed')
