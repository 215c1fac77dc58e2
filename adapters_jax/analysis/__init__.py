"""Results of runs to tables, ablations and files for the GLUE server.

May import runs, sweeps, adapters and everything below; nothing of api.
Public: `tables`, `layer_removal`, `glue_submission`.
"""
