"""Learning rates of adapters and of full fine-tuning (appendix B, figure 7).

  python -m experiments.ablation_learning_rate

Five rates of each method, around its best on film reviews; the paper's range is
2e-5 to 1e-3.
"""

from experiments import ablations

GRID = ('learning_rate=1e-4,3e-4,1e-3,3e-3,1e-2; '  # Two grids.
        'tune=full learning_rate=1e-5,3e-5,1e-4,3e-4,1e-3')

if __name__ == '__main__':
  ablations.start(GRID)
