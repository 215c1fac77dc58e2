"""Tests of adapters_jax.cluster that need no cluster."""

import os
import sys
import types
from unittest import mock

from absl.testing import parameterized

from adapters_jax import errors
from adapters_jax.sweeps import ray_launcher


class FakeRay:
  """Runs calls when they are asked for; counts those under way."""

  class exceptions:
    class RayError(Exception):
      pass

  def __init__(self):
    self.running, self.most, self.options = 0, 0, None

  def remote(self, function):

    def options(**values):
      self.options = values
      return types.SimpleNamespace(remote=submit)

    def submit(*arguments):
      self.running += 1
      self.most = max(self.most, self.running)
      return lambda: function(*arguments)

    return types.SimpleNamespace(options=options)

  def init(self, **_):
    pass

  def nodes(self):
    return [{'Alive': True, 'Resources': {'CPU': 3.0}}]

  def shutdown(self):
    pass

  def wait(self, tasks):
    return tasks[-1:], tasks[:-1]

  def get(self, task):
    self.running -= 1
    return task()


class ClusterTest(parameterized.TestCase):

  @parameterized.parameters(
      ({}, [{'CPU': 6}], (1, 6, 0)),
      ({'workers': 2}, [{'CPU': 7}], (2, 3, 0)),
      ({'workers': 3}, [{'CPU': 8}, {'CPU': 5}], (3, 2, 0)),
      ({}, [{}, {'CPU': 8}, {'CPU': 6}], (2, 6, 0)),
      ({}, [{'CPU': 32, 'GPU': 4}, {'CPU': 40, 'GPU': 4}], (8, 8, 1)),
      ({}, [{'CPU': 32}, {'CPU': 32, 'GPU': 4}], (4, 8, 1)),
      ({}, [{'CPU': 32, 'GPU': 8}, {'CPU': 32, 'GPU': 2}], (10, 4, 1)),
      ({'workers': 9}, [{'CPU': 32, 'GPU': 8}, {'CPU': 32, 'GPU': 2}],
       (9, 4, 1)),
      ({'gpus_per_worker': 2}, [{'CPU': 32, 'GPU': 4}], (2, 16, 2)),
      ({'gpus_per_worker': 2}, [{'CPU': 9, 'GPU': 3}] * 2, (2, 9, 2)),
      ({'gpus_per_worker': 0, 'cpus_per_worker': 5},
       [{'CPU': 32, 'GPU': 4}], (1, 5, 0)),
      ({'workers': 9}, [{'CPU': 4}], (9, 1, 0)))
  def test_shares(self, flags, machines, wanted):
    self.assertEqual(ray_launcher.share(machines, **flags), wanted)

  @parameterized.parameters(
      ({'cpus_per_worker': 9}, '`cpus_per_worker=9`: .*more than 8'),
      ({'gpus_per_worker': 1}, '`gpus_per_worker=1`: .*more than 0'))
  def test_more_than_a_machine_has(self, flags, message):
    with self.assertRaisesRegex(errors.UserError, message):
      ray_launcher.share([{'CPU': 8.0}, {'CPU': 4.0}], **flags)

  def test_more_cores_than_the_machines_with_gpus_have(self):
    with self.assertRaisesRegex(errors.UserError, '=40.*more than 32'):
      ray_launcher.share(
          [{'CPU': 64}, {'CPU': 32, 'GPU': 4}], cpus_per_worker=40)

  def test_ray_is_not_installed(self):
    with mock.patch.dict(sys.modules, {'ray': None}):
      with self.assertRaisesRegex(
          errors.UserError, r"`launcher=ray`: .* pip install -e '.\[sweep\]'"):
        with ray_launcher.started():
          pass

  def test_environment_of_workers(self):
    ray = FakeRay()
    there = {'XLA_PYTHON_CLIENT_MEM_FRACTION': '.4', 'HF_TOKEN': 'secret',
             'JAX_PLATFORMS': 'cpu', 'OTHER': '1'}
    with (mock.patch.dict(sys.modules, {'ray': ray}),
          mock.patch.dict(os.environ, there, clear=True),
          ray_launcher.started() as (launch, workers)):
      list(launch(abs, [(-1,)], ['a']))
    self.assertEqual(workers, 1)
    passed = ray.options['runtime_env']['env_vars']
    self.assertEqual(passed['XLA_PYTHON_CLIENT_MEM_FRACTION'], '.4')
    self.assertEqual(passed['JAX_PLATFORMS'], 'cpu')
    self.assertEqual(passed['NPROC'], '3')
    self.assertFalse({'HF_TOKEN', 'OTHER'} & set(passed))

  def test_units_run_a_few_at_a_time_and_fail_alone(self):
    ray = FakeRay()

    def double(x):
      if x == 3:
        raise ray.exceptions.RayError('the worker died\nand more')
      if x == 1:  # As Ray reports a worker's own error.
        error = ray.exceptions.RayError('a traceback')
        error.cause = MemoryError()
        raise error
      return 2 * x

    found = dict(ray_launcher._launch(
        ray, {'num_cpus': 1}, 2, double, [(x,) for x in range(5)],
        ['a'] * 5))
    self.assertEqual(
        found, {0: 0, 1: 'MemoryError: no message', 2: 4,
                3: 'RayError: the worker died', 4: 8})
    self.assertEqual(ray.most, 2)
    self.assertEqual(
        ray.options['retry_exceptions'], [errors.Interrupted])

  def test_a_fault_that_all_units_share_ends_the_sweep(self):
    ray, tried = FakeRay(), []

    def fail(x):
      tried.append(x)
      error = ray.exceptions.RayError('a traceback')
      error.cause = errors.SweepError('`halving_first`: give more')
      raise error

    with self.assertRaisesRegex(errors.UserError, '^`halving_first`: give'):
      list(ray_launcher._launch(
          ray, {'num_cpus': 1}, 1, fail, [(x,) for x in range(3)], ['a'] * 3))
    self.assertEqual(tried, [0])
