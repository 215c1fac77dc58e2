"""Random wrong flags: each command ends with status 2 and one line."""

import dataclasses
import importlib
import os
import random
import string
import sys
import tempfile
from typing import Any

from adapters_jax.runs import config as config_lib
from scripts.stress import place as place_lib

# (flag, values that no setting of the others makes right)
_WRONG: dict[str, tuple[str, ...]] = {
    'adapter_size': ('0', '-3', '1.5', 'big', '', '1e3'),
    'batch_size': ('0', '-1', 'x', '3.5'),
    'epochs': ('nan', 'many', ''),  # With max_steps, any number is right.
    'learning_rate': ('0', '-1e-3', 'nan', 'fast', ''),
    'init_scale': ('-1', 'nan', 'x'),
    'warmup': ('-0.1', '1.1', 'nan', 'x'),
    'weight_decay': ('-1', 'nan', 'x'),
    'clip_norm': ('0', '-1', 'nan'),
    'dropout': ('1', '2', 'nan', 'x'),
    'max_length': ('0', '2', '41', '100000', 'x'),
    'max_steps': ('-1', 'x', '1.5'),
    'buckets': ('-1', 'x'),
    'eval_every': ('-1', 'x'),
    'seed': ('-1', 'x', '1.5'),
    'accumulate': ('0', '3', '-1', 'x'),
    'save_minutes': ('-1', 'x', 'nan'),
    'join_seconds': ('0', 'x'),
    'top_k': ('x', '1.5'),
    'tune': ('adapter', 'everything', ''),
    'norm_layers': ('none', ''),
    'head_input': ('mean', ''),
    'optimizer': ('sgd', ''),
    'precision': ('float16', ''),
    'file_task': ('tagging', ''),
    'activation': ('rely', ''),
    'hidden_activation': ('rely',),
    'adapter_layers': ('9', '0-9', '1-0', 'top', '-1', ''),
    'adapter_sites': ('ffn', 'attention_output;ffn_output', ''),
    'adapter_config': ('lorra', 'lora[r=0]', 'lora[r=x]', 'lora[', 'lora]',
                       'lora[q=1]', 'lora|', '|', 'lora[r=8]||lora[r=8]'),
    'mesh': ('x', 'data:0', 'data:3', 'fsdp:1,fsdp:1', ''),
    'checkpoint': ('/nowhere', 'minilm', '/dev/null', ''),
    'train_file': ('/nowhere.tsv', '/dev/null', '/'),
    'dev_file': ('/nowhere.tsv', '/dev/null', '/', ''),
    'test_file': ('/nowhere.tsv', '/dev/null'),
    'text_columns': ('', 'a,b,c', 'nothing', 'sentence,nothing'),
    'label_column': ('', 'nothing'),
    'workdir': ('/dev/null/x', '/proc/x', '/etc/hostname'),
    'seeds': ('3-1', 'x', '1-', '-1', '0,x'),
    'grid': ('adapter_size', 'adapter_size=', 'size=3', 'adapter_size=x',
             '=', 'adapter_size=3,'),
    'pick': ('learning_rate', 'x'),
    'preset': ('x', 'papers'),
    'processes': ('2', 'x'),
    'process': ('0', 'x'),
    'coordinator': ('nowhere', ':1', 'x:y'),
}


def draw(rng: random.Random) -> tuple[str, ...]:
  """Returns one or two wrong arguments.

  Args:
    rng: Generator.
  """
  how = rng.random()
  if how < 0.1:  # A flag that does not exist.
    name = list(rng.choice([f.name for f in dataclasses.fields(
        config_lib.Config)]))
    name.insert(rng.randrange(1, len(name)), rng.choice('qxz'))
    return (f'--{"".join(name)}=1',)
  if how < 0.15:  # No flag at all.
    return (''.join(rng.choices(string.ascii_letters, k=6)),)
  if how < 0.25:  # A random method.
    text = ''.join(rng.choices('lora[]=|,r82()"', k=rng.randrange(2, 30)))
    return (f'--adapter_config=?{text}',)
  names = rng.sample(sorted(_WRONG), 1 + (how > 0.9))
  return tuple(f'--{name}={rng.choice(_WRONG[name])}' for name in names)


def outcome(base: list[str], wrong: tuple[str, ...]) -> tuple[int, str]:
  """Returns (status, stderr) of a command in a copy of this process.

  JAX must not have started its threads in this process.

  Args:
    base: Right arguments.
    wrong: Further arguments, which win.
  """
  with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
    if not (child := os.fork()):
      status = 70
      try:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.argv = ['experiments.glue', *base, *wrong]
        with place_lib.watched():
          importlib.import_module('adapters_jax.api.commands.train').start()
        status = 0
      except SystemExit as end:
        status = 0 if end.code is None else (
            end.code if isinstance(end.code, int) else 1)
      except BaseException as error:
        os.write(2, f'Traceback: {error!r}\n'.encode())
      finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # Without the handlers of the parent.
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    err.seek(0)
    return status, err.read().decode(errors='replace')


def run(
    place: place_lib.Place, rng: random.Random, most: int
) -> dict[str, Any]:
  """Starts commands with wrong flags.

  Args:
    place: Place of the base and the data.
    rng: Generator.
    most: Number of commands.

  Returns:
    {'commands', 'faults': descriptions}
  """
  base = [f'--checkpoint={place.path("tiny")}', '--max_length=12',
          '--max_steps=1', '--batch_size=16', '--buckets=0',
          f'--workdir={place.path("flags")}']
  base += [f'--{split}_file={place.path("data", split)}.tsv'
           for split in ('train', 'dev')]
  faults = []
  for _ in range(most):
    wrong = draw(rng)
    status, text = outcome(base, wrong)
    lines = [line for line in text.splitlines() if line.startswith('error')]
    if status != 2 or len(lines) != 1 or 'Traceback' in text:
      faults.append(f'{" ".join(wrong)}: status {status}, {text[-300:]!r}')
    if os.path.exists(place.path('flags', 'run.json')):
      faults.append(f'{" ".join(wrong)}: left a run.json')
      os.remove(place.path('flags', 'run.json'))
  return {'commands': most, 'faults': faults}
