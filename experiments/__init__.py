"""Experiment scripts, started as `python -m experiments.NAME`."""
