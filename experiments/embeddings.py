"""Trains adapters (or a baseline) for sentence embeddings on pairs of texts.

  python -m experiments.embeddings --train_file=pairs.tsv --dev_fraction=0.1
  python -m experiments.embeddings --train_file=scored.csv --dev_file=dev.csv \\
    --text_columns=sentence1,sentence2 --label_column=score

Pairs without scores are trained with in-batch negatives and scored by
retrieval; a .json file in SQuAD's format has questions and paragraphs. Pairs
with scores are trained and scored by the order of their cosines. `--tune=none`
scores the base as it is.
"""

from adapters_jax.api import experiments

if __name__ == '__main__':
  experiments.start('embeddings')
