"""Adapter files of AdapterHub, PEFT, adapter-bert and sentence-transformers.

May import modules of `adapters` apart from `exchange`, and packages below.
Public: `read` and `write` of `adapterhub_setups` (also of single adapters) and
`peft`, `adapter_bert`, `places`, `write` of `sentence_transformer`.
This file imports nothing, so that flags can name the formats before JAX loads.
"""

FORMATS = (
    'own', 'adapterhub', 'peft', 'adapter_bert', 'sentence_transformers')
