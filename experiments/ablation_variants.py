"""Variants of the adapter that gained nothing in the paper (section 3.6).

  python -m experiments.ablation_variants

Other activations; adapters after the attention alone; a layer or batch norm
inside; two or three layers; adapters parallel to the sublayer, which add to its
output or multiply it. `methods.bottleneck` documents the exact places.
"""

from experiments import ablations

GRID = (
    'activation=gelu,relu,tanh,swish,identity; '
    'adapter_sites=attention_output; '
    'adapter_config=bottleneck[inner_norm=layer],bottleneck[inner_norm=batch],'
    'bottleneck[depth=2],bottleneck[depth=3],bottleneck[is_parallel=true],'
    'bottleneck[is_parallel=true,multiplicative=true]')

if __name__ == '__main__':
  ablations.start(GRID)
