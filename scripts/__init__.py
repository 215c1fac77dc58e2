"""Tools around the package, started as `python -m scripts.NAME`."""
