"""Effect of the adapters' initial standard deviation (figure 6, right).

  python -m experiments.ablation_init

The paper's range is 1e-7 to 1. Adapters are in float32, and so are their
products, unless `--precision=bfloat16`.
"""

from experiments import ablations

GRID = 'init_scale=1e-5,1e-3,1e-2,1e-1,1'

if __name__ == '__main__':
  ablations.start(GRID)
