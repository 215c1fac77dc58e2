"""Sweeps: many runs from one description, launched locally or on Ray.

Imports runs and everything below; nothing of analysis or api.
Public: `grid` (descriptions), `engine` (the sweep itself), `execution` (its
options), `picking` and `halving` (choices among settings), `vmapped` (groups),
`rivals` (scores that compare), `differences` (runs in messages),
`progress`, `outcome` (results), `store` (their records), `forecast` (timing)
and `ray_launcher`.
"""
