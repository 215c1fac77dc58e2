"""Compiles the train step for a TPU slice, on a machine without a TPU.

  python -m scripts.compile_tpu --topology=v5e:2x4 \\
      --checkpoint_config=bert-large

Prints the figures of the TPU compiler: memory and FLOPs of a device, and the
compile time. Needs libtpu: pip install -e '.[tpu]'.
"""

from collections.abc import Sequence
import dataclasses
import os
import time
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from adapters_jax.api import flags
from adapters_jax import errors
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import precision as precision_lib
from adapters_jax.model import pretrained
from adapters_jax.model import shapes as shapes_lib
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import models
from adapters_jax.runs.options import option
from adapters_jax.training import optimizers
from adapters_jax.training import selections
from adapters_jax.training import sharding
from adapters_jax.training import steps as steps_lib
from adapters_jax import trees

SHAPES = {
    'bert-base': encoder.BertConfig(),
    'bert-large': encoder.BertConfig(
        dim=1024, layers=24, heads=16, ffn_dim=4096),
    **pretrained.CHECKPOINTS,
}
# Settings that treat layers differently, which a loop over layers cannot.
_BY_LAYER = ('top_k',)


@dataclasses.dataclass(frozen=True)
class Config:
  """Program to compile; names shared with training have the same meaning."""
  topology: str = option(
      'v5e:2x4', "TPU generation and slice, e.g. 'v4:2x2x1', 'v5e:4x4'.")
  checkpoint_config: str = option(
      'bert-base', "Shape of the model: 'bert-base', 'bert-large', "
      "'minilm-l6', 'mpnet-base' or a folder with config.json.")
  tune: str = option(
      'adapters', 'What is trained: adapters, full, top_k, norms, bias, head.')
  adapter_size: int = option(64, "Width of the adapters' bottleneck.")
  mesh: str = option(
      'data', "How devices share the work, e.g. 'data:4,fsdp:2'.")
  batch_size: int = option(256, 'Examples a step, over all devices.')
  max_length: int = option(128, 'Word pieces of an example.')
  precision: str = option(
      'bfloat16', "Precision of the computation: 'float32', 'tensorfloat32', "
      "'bfloat16' or 'bfloat16_products'.")
  accumulate: int = option(1, 'Parts a batch is computed in.')
  remat: bool = option(
      False, "Compute each layer's inner values again for the gradient.")
  scan: bool = option(
      True, 'Loop over the layers, so that compile time is flat in depth; '
      'FLOPs are then those of models of 2 and 3 layers, extrapolated.')


@dataclasses.dataclass(frozen=True)
class Report:
  """Figures of a compiled step.

  Attributes:
    arguments: Bytes that a device holds between steps: state, base and batch.
    temporary: Further bytes that a device needs during a step.
    flops: FLOPs of one device and one step.
    seconds: Compile time of the program of full depth.
    trained: Number of trained parameters.
    parameters: Number of parameters of the whole model.
  """
  arguments: int
  temporary: int
  flops: float
  seconds: float
  trained: int
  parameters: int


def topology_devices(name: str) -> Sequence[Any]:
  """Returns the devices of a TPU slice, which need not exist.

  Raises:
    errors.UserError: libtpu is not installed or does not know the slice.
  """
  # Without these libtpu queries the cloud's metadata server.
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')
  os.environ.setdefault('TPU_ACCELERATOR_TYPE', 'v5litepod-8')
  from jax.experimental import topologies
  try:
    return topologies.get_topology_desc(
        platform='tpu', topology_name=name).devices
  except Exception as error:  # XLA raises its own errors.
    raise errors.UserError(
        f'--topology={name}: {error}; it needs libtpu (pip install -e '
        "'.[tpu]') and a slice such as 'v5e:2x4'") from error


def shape_of(config: Config) -> encoder.BertConfig:
  """Returns the shape of the model."""
  return SHAPES.get(config.checkpoint_config) or pretrained.read_config(
      config.checkpoint_config)


def make_model(
    config: Config, settings: config_lib.Config, device: Any,
    layers: int | None, scan: bool,
) -> nn.Module:
  """Returns the classifier.

  Args:
    config: Program to compile.
    settings: Settings of the run that the program stands for.
    device: Target device.
    layers: Number of layers; None for that of the model.
    scan: Whether to loop over the layers.
  """
  shape = shape_of(config)
  shape = dataclasses.replace(shape, layers=layers or shape.layers)
  model = models.make_model(settings, shape, 2, device)  # Two classes.
  return model.clone(config=dataclasses.replace(model.config, scan=scan))


