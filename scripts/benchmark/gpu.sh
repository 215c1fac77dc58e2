#!/bin/sh
# Tests and times this project on one NVIDIA GPU, without a network, in at most
# 8 minutes; writes one JSON file.
#
#   sh scripts/benchmark/gpu.sh OUT.json [flags of scripts.benchmark.gpu]
#
# It needs JAX with CUDA, PyTorch, and the project's other dependencies but TFDS.
# PYTHON names the interpreter. On a machine with a network,
# `python -m scripts.benchmark.gpu --pack=.gpu` writes real weights and data
# (45 MB); a folder .gpu in the checkout is used if it is there.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
out=${1:-gpu.json}
[ $# -gt 0 ] && shift

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export ADAPTERS_JAX_CACHE="$scratch/cache"
export HF_HUB_OFFLINE=1 TF_CPP_MIN_LOG_LEVEL=2
# PyTorch needs a share of the memory, too.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
export GLIBC_TUNABLES="${GLIBC_TUNABLES:-}"
# The tests' own flags are for a CPU.
export ADAPTERS_JAX_TEST_XLA_FLAGS=none

timeout "${TESTS_SECONDS:-120}" "$python" -m pytest -o addopts= -p no:cacheprovider -q -rs -m gpu \
  tests/gpu_test.py > "$scratch/tests" 2>&1 || true
tail -n 5 "$scratch/tests"

packed=
[ -d .gpu ] && packed=.gpu
timeout "${SECONDS_OF_ALL:-350}" "$python" -m scripts.benchmark.gpu --out="$out" \
  --tests="$scratch/tests" --packed="$packed" "$@"
