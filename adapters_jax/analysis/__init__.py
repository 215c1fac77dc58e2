"""Turns results of runs into tables, ablations and files for the GLUE server.

May import runs, sweeps, adapters and everything below; nothing of api.
Public: `tables`, `layer_removal`, `dropped_layers`, `halving_replay`,
`predictions` and `glue_submission`.
"""
