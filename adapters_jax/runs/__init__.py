"""Runs from settings to record and adapter.

Imports adapters, training and everything below; nothing of sweeps.
Public: `config`, `identity`, `options` and `presets` (settings), `run`, `group`
and `group_training` (the run), `setup`, `compiled`, `session`, `signals`,
`saving`, `rungs`, `regroup` and `allocator` (its parts), `kinds` (kinds of
tasks), `results`, `records`, `workdirs`, `log`, `console` and `progress` (its
results and messages), `extras` (optional packages).
"""
