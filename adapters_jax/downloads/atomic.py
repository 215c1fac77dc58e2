"""Files that are written whole or not at all."""

import json
import os
from typing import Any


def write_json(path: str, value: Any) -> None:
  """Writes JSON so that readers find the old file or the whole new one.

  Args:
    path: Path of the file; its folder is created.
    value: Value that JSON can hold. Dicts keep their order: the first metric of
      a record is the primary one.
  """
  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  # Next to the file, as a rename is atomic within one file system only. The
  # process number keeps writers of the same file apart.
  scratch = f'{path}.{os.getpid()}.part'
  with open(scratch, 'w', encoding='utf-8') as file:
    json.dump(value, file, indent=1)
    file.write('\n')
  os.replace(scratch, path)
