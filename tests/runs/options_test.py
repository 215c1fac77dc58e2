from absl.testing import parameterized

from adapters_jax import errors

from adapters_jax.runs import options


class OptionsTest(parameterized.TestCase):

  @parameterized.parameters(
      ('all', (0, 1, 2, 3, 4, 5)), ('none', ()), ('0-2,5', (0, 1, 2, 5)),
      ('3', (3,)), ('2, 1', (1, 2)))
  def test_layers(self, text, wanted):
    self.assertEqual(options.parse_layers(text, 6, '--layers'), wanted)

  @parameterized.parameters(
      ('6', 'no layer 6.*6 layers'), ('4-2', 'backwards'), ('x', 'of the form'),
      ('1-', 'of the form'), ('', 'of the form'))
  def test_bad_layers_name_the_flag(self, text, message):
    with self.assertRaisesRegex(errors.UserError, f'--layers.*{message}'):
      options.parse_layers(text, 6, '--layers')

  def test_unknown_offers_near_matches_or_all(self):
    error = str(errors.unknown('--task', 'colla', ['cola', 'rte']))
    self.assertEqual(error, "--task: unknown 'colla'; did you mean cola?")
    error = str(errors.unknown('--task', 'zzz', ['cola', 'rte']))
    self.assertIn('it is one of cola, rte', error)
