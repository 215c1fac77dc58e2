"""Trains AdapterFusion on top of saved adapters (Pfeiffer et al., 2021).

  python -m experiments.fusion --adapters=film=DIR,food=DIR --task=rte

`DIR` is the workdir of a run, or a saved adapter. The adapters stay frozen; the
attention over them, the head and the layer norms are trained. The result holds
the adapters too, so that `experiments.predict` applies it like any other. Runs
and records are those of `experiments.glue --tune=fusion`.
"""

from adapters_jax.api.commands import train

if __name__ == '__main__':
  train.start(tune='fusion')
