"""Data from texts to batches, in numpy.

Imports `errors` and downloads; no JAX, so that tables and scripts which only
read data start fast. Public: `tasks`, `files`, `squad_files`, `conll`, `vader`
and `raw_glue` (sources of examples), `squad` (questions to windows), `words`
and `tags` (of tagging), `tokenization`, `batching` and `metrics`.
"""
