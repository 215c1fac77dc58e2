"""Opens a local page that shows the answers of trained adapters.

  python -m experiments.demo --open

It switches adapters, and layers of them, on and off, and composes them. Without
`--adapters` it shows the newest adapter of each task in the folder runs. The
extra 'demo' has the server; nothing is loaded from other hosts.
"""

from adapters_jax.api.commands import demo

if __name__ == '__main__':
  demo.start()
