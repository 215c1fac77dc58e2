"""Files of tensors: pickles that call something, damaged files."""

import os
import pickle
import tempfile
import zipfile

from absl.testing import parameterized

from adapters_jax.adapters.formats import weights
from adapters_jax import errors


class WeightsTest(parameterized.TestCase):

  def _zip(self, pickled):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    with zipfile.ZipFile(os.path.join(folder, 'x.bin'), 'w') as archive:
      archive.writestr('archive/data.pkl', pickled)
    return folder

  def test_a_pickle_that_calls_something_is_refused(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    marker = os.path.join(folder, 'ran')

    class Evil:

      def __reduce__(self):
        return os.system, (f'touch {marker}',)

    for value in (Evil(), {'a': Evil()}):
      pickled = self._zip(pickle.dumps(value))
      with self.assertRaisesRegex(errors.UserError, 'not part of a tensor'):
        weights.read(pickled, 'x.bin')
    self.assertFalse(os.path.exists(marker))

  def test_a_damaged_file_and_none(self):
    folder = self._zip(b'nonsense')
    with self.assertRaisesRegex(errors.UserError, 'cannot be read'):
      weights.read(folder, 'x.bin')
    with self.assertRaisesRegex(errors.UserError, 'has no y.bin or z.bin'):
      weights.read(folder, 'y.bin', 'z.bin')
