"""Pinned packages and files of the Hugging Face hub; files on the disk.

Holds the reading and writing of files for all other packages too: `json_files`,
`atomic.write_json`, `locks.held`, `disk.explained` and `file_hash.sha256`.
Imports `errors` only. Public besides: `pinned.fetch`, `pinned.cache_dir`,
`hub.folder`, `hub.config` and `progress`.
"""
