"""Files of AdapterHub, PEFT, adapter-bert, sentence-transformers, transformers.

May import modules of `adapters` apart from `exchange`, and packages below.
Public: `read` and `write` of `adapterhub_setups` (also of single adapters) and
`peft`, `adapter_bert`, `places`, `write` of `sentence_transformer` and
`transformers_model`.
This file imports nothing, so that flags can name the formats before JAX loads.
"""

# Whole models, with the adapter folded into the base.
WHOLE = ('sentence_transformers', 'transformers')
FORMATS = ('own', 'adapterhub', 'peft', 'adapter_bert', *WHOLE)
