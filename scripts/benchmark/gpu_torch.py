"""Worker of scripts.benchmark.gpu for the same model in plain PyTorch."""

import contextlib
from typing import Any

import numpy as np
import torch

from scripts.benchmark import gpu_cases
from scripts.benchmark import torch_bert
from scripts.benchmark import torch_training
from scripts.benchmark import workers


class Side:
  """Training steps of torch, a call at a time."""

  def begin(self, model: str, folder: str, weights: str) -> dict[str, Any]:
    """Reads the weights of the other side.

    Args:
      model: Key of `gpu_cases.SHAPES`.
      folder: Folder of a checkpoint; the shape is that of `model` when empty.
      weights: .npz file.
    """
    self._shape = gpu_cases.shape_of(model, folder)
    with np.load(weights) as arrays:
      self._weights = dict(arrays)
    self._device = 'cuda' if torch.cuda.is_available() else 'cpu'
    self._cases: dict[str, Any] = {}
    name = (torch.cuda.get_device_name() if self._device == 'cuda' else 'cpu')
    return {'torch': torch.__version__, 'device': name}

  def prepare(
      self, tune: str, precision: str, batch: int, length: int, compiled: bool
  ) -> None:
    """Makes model and optimizer of a case.

    Args:
      tune: 'adapters' or 'full'.
      precision: 'float32', 'tensorfloat32' or 'bfloat16' (autocast).
      batch: Examples.
      length: Tokens of each.
      compiled: Whether to use torch.compile.
    """
    model = self._model(tune)
    trained = torch_bert.freeze(model, tune)
    optimizer = torch_training.make_optimizer(trained, 1e-4)
    data = {key: torch.from_numpy(value).to(self._device)
            for key, value in gpu_cases.batch_of(
                self._shape, batch, length).items()}
    run = torch.compile(model) if compiled else model
    case = {'tune': tune, 'precision': precision, 'batch': batch,
            'length': length}
    self._cases[gpu_cases.name(case)] = run, trained, optimizer, data, precision

  def _model(self, tune: str) -> torch_bert.Classifier:
    weights = self._weights if tune == 'adapters' else {
        path: value for path, value in self._weights.items()
        if '/adapter_' not in path}
    return torch_bert.Classifier(weights, self._shape).to(self._device)

  def step(self, name: str, steps: int) -> float:
    """Takes steps of a prepared case, and returns the last loss.

    Args:
      name: Name of the case.
      steps: Number of steps.
    """
    model, trained, optimizer, data, precision = self._cases[name]
    torch.backends.cuda.matmul.allow_tf32 = precision == 'tensorfloat32'
    model.train()
    rounded = (torch.autocast(self._device, dtype=torch.bfloat16)
               if precision == 'bfloat16' else contextlib.nullcontext())
    for _ in range(steps):
      with rounded:
        logits = model(
            data['tokens'].long(), data['segments'].long(), data['mask'])
      loss = torch.nn.functional.cross_entropy(
          logits.float(), data['labels'].long())
      torch_training.update(loss, trained, optimizer)
    return loss.item()  # Waits for the steps.

  def free(self, name: str) -> None:
    """Frees the memory of a case."""
    self._cases.pop(name, None)
    if self._device == 'cuda':
      torch.cuda.empty_cache()

  def memory(self) -> int:
    """Returns the peak bytes on the device so far, 0 on a CPU."""
    return (torch.cuda.max_memory_allocated()
            if self._device == 'cuda' else 0)

  def logits(self, tune: str) -> list[list[float]]:
    """Returns logits in float32, to compare with the other side."""
    torch.backends.cuda.matmul.allow_tf32 = False
    data = {key: torch.from_numpy(value).to(self._device)
            for key, value in gpu_cases.batch_of(self._shape, 2, 8).items()}
    with torch.inference_mode():
      return self._model(tune).eval()(
          data['tokens'].long(), data['segments'].long(),
          data['mask']).cpu().tolist()


if __name__ == '__main__':
  workers.serve(Side())
