"""Serves adapters over HTTP, on this machine alone by default.

  python -m experiments.serve --adapters=film=DIR,food=DIR
  curl localhost:8000/predict -d '{"inputs": ["A joy."], "adapter": "film"}'

Concurrent requests share a batch, whatever their adapters. The extra 'serve'
has the server. POST /predict also takes "adapters", a name for each input; an
input is a text or a list of two. GET /adapters, /health and /metrics.
"""

from adapters_jax.api.commands import serve

if __name__ == '__main__':
  serve.start()
