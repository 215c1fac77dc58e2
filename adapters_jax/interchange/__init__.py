"""Adapters of other libraries: their files read and written."""
