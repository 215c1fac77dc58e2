"""Variants and places of the adapter, as data frames (section 3.6)."""

import pandas as pd

from experiments.analysis import frames

VARIANTS = {  # {(setting, value): name} of the variants of the default adapter.
    ('activation', 'relu'): 'ReLU',
    ('activation', 'tanh'): 'tanh',
    ('activation', 'swish'): 'swish',
    ('activation', 'identity'): 'no activation',
    ('adapter_sites', 'attention_output'): 'after attention only',
    ('adapter_sites', 'ffn_output'): 'after feed-forward only',
    ('adapter_config', 'bottleneck[inner_norm=layer]'): 'layer norm inside',
    ('adapter_config', 'bottleneck[inner_norm=batch]'): 'batch norm inside',
    ('adapter_config', 'bottleneck[depth=2]'): 'two layers',
    ('adapter_config', 'bottleneck[depth=3]'): 'three layers',
    ('adapter_config', 'bottleneck[is_parallel=true]'): 'parallel',
    ('adapter_config', 'bottleneck[is_parallel=true,multiplicative=true]'):
        'parallel, multiplying',
}
DEFAULT = 'default'


def load(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns points with a column 'variant', DEFAULT or a name in VARIANTS."""
  names = ['activation', 'adapter_sites', 'adapter_config']
  found = frames.points(runs, names)

  def name_of(row):
    changed = [(name, row[name]) for name in names
               if row[name] != frames.DEFAULTS[name]]
    if not changed:
      return DEFAULT
    # Two changes at a time, or another value, are no variant of the paper.
    return VARIANTS.get(changed[0]) if len(changed) == 1 else None

  found['variant'] = [name_of(row) for _, row in found.iterrows()]
  return frames.fullest(
      found.dropna(subset='variant'), (*frames.DATA, *frames.SCHEDULE))


def placements(runs: pd.DataFrame) -> pd.DataFrame:
  """Returns points with a column 'place', the layers or sublayer in words."""
  found = frames.points(runs, ['adapter_layers', 'adapter_sites'])
  sites = {'attention_output': 'after attention only',
           'ffn_output': 'after feed-forward only'}

  def name_of(row):
    everywhere = row['adapter_sites'] == frames.DEFAULTS['adapter_sites']
    if row['adapter_layers'] == 'all':
      return 'everywhere' if everywhere else sites.get(row['adapter_sites'])
    return f'layers {row["adapter_layers"]}' if everywhere else None

  found['place'] = [name_of(row) for _, row in found.iterrows()]
  return frames.fullest(
      found.dropna(subset='place'), (*frames.DATA, *frames.SCHEDULE))