def lower(
    config: Config, tpus: Sequence[Any], layers: int | None, scan: bool
) -> tuple[jax.stages.Lowered, int, int]:
  """Returns (lowered train step, trained parameters, all parameters).

  Args:
    config: Program to compile.
    tpus: Devices of the slice.
    layers: Number of layers; None for that of the model.
    scan: Whether to loop over the layers.
  """
  settings = config_lib.Config(
      tune=config.tune, adapter_size=config.adapter_size,
      batch_size=config.batch_size, accumulate=config.accumulate,
      precision=config.precision, remat=config.remat, mesh=config.mesh)
  mesh = sharding.make_mesh(
      config.mesh, config.batch_size, tpus, accumulate=config.accumulate)
  model = models.on_mesh(
      make_model(config, settings, tpus[0], layers, scan), mesh)
  # Only shapes from this line: arrays would need devices that exist.
  params = shapes_lib.of(model)
  select = models.selection_of(settings, model.config.layers)
  tuned, base = trees.split(params, select)
  base = jax.eval_shape(
      lambda tree: precision_lib.cast(settings.precision, tree, tpus[0]), base)
  # Rate and length of the schedule do not change the program.
  tx = optimizers.make_optimizer(select, learning_rate=1e-3, steps=1000)
  state = jax.eval_shape(
      lambda tuned: steps_lib.init_state(tuned, tx, jax.random.key(0)), tuned)

  def placed(tree, shardings):
    return jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=where), tree, shardings)

  rows, square = (config.batch_size,), (config.batch_size, config.max_length)
  batch = {
      name: jax.ShapeDtypeStruct(
          shape, dtype, sharding=sharding.of_batch(mesh))
      for name, shape, dtype in (
          ('tokens', square, jnp.int32), ('segments', square, jnp.int32),
          ('mask', square, jnp.bool), ('labels', rows, jnp.int32),
          ('weights', rows, jnp.float32))}
  state_shardings = sharding.shardings(mesh, state)
  # The state keeps its sharding from step to step; metrics are on all devices.
  step = steps_lib.make_train_step(
      model, tx, heads.cross_entropy, accumulate=config.accumulate,
      shardings=(state_shardings, sharding.replicated(mesh)))
  chosen = precision_lib.choose(
      config.precision, model.config.head_dim, tpus[0])
  # Read while tracing, so it must cover `lower`.
  with jax.default_matmul_precision(chosen.matmul):
    lowered = step.lower(
        placed(state, state_shardings),
        placed(base, sharding.shardings(mesh, base)), batch)
  return lowered, trees.count(tuned), trees.count(params)


def measure(config: Config, tpus: Sequence[Any]) -> Report:
  """Compiles the step and returns the compiler's figures.

  Args:
    config: Program to compile.
    tpus: Devices of the slice.
  """
  lowered, trained, parameters = lower(config, tpus, None, config.scan)
  start = time.perf_counter()
  compiled = lowered.compile()
  seconds = time.perf_counter() - start
  memory = compiled.memory_analysis()
  if config.scan:
    # The compiler counts the body of a loop once, however often it runs.
    two, three = (
        lower(config, tpus, layers, False)[0].compile().cost_analysis()['flops']
        for layers in (2, 3))
    layers = make_model(
        config, config_lib.Config(), tpus[0], None, True).config.layers
    # Layers cost the same, except the last one, which `two` contains.
    flops = two + (layers - 2) * (three - two)
  else:
    flops = compiled.cost_analysis()['flops']
  return Report(
      memory.argument_size_in_bytes,
      # Outputs in donated buffers are among the arguments already.
      memory.temp_size_in_bytes + memory.output_size_in_bytes
      - memory.alias_size_in_bytes, flops, seconds, trained, parameters)


def main(config: Config) -> None:
  """Compiles and prints the report."""
  if config.tune not in selections.TUNE:
    raise errors.unknown('--tune', config.tune, selections.TUNE)
  if config.scan and config.tune in _BY_LAYER:
    raise errors.UserError(f'--tune={config.tune}: give --noscan with it')
  if config.scan and shape_of(config).pre_norm:
    raise errors.UserError(
        f'--checkpoint_config={config.checkpoint_config}: its layers differ, '
        'local or global; give --noscan with it')
  # Keeps JAX from looking for a TPU on this machine.
  jax.config.update('jax_platforms', 'cpu')
  tpus = topology_devices(config.topology)
  report = measure(config, tpus)
  gigabytes = 1e9
  print(f'{config.checkpoint_config}, --tune={config.tune}: '
        f'{report.trained:,} of {report.parameters:,} parameters trained')
  print(f'{len(tpus)} x {tpus[0].device_kind}, --mesh={config.mesh}, '
        f'{config.precision}, batch {config.batch_size} x {config.max_length}')
  print(f'memory of a device: {report.arguments / gigabytes:.2f} GB held, '
        f'{report.temporary / gigabytes:.2f} GB temporary')
  print(f'FLOPs of a device and step: {report.flops:.3e}')
  print(f'compiled in {report.seconds:.0f} s')


if __name__ == '__main__':
  flags.start(Config, main)
