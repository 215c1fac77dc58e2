"""Files from elsewhere: pinned packages, the Hugging Face hub, safe writing.

Imports `errors` and the layers below. Public: `pinned.fetch` and
`pinned.cache_dir`, `hub.folder` and `hub.config`, `atomic.write_json`.
"""
