"""Adapter-based transfer learning in JAX and Flax (Houlsby et al., 2019).

Nothing is imported here, so that a script pays only for the modules it uses:
`from adapters_jax import bert, run`.
"""

__version__ = '0.1.0'
