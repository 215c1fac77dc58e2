#!/usr/bin/env bash
# Makes the records of the README and the notebooks, then rewrites both.
#
#   scripts/reproduce.sh
#   LARGE= ABLATED= TAGGED=wnut17 scripts/reproduce.sh  # One part alone.
#
# Finished runs are looked up in RECORDS and skipped, unfinished ones resumed, so
# it can be stopped and started again at any time. To make all from nothing, name
# an empty folder: RECORDS=mine scripts/reproduce.sh. It first says how long the
# records at hand took; every grid says how long its unfinished runs will take.
# Needs the extra 'notebooks', and GLUE: a network, or DATA (see docs/data.md).
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-.venv/bin/python}
RECORDS=${RECORDS:-experiments/results}
DATA=${DATA:-}        # Where TFDS keeps its files; the cache folder when empty.
SEEDS=${SEEDS:-0-4}
# Tasks compared on mpnet-base, on all examples.
LARGE=${LARGE-cola}
# Tasks of the ablations on minilm-l6, with the number of examples to train on.
ABLATED=${ABLATED-movie_sentiment:2000}
# Further tasks on minilm-l6, in the same way, 0 for all examples: eight trials
# for every method.
TASKS=${TASKS:-}
# Folders with train.tsv and dev.tsv, of one's own, in the same way.
FOLDERS=${FOLDERS:-}
# Folders of the same kind with several labels a text, in columns text and labels.
LABELLED=${LABELLED:-}
# Folders with train, dev and test.conll: a word and its tag on each line.
TAGGED=${TAGGED:-}

# Trials of every method have seeds of their own (--pick_seeds).
METHODS='adapter_size=64 learning_rate=3e-4,1e-3,3e-3,1e-2 epochs=3,20;
  adapter_size=8 learning_rate=1e-3,3e-3,1e-2,3e-2 epochs=3,20;
  tune=full learning_rate=3e-5,1e-4,3e-4,1e-3 epochs=3,20;
  tune=top_k top_k=2 learning_rate=1e-4,3e-4,1e-3,3e-3 epochs=3,20;
  tune=norms learning_rate=1e-3,3e-3,1e-2,3e-2 epochs=3,20;
  tune=head learning_rate=1e-2,3e-2,1e-1,3e-1 epochs=3,20'
PICK=learning_rate,epochs
SIZES='adapter_size=64 learning_rate=1e-3,3e-3;
  tune=full learning_rate=3e-5,1e-4; tune=head learning_rate=3e-2,1e-1;
  tune=norms learning_rate=3e-3,1e-2;
  tune=top_k top_k=2 learning_rate=1e-4,3e-4;
  adapter_size=8,256 learning_rate=1e-3,3e-3'

# A file of SQuAD's format for the records of retrieval, and their bases.
QUESTIONS=${QUESTIONS:-}
ENCODERS=${ENCODERS:-minilm-l6 mpnet-base}
DOMAIN=${DOMAIN:-}  # Not empty: the records of a domain adapter.

failed=()

run() {  # A module of this project with flags; if it fails, the others go on.
  local status=0
  echo "== python -m $*"
  "$PYTHON" -m "$@" --records="$RECORDS" || status=$?
  if [ $status -eq 130 ]; then exit 130; fi  # It was told to stop.
  if [ $status -ne 0 ]; then failed+=("$*"); fi
}

"$PYTHON" - "$RECORDS" <<'END'
import sys
from adapters_jax.runs import records as results
records = list(results.read_all(sys.argv[1]))
hours = sum(record.seconds for record in records) / 3600
print(f'{len(records)} runs are recorded; they took {hours:.1f} hours')
END

for task in $LARGE; do
  large=(experiments.glue --task="$task" --checkpoint=mpnet-base
    --data_dir="$DATA" --pick="$PICK" --pick_examples=4000 --resume)
  # Seeds 3 and 4, in float32 on another CPU, have commands of their own in the
  # docs.
  run "${large[@]}" --seeds=0-2 --grid='
    adapter_size=64 learning_rate=3e-4,1e-3,3e-3 epochs=3,10;
    tune=full learning_rate=2e-5,5e-5,1e-4 epochs=3,10'
  run "${large[@]}" --seeds=0-2 --cache_frozen \
    --grid='tune=head learning_rate=1e-2,3e-2,1e-1 epochs=3,10'
  run experiments.ablation_layers --task="$task" --checkpoint=mpnet-base \
    --data_dir="$DATA" --train_examples=0 --epochs=10 --seeds=0-2 --resume \
    --grid='adapter_layers=all learning_rate=3e-4'
