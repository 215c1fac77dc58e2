"""Files that are written whole or not at all."""

import json
import os
from typing import Any


def write_json(path: str, value: Any) -> None:
  """Writes JSON so that a reader sees the old file or the whole new one."""
  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  scratch = f'{path}.{os.getpid()}.part'
  with open(scratch, 'w', encoding='utf-8') as file:
    json.dump(value, file, indent=1)  # In order: the first metric is primary.
    file.write('\n')
  os.replace(scratch, path)
