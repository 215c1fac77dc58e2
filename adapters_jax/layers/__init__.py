"""Layers that Flax lacks, or that run faster than Flax's on a CPU.

Imports JAX and Flax only. Public: `activations`, `batch_norm`, `dense`,
`dropout`, `layer_norm` and `parameters`.
"""
