"""Measures `Parallel` of the `adapters` library: all adapters on every text.

  pip install -e '.[bench]'
  python -m scripts.benchmark.parallel_peer

The counterpart of the part `every` of scripts.benchmark.serving: a BERT of the
shape of MiniLM with random weights, and processor time. Heads of two classes,
without a pooler. Before the measurement both ways must give equal logits.
"""

import argparse
import logging
import statistics
import time

import adapters
import torch
from transformers import BertConfig


def make(count: int, size: int, first: int) -> adapters.BertAdapterModel:
  """Returns a model with adapters and a head for each, in eval mode.

  Args:
    count: Number of adapters.
    size: Width of the bottlenecks.
    first: Lowest layer with adapters.
  """
  model = adapters.BertAdapterModel(BertConfig(
      hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
      intermediate_size=1536))
  config = adapters.DoubleSeqBnConfig(
      reduction_factor=384 / size, leave_out=list(range(first)),
      non_linearity='gelu')
  for number in range(count):
    model.add_adapter(str(number), config=config)
    model.add_classification_head(str(number), num_labels=2, layers=1)
  return model.eval()


def check(one_by_one: list[torch.Tensor], together: list[torch.Tensor]) -> None:
  """Raises ValueError unless Parallel computes what single passes do.

  Args:
    one_by_one: [batch, classes] logits of a pass of each adapter.
    together: [batch, classes] logits of each adapter in Parallel.
  """
  if torch.allclose(one_by_one[0], one_by_one[1], atol=1e-4):
    raise ValueError('two adapters give equal logits: none is active')
  for one, other in zip(one_by_one, together, strict=True):
    torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)


def main() -> None:
  """Prints the processor time of N passes and of one with Parallel."""
  parser = argparse.ArgumentParser()
  parser.add_argument('--adapters', type=int, default=16)
  parser.add_argument('--size', type=int, default=64)
  parser.add_argument('--length', type=int, default=32)
  parser.add_argument('--batch_size', type=int, default=32)
  parser.add_argument('--turns', type=int, default=7)
  given = parser.parse_args()
  torch.set_num_threads(2)
  # The first activation warns that no adapter is active yet; `check` sees to
  # that.
  logging.getLogger('adapters.model_mixin').setLevel(logging.ERROR)
  tokens = torch.randint(1000, 30000, (given.batch_size, given.length))
  names = [str(number) for number in range(given.adapters)]
  for part, first in (('third', 4), ('half', 3)):
    model = make(given.adapters, given.size, first)

    def passes():
      found = []
      for name in names:
        model.set_active_adapters(name)
        model.active_head = name
        found.append(model(tokens).logits)
      return found

    def parallel():
      model.set_active_adapters(adapters.composition.Parallel(*names))
      model.active_head = names
      return [one.logits for one in model(tokens).head_outputs]

    times = {'passes': [], 'parallel': []}
    with torch.inference_mode():
      check(passes(), parallel())
      for turn in range(given.turns + 1):
        for name, call in (('passes', passes), ('parallel', parallel)):
          start = time.process_time()
          call()
          if turn:  # The first warms up.
            times[name].append(time.process_time() - start)
    print(f'adapters in the upper {part}:')
    for name, some in times.items():
      print(f'{name}: {min(some) * 1e3:.1f} ms, median '
            f'{statistics.median(some) * 1e3:.1f} ms', flush=True)


if __name__ == '__main__':
  main()
