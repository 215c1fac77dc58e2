"""Writes the numbers of other libraries that the methods' tests compare with.

  pip install torch adapters==1.3.0 peft
  python -m scripts.make_method_fixtures

For each case: the library's config, its random weights, and what its model
makes of a batch. Runs where this package and those libraries are installed.
"""

from collections.abc import Callable
import json
import os
from typing import Any

from absl import app
from absl import flags
import numpy as np

from tests import method_cases

_OUT = flags.DEFINE_string('out', 'tests/fixtures/methods', 'Folder to write.')

_ONLY = flags.DEFINE_string('only', '', 'Cases whose name has this in it.')


def make_bert(model_class: Any, **extra: Any) -> Any:
  """Returns a BERT of transformers or adapters with the random weights."""
  import torch
  import transformers
  shape = method_cases.SHAPE
  torch.manual_seed(0)
  model = model_class(transformers.BertConfig(
      vocab_size=shape.vocab_size, hidden_size=shape.dim,
      num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
      intermediate_size=shape.ffn_dim, max_position_embeddings=shape.positions,
      **extra))
  tensors = {f'bert.{name}': torch.from_numpy(value)
             for name, value in method_cases.base_tensors().items()
             if model.bert.pooler or not name.startswith('pooler')}
  left = model.load_state_dict(tensors, strict=False)
  assert not left.unexpected_keys, left
  return model.eval()


def randomize(named: list[tuple[str, Any]], seed: int) -> None:
  """Fills an adapter's parameters with random numbers, none of them zero."""
  import torch
  generator = torch.Generator().manual_seed(seed)
  with torch.no_grad():
    for name, parameter in named:
      noise = 0.3 * torch.randn(parameter.shape, generator=generator)
      if name.endswith('parametrizations.weight.original'):
        parameter += torch.tril(noise.T, -1).T  # The diagonal holds signs.
      elif name.endswith(('m.weight', 'magnitude_vector.weight')):
        parameter += noise.abs()
      else:
        parameter.copy_(noise)


def run(model: Any, case: str, encoder: Callable[[Any], Any]) -> dict[str, Any]:
  """Returns the last hidden states and the logits for the case's batch."""
  import torch
  inputs = method_cases.batch(case)
  with torch.no_grad():
    out = model(
        input_ids=torch.from_numpy(inputs['tokens']).long(),
        token_type_ids=torch.from_numpy(inputs['segments']).long(),
        attention_mask=torch.from_numpy(inputs['mask']).long(),
        output_hidden_states=True)
  return {'hidden': encoder(out).numpy(), 'logits': out.logits.numpy()}


def adapterhub_case(case: str, config: str) -> dict[str, np.ndarray]:
  """Returns the arrays of a case of the `adapters` library."""
  import adapters
  import torch
  model = make_bert(adapters.BertAdapterModel)
  before = {name for name, _ in model.named_parameters()}
  kind = adapters.AdapterConfig.load(config)
  model.add_adapter('n', config=kind)
  added = [(name, parameter) for name, parameter in model.named_parameters()
           if name not in before]
  randomize(added, seed=4)
  tensors = {name: value.numpy().copy()
             for name, value in model.state_dict().items()
             if '.n.' in name and '.pool.' not in name}
  model.add_classification_head('n', num_labels=method_cases.OUTPUTS, layers=1)
  head = {f'heads.n.1.{name}': torch.from_numpy(value)
          for name, value in method_cases.head_tensors().items()}
  model.load_state_dict(head, strict=False)
  model.set_active_adapters('n')
  model.eval()
  values = {'name': 'n', 'version': 'adapters.1.3.0',
            'config': json_config(kind)}
  return {**{f'tensor:{k}': v for k, v in tensors.items()},
          'config': np.array(json.dumps(values)),
          **run(model, case, lambda out: out.hidden_states[-1])}


def peft_case(case: str, values: dict[str, Any]) -> dict[str, np.ndarray]:
  """Returns the arrays of a case of PEFT."""
  import peft
  import torch
  import transformers
  model = make_bert(
      transformers.BertForSequenceClassification,
      num_labels=method_cases.OUTPUTS)
  with torch.no_grad():
    for name, value in method_cases.head_tensors().items():
      getattr(model.classifier, name).copy_(torch.from_numpy(value))
  config = peft.get_peft_config({**values, 'task_type': 'SEQ_CLS'})
  model = peft.get_peft_model(model, config)
  randomize([(name, parameter) for name, parameter in model.named_parameters()
             if any(part in name for part in (
                 'lora_', 'ia3_', 'vera_lambda', 'prompt_encoder',
                 'ln_tuning'))], seed=5)
  model.eval()
  return {**{f'tensor:{k}': v.numpy() for k, v in
             peft.get_peft_model_state_dict(model).items()},
          'config': np.array(json.dumps(config.to_dict(), default=list)),
          **run(model, f'peft_{case}', lambda out: out.hidden_states[-1])}


def json_config(config: Any) -> dict[str, Any]:
  """Returns a config of `adapters` as its files have it."""
  values = config.to_dict()
  if values.get('architecture') == 'union':
    values['configs'] = [json_config(part) for part in config.configs]
  if hasattr(config, 'subtract_projection'):  # Lost in the library's files.
    values['subtract_projection'] = config.subtract_projection
  return values


def main(_) -> None:
  os.makedirs(_OUT.value, exist_ok=True)
  for case, config in method_cases.ADAPTERHUB.items():
    if _ONLY.value not in f'adapterhub-{case}':
      continue
    path = os.path.join(_OUT.value, f'adapterhub-{case}.npz')
    np.savez_compressed(path, **adapterhub_case(case, config))
    print(path, os.path.getsize(path))
  for case, values in method_cases.PEFT.items():
    if _ONLY.value not in f'peft-{case}':
      continue
    path = os.path.join(_OUT.value, f'peft-{case}.npz')
    np.savez_compressed(path, **peft_case(case, values))
    print(path, os.path.getsize(path))


if __name__ == '__main__':
  app.run(main)