done
for pair in $TASKS; do
  run experiments.glue --task="${pair%:*}" --train_examples="${pair##*:}" \
    --data_dir="$DATA" --seeds="$SEEDS" --pick="$PICK" --grid="$METHODS"
done
for pair in $FOLDERS; do
  run experiments.text_classification --folder="${pair%:*}" \
    --train_examples="${pair##*:}" --seeds="$SEEDS" --pick="$PICK" \
    --grid="$METHODS"
done
for folder in $LABELLED; do
  labelled=(experiments.text_classification --folder="$folder"
    --file_task=multilabel --text_columns=text --label_column=labels
    --max_length=64 --epochs=3 --seeds=0-2)
  run "${labelled[@]}" --grid='
    adapter_size=64,8 learning_rate=1e-3;
    adapter_config=lora[r=8] learning_rate=1e-3;
    tune=full learning_rate=1e-4'
  run "${labelled[@]}" --cache_frozen --grid='tune=head learning_rate=1e-2'
done
for folder in $TAGGED; do
  run experiments.tagging --task="$(basename "$folder")" \
    --train_file="$folder/train.conll" --dev_file="$folder/dev.conll" \
    --test_file="$folder/test.conll" --epochs=5 --seeds=0-2 --grid='
      adapter_size=64 learning_rate=1e-3;
      adapter_size=8 learning_rate=3e-3;
      adapter_config=lora[r=8] learning_rate=3e-3;
      tune=full learning_rate=1e-4;
      tune=head learning_rate=1e-2'
done
for base in $ENCODERS; do
  # Retrieval: a file of questions and paragraphs in SQuAD's format.
  if [ -n "$QUESTIONS" ]; then
    run experiments.embeddings --train_file="$QUESTIONS" --dev_fraction=0.2 \
      --test_fraction=0.2 --checkpoint="$base" --buckets=3 --tune=none
    run experiments.embeddings --train_file="$QUESTIONS" --dev_fraction=0.2 \
      --test_fraction=0.2 --checkpoint="$base" --buckets=3 --epochs=3 \
      --seeds=0-2 --pick=learning_rate --grid='
        tune=full learning_rate=1e-5,3e-5,1e-4;
        adapter_size=64 learning_rate=1e-4,3e-4,1e-3;
        adapter_config=lora[r=8] learning_rate=1e-4,3e-4,1e-3'
  fi
done
if [ -n "$DOMAIN" ]; then  # An adapter of a domain, and its head alone.
  run experiments.language_modeling --task=movie_sentiment_texts --epochs=3 \
    --learning_rate=1e-3 --seeds=0-2
  run experiments.language_modeling --task=movie_sentiment_texts --epochs=3 \
    --learning_rate=1e-3 --seeds=0-2 --tune=head
fi
for pair in $ABLATED; do
  ablated=(--task="${pair%:*}" --train_examples="${pair##*:}" --epochs=5
    --data_dir="$DATA" --resume)
  run experiments.ablation_size "${ablated[@]}" --seeds=0-6 \
    --pick=learning_rate --grid="$SIZES"
  run experiments.ablation_layers "${ablated[@]}" --seeds=0-6 \
    --grid=adapter_layers=all
  run experiments.ablation_init "${ablated[@]}" --seeds=0-6 \
    --grid='init_scale=1e-2,1e-1,1,1e-3'
  run experiments.ablation_init "${ablated[@]}" --seeds=0-2 \
    --grid='init_scale=1e-5,1e-7'
  run experiments.ablation_variants "${ablated[@]}" --seeds=0-2
done

if [ "$RECORDS" = experiments/results ]; then
  "$PYTHON" -m scripts.summarize --records="$RECORDS" --readme=README.md \
    --checkpoint=mpnet-base
  "$PYTHON" -m docs.generate
  "$PYTHON" -m jupyter execute --inplace experiments/notebooks/*.ipynb
else
  "$PYTHON" -m scripts.summarize --records="$RECORDS"
fi
echo "took $((SECONDS / 3600)) h $((SECONDS % 3600 / 60)) min"
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
