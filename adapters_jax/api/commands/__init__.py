"""Commands of the installed package, `adapters-jax COMMAND`.

Each module defines its flags and runs one command; the scripts of experiments/
call the same modules. May import every package; `program` is the entry.
"""
