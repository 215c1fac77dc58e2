"""Kinds of tasks, each a set of hooks (`kind.Kind`) for the common run.

Imports `runs.config`, `runs.setup`, `runs.compiled` and packages below runs.
Public: `classification.KIND` and `classification.of_examples`,
`question_answering.KIND`, `tagging.KIND` and `tagging.of_sentences`,
`embeddings.KIND` and `embeddings.of_pairs`, `language_modeling.KIND`.
"""
