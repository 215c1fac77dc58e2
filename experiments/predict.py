"""Labels sentences with a trained adapter, or answers questions.

  echo 'A joy from start to end.' | python -m experiments.predict --adapter=DIR

Each line is one input. A tab separates the two texts of a pair; for an adapter
trained on SQuAD, question and paragraph. In a .tsv, .csv, .jsonl or .parquet
file the texts are the columns used in training, or those in `--text_columns`.
The start takes about 10 seconds.
"""

from adapters_jax.api.commands import predict

if __name__ == '__main__':
  predict.start()
