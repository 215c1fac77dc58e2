"""Texts to batches: numpy only, no JAX."""
