"""Made-up records and scores without layers, for the tests of figures."""

import dataclasses
import os

from adapters_jax.analysis import layer_removal
from adapters_jax.downloads import atomic
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import records
from adapters_jax.sweeps import store
from tests.sweeps import grid_test

CONFIG = config_lib.Config(task='rte', train_examples=500)


def put(folder, scores, trained=7, first_seed=0, tested=None, **changed):
  """Writes a record for each dev score, of seeds 0, 1, ..."""
  for seed, score in enumerate(scores, first_seed):
    config = dataclasses.replace(CONFIG, **{'seed': seed, **changed})
    history = [{'step': step, 'loss': 1.0, 'dev': {'accuracy': share * score}}
               for step, share in ((5, 0.5), (10, 1.0))]
    records.write(
        store.Store('glue', str(folder)).path_of(config),
        grid_test.make_record(
            config, metrics={'dev': {'accuracy': score}, **(
                {'test': {'accuracy': tested[seed - first_seed]}}
                if tested else {})}, history=history,
            trained_params=trained, total_params=1000))


def put_floor(folder, full=(0.82, 0.82), **changed):
  """Writes full fine-tuning far above the head alone, so that a task tells."""
  put(folder, full, 1000, tune='full', **changed)
  put(folder, [0.5, 0.5], 2, tune='head', **changed)


def put_spans(
    folder, drops, restore_norms=False, majority=None, layers=3,
    computation='', **changed
):
  """Writes the spans of a run, of three layers; the whole scores 0.9.

  Writes the record of the run too, unless there is one.
  """
  config = dataclasses.replace(CONFIG, **changed)
  record = dataclasses.replace(
      grid_test.make_record(config, metrics={'dev': {'accuracy': 0.9}}),
      computation=computation)
  path = store.Store('glue', str(folder)).path_of(config)
  if not os.path.exists(path):
    records.write(path, record)
  atomic.write_json(
      layer_removal.map_path(str(folder / 'spans'), record, restore_norms),
      {'config': record.config, 'restore_norms': restore_norms,
       'layers': layers,
       'majority': {'accuracy': 0.55} if majority is None else majority,
       'whole': {'matthews': 0.5, 'accuracy': 0.9},
       'without': {span: {'matthews': 0.1, 'accuracy': 0.9 - drop}
                   for span, drop in drops.items()}})


DROPS = {'0-0': 0.0, '0-1': 0.01, '0-2': 0.3, '1-1': 0.01, '1-2': 0.1,
         '2-2': 0.015}
