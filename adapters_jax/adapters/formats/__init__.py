"""Adapter files of other libraries: AdapterHub, PEFT and adapter-bert.

May import adapters.adapter, downloads, methods, model, trees and errors.
Public: `read` and `write` of `adapterhub` and `peft`, `adapter_bert`, `places`.
This file imports nothing, so that flags can name the formats before JAX loads.
"""

FORMATS = ('own', 'adapterhub', 'peft', 'adapter_bert')
