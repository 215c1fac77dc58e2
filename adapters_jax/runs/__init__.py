"""Runs from settings to record and adapter.

Imports adapters, training and everything below; nothing of sweeps.
Public: `config`, `options` and `presets` (settings), `run` and `group` (the
run), `setup`, `compiled`, `session`, `signals`, `saving` and `allocator` (its
parts), `kinds`, `results`, `records`, `workdirs`, `log`, `console` and
`progress` (its results and messages).
"""
