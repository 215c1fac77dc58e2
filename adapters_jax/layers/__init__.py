"""Layers that are faster than the library's on a CPU, or that it lacks.

Imports JAX and Flax, nothing of this project. Public: `activations`,
`batch_norm`, `dense`, `dropout` and `layer_norm`.
"""
