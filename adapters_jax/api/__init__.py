"""Public functions, flags and commands of the package.

`face`: the functions of `import adapters_jax as aj`. `flags`, `expand`,
`commands`: the command line. May import every package. This file imports
nothing, so that a command parses its flags before JAX is loaded.
"""
