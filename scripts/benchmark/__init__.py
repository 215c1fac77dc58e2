"""Speed measurements; `python -m scripts.benchmark` runs all of them."""
