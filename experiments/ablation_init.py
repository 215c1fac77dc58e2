"""What the adapters' initial standard deviation does (figure 6, right).

  python -m experiments.ablation_init

The paper's goes from 1e-7 to 1. All is computed in float32, unless
`--precision` says otherwise.
"""

from experiments import ablations

GRID = 'init_scale=1e-5,1e-3,1e-2,1e-1,1'

if __name__ == '__main__':
  ablations.start(GRID)
