"""Downloads of pinned packages and hub files, and helpers for files on disk.

Imports `errors` only. Public: `pinned.fetch`, `pinned.cache_dir`, `hub.file`,
`hub_checkpoints.folder`, `assets.is_folder` and `progress` for downloads;
`json_files`, `atomic`, `locks.held`, `disk.explained`, `file_hash` and `evict`
for the files of all other packages.
"""
