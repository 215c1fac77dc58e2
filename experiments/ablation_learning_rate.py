"""Learning rates of adapters and of full fine-tuning (appendix B, figure 7).

  python -m experiments.ablation_learning_rate

The paper's range is 2e-5 to 1e-3.
"""

from experiments import ablations

_RATES = 'learning_rate=2e-5,1e-4,3e-4,1e-3,3e-3'
GRID = f'{_RATES}; tune=full {_RATES}'  # Two grids: ';' separates.

if __name__ == '__main__':
  ablations.start(GRID)
