"""Trains adapters (or a baseline) to tag words: entities, parts of speech.

  python -m experiments.tagging --train_file=train.conll --dev_file=dev.conll

A line of a file is a word and its tag, a blank line ends a sentence; see
docs/data.md.
"""

from adapters_jax.api import experiments

if __name__ == '__main__':
  experiments.start('tagging')
