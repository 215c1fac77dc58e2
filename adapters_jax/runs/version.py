"""Version of all code that decides a run's numbers apart from its settings.

Records and hashes hold it, so that runs of two versions are never taken for one
another: a sweep trains again, and tables refuse a mixture. Raise NUMBERS, and
describe the new version, with every change of batches, initialisation, loss,
optimizer or arithmetic that moves a score by more than rounding.

1:
  Every record without a version. Batches had three orders: lengths in
  multiples of 4, later of 2, and another sequence of lengths for runs that
  trained as a group. Of equal dev scores a later one could win by rounding.
2:
  Lengths in multiples of 2. A run alone has the sequence of lengths that it
  has in a group. The first of equal dev scores is the best.
  Corrected within this version, as no record in `experiments/results` has the
  fault: means of cached features of which only the first was kept
  (`cache_frozen` with `head_input=mean_norm`); filler in CoSENT's loss with
  pooling 'cls' or 'lasttoken'; gates of LoRA and IA3 on DeBERTa that moved with
  the padding; DeBERTa's tuned norm of distances in `adapter_drop`; retrieval
  among the documents of a subset (`train_examples` with sentence embeddings)
  and of queries that are documents themselves;
  norms of all layers in `norm_layers=same` with `adapter_config`; whole words
  that were a text without spaces, a text's only word, or longer than 8 pieces,
  of which only the first pieces were masked; tags of words by tokenizers such
  as mmBERT's, which had no spaces between them; dropout of a prefix, which was
  one draw for all examples of a batch; unused leaves for the first positions in
  ReFT with `suffix_positions` alone, which were in states and counts.
3, of sentence embeddings alone:
  Batches of pairs have a length for each column of texts, where pairs of as
  many tokens in all were padded to the longest of each column.

`tests/runs/version_test.py` pins the batches and the losses of a small run.
"""

NUMBERS = 2
PAIRS = 3  # Version of sentence embeddings.
FIRST = 1  # Version of records that do not name one.
FIELD = 'numbers'  # Name of the version among a record's settings.


def of(file_task: str) -> int:
  """Returns the present version of a run.

  Args:
    file_task: Setting of the run, 'pairs' for sentence embeddings.
  """
  return PAIRS if file_task == 'pairs' else NUMBERS
