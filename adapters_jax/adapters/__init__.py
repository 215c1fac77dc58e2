"""Adapters as values: saved, loaded, named in banks, merged, applied, exported.

May import training, model, data, methods and everything below; nothing of
runs. Public names: adapter.Adapter, adapter.load, the functions of bank,
merging and prediction, exchange.read and exchange.write.
"""
