"""Scores against trained parameters (sections 3.4 and 3.6, figures 3 and 4).

Adapters of several sizes beside the top k layers, layer norms alone, and full
fine-tuning:

  python -m experiments.ablation_size

The paper's sizes go from 2^0 to 2^9 and its k from 1 to 12:

  --grid='adapter_size=1,2,4,8,16,32,64,128,256,512; tune=norms; tune=full;
  tune=top_k top_k=1,2,3,4,5,6,7,8,9,10,11,12'
"""

from experiments import ablations

GRID = (
    'adapter_size=1,4,16,64,256; '
    'tune=top_k top_k=1,2,4,6 learning_rate=3e-4; '
    'tune=norms learning_rate=3e-3; '
    'tune=full learning_rate=1e-4')

if __name__ == '__main__':
  ablations.start(GRID)
