"""Trains adapters (or a baseline) for question answering: SQuAD v1.1.

  python -m experiments.squad --learning_rate=1e-3
  python -m experiments.squad --train_file=train.json --dev_file=dev.json

Without files, TFDS' `squad` is downloaded. On 973 questions of XQuAD two epochs
take about 7 minutes on one core and reach an F1 of 8.7: this base needs all of
SQuAD's 87,599 questions.
"""

from adapters_jax.api import experiments

if __name__ == '__main__':
  experiments.start('squad')
