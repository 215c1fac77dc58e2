"""Kinds of tasks, each a set of hooks (`kind.Kind`) for the common run.

Imports `config`, `identity`, `options`, `presets`, `setup`, `compiled`,
`console`, `pair_losses` and `task_checks` of runs, and packages below runs.
Public: `kind.Kind`, the `KIND` of each task's module, and `chosen_kind`. Data
in memory have kinds of their own: `KIND.of_data`, `classification.of_examples`
and `tagging.of_sentences`.
"""
