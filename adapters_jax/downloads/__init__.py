"""Pinned packages, files of the Hugging Face hub, and atomic writes.

Imports `errors` only. Public: `pinned.fetch` and `pinned.cache_dir`,
`hub.folder` and `hub.config`, `atomic.write_json`, `locks.held`, `progress`,
`disk.explained`, `file_hash.sha256`.
"""
