#!/usr/bin/env bash
# AdapterFusion of four adapters for a fifth task, against one adapter and full
# fine-tuning: 3 seeds, and one run for each fused adapter.
#
#   CORPORATE=DIR scripts/reproduce_fusion.sh
#
# CORPORATE is a folder with train.tsv, dev.tsv and test.tsv of the corporate
# messaging task (columns sentence and label); without it three adapters are
# fused. Unfinished runs are resumed. The adapters keep the pretrained layer
# norms (--tune_norms=false), so that they agree on them in the fusion.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-.venv/bin/python}
BASE=${BASE:-mpnet-base}
RUNS=${RUNS:-runs/fusion/$BASE}
RECORDS=${RECORDS:-experiments/results}
CORPORATE=${CORPORATE:-}
SEEDS=${SEEDS:-0-2}

fused=()
for task in movie amazon tweets; do
  "$PYTHON" -m experiments.glue --task="${task}_sentiment" \
    --checkpoint="$BASE" --tune_norms=false --workdir="$RUNS/$task" --resume
  fused+=("$task=$RUNS/$task")
done
if [ -n "$CORPORATE" ]; then
  "$PYTHON" -m experiments.text_classification --folder="$CORPORATE" \
    --checkpoint="$BASE" --tune_norms=false --workdir="$RUNS/corporate" --resume
  fused+=("corporate=$RUNS/corporate")
fi

"$PYTHON" -m experiments.fusion --task=nyt_sentiment --checkpoint="$BASE" \
  --adapters="$(IFS=,; echo "${fused[*]}")" --tune_norms=false \
  --learning_rate=3e-4 --seeds="$SEEDS" --records="$RECORDS"
"$PYTHON" -m experiments.glue --task=nyt_sentiment --checkpoint="$BASE" \
  --grid='tune_norms=false,true; tune=full learning_rate=1e-4;
    tune=head learning_rate=1e-2' \
  --seeds="$SEEDS" --records="$RECORDS"
