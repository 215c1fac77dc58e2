"""Sweeps: many runs from one description, launched locally or on Ray.

Imports runs and everything below; nothing of analysis or api.
Public: `grid` (descriptions), `engine` (execution), `outcome` (results),
`vmapped` (groups), `forecast` (timing) and `ray_launcher`.
"""
