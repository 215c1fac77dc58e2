"""Tests of the settings: roles, marks, validation, identity."""

import dataclasses
import hashlib
import json
import os
import tempfile

from absl.testing import absltest
from absl.testing import parameterized

from adapters_jax import errors
from adapters_jax.adapters import settings
from adapters_jax.model import precision
from adapters_jax.runs import checks
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import identity
from adapters_jax.runs import options
from adapters_jax.runs import presets
from adapters_jax.runs import records
from adapters_jax.runs import version
from adapters_jax.training import optimizers
from adapters_jax.training import selections


class ConfigTest(parameterized.TestCase):

  @parameterized.parameters(
      *(field.name for field in dataclasses.fields(config_lib.Config)))
  def test_every_field_has_a_role(self, name):
    field = config_lib.Config.__dataclass_fields__[name]
    self.assertIn(field.metadata['role'], options.ROLES)
    self.assertContainsSubset(field.metadata['marks'], options.MARKS)
    self.assertTrue(field.metadata['help'].endswith('.'))

  def test_marked_fields(self):
    self.assertEqual(options.marked(config_lib.Config, 'vmapped'), (
        'adapter_size', 'init_scale', 'learning_rate', 'warmup',
        'weight_decay', 'class_weights', 'patience', 'seed', 'workdir',
        'resume'))
    self.assertEqual(options.marked(config_lib.Config, 'path'), (
        'train_file', 'dev_file', 'test_file', 'data_dir'))

  def test_choices_are_those_of_the_tables(self):
    self.assertEqual(checks.CHOICES['tune'], tuple(selections.TUNE))
    self.assertEqual(
        checks.CHOICES['optimizer'], tuple(optimizers.OPTIMIZERS))
    self.assertEqual(checks.CHOICES['precision'], precision.PRECISIONS)

  def test_the_help_names_the_seeds_that_pick(self):
    text = config_lib.Config.__dataclass_fields__['seed'].metadata['help']
    self.assertIn(f'from {records.FIRST_PICK_SEED} on', text)

  def test_defaults_of_saved_adapters_are_those_of_runs(self):
    for name, value in settings.DEFAULTS.items():
      self.assertEqual(value, getattr(config_lib.Config, name), name)

  @parameterized.parameters(
      ({'batch_size': 6, 'accumulate': 4}, '`accumulate=4`: give a divisor of'),
      ({'precision': 'bfloat'}, "`precision`: unknown 'bfloat'; did you mean"),
      ({'train_file': 'a.tsv'}, '`dev_file` beside .*`dev_fraction=0.1`'),
      ({'dev_file': 'a.tsv'}, 'needs `train_file`'),
      ({'adapter_config': 'lora[r=4]', 'adapter_size': 8},
       '`adapter_size=8` is for the default adapter.*as in lora'))
  def test_wrong_settings_raise_when_made(self, changed, message):
    with self.assertRaisesRegex(errors.UserError, message):
      config_lib.Config(**changed)

  def test_flags_of_the_default_adapter_go_with_other_tunes(self):
    config_lib.Config(
        tune='full', adapter_config='lora[r=4]', adapter_size=8)

  def test_a_default_does_not_rename_a_run(self):
    values = identity.portable(config_lib.Config(seed=3))
    shorter = {k: v for k, v in values.items() if k != 'optimizer'}
    self.assertEqual(identity.digest(values), identity.digest(shorter))
    self.assertEqual(identity.completed(shorter), values)
    self.assertEqual(identity.digest({'numbers': version.NUMBERS}),
                     identity.digest(identity.portable(
                         config_lib.Config(precision='float32'))))

  def test_a_new_default_does_not_rename_a_run(self):
    # Precision was 'float32' before its default changed.
    new = identity.portable(config_lib.Config())
    self.assertEqual(new['precision'], 'bfloat16_products')
    old = identity.portable(config_lib.Config(precision='float32'))
    unnamed = {k: v for k, v in old.items() if k != 'precision'}
    self.assertEqual(identity.completed(unnamed), old)
    self.assertEqual(identity.digest(unnamed), identity.digest(old))
    self.assertNotEqual(identity.digest(new), identity.digest(old))

  def test_an_absent_file_is_named(self):
    with self.assertRaisesRegex(
        errors.UserError, '`train_file`: nowhere.tsv cannot be read .No such'):
      identity.portable(config_lib.Config(
          train_file='nowhere.tsv', dev_file='nowhere.tsv'))

  def test_own_data_are_named_after_their_file(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    path = os.path.join(folder, 'reviews.tsv')
    with open(path, 'w', encoding='utf-8') as file:
      file.write('x')
    config = config_lib.Config(train_file=path, dev_file=path)
    values = identity.portable(config)
    self.assertEqual(values['task'], 'reviews')
    self.assertEqual(identity.of_portable(values).task_name, 'reviews')
    # Records of earlier versions have the default, and the same hash.
    old = {**values, 'task': config_lib.Config.task}
    self.assertEqual(identity.completed(old), values)
    text = json.dumps({name: values[name] for name in (
        'dev_file', version.FIELD, 'precision', 'train_file')}, sort_keys=True)
    hashed = hashlib.sha256(text.encode()).hexdigest()[:12]
    self.assertEqual(identity.digest(old), hashed)
    self.assertEqual(identity.digest(values), hashed)
    for experiment in (presets.SQUAD, presets.LANGUAGE_MODELING):
      task = dataclasses.replace(config, task=experiment['task'])
      self.assertEqual(identity.portable(task), values)
    named = identity.portable(dataclasses.replace(config, task='films'))
    self.assertEqual(named['task'], 'films')
    self.assertNotEqual(identity.digest(named), hashed)


if __name__ == '__main__':
  absltest.main()
