"""A user's program that type checkers read, and that nothing runs.

  mypy --strict --warn-unused-ignores tests/typed_program.py

The public names must be precise enough that right calls pass, and that each
marked mistake is one for the checker.
"""

import numpy as np

import adapters_jax as aj


def predict(base: aj.Base) -> list[str]:
  """Calls as the documentation shows them."""
  film = aj.train(base, 'movie_sentiment', method='lora[r=8]', epochs=1)
  own = aj.Examples([('a', 'b')], np.array([0, 1]), names=['no', 'yes'])
  aj.train(base, own, dev=aj.Examples(np.array([['a', 'b']]), [1]))
  aj.predict(base, film, [('Who?', ['Ann', 'Bob'])])
  aj.predict(base, film, [['Ann', 'left']])
  aj.predict(base, film, np.array(['a']))
  aj.predict(base, {'film': film}, ['a'], adapters=['film'])
  aj.predict(base, {'film': film}, ['a'], setup=aj.Parallel('film', 'film'))
  scores: dict[str, float] = aj.evaluate(
      base, film, 'rte', split='dev', metric='f1', data_dir='data')
  width: int = aj.encode(base, ['a'], film).shape[1]
  found = aj.predict(base, film, ['A joy.', ('a', 'pair')])
  return [str(one.label) for one in found] + [str(width), *scores]


def mistakes(base: aj.Base, film: aj.Adapter) -> None:
  """Misspelt names, and an argument of another type."""
  aj.trian(base, 'rte')  # type: ignore[attr-defined]
  aj.predict(base, film, ['a'])[0].lable  # type: ignore[attr-defined]
  aj.encode(base, ['a']).shpae  # type: ignore[attr-defined]
  aj.predict(base, film, [1])  # type: ignore[list-item]
