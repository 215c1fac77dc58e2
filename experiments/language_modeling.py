"""Trains adapters of a language or a domain on raw text (masked LM, MAD-X).

  python -m experiments.language_modeling --train_file=lines.txt \\
    --dev_fraction=0.1
  python -m experiments.language_modeling --task=movie_sentiment_texts

A .txt file has one text a line; tables have it in `--text_columns`. The default
is `seq_bn_inv`, an adapter in every layer and an invertible one at the
embeddings. dev and test report the perplexity of masked pieces. Stack a task's
adapter on the result: `stack(domain, task)`.
"""

from adapters_jax.api import experiments

if __name__ == '__main__':
  experiments.start('language_modeling')
