"""Training of one base with frozen leaves: steps, loop, optimizers, devices.

Imports data, model, layers, downloads, `trees` and `errors`; nothing of
adapters or runs.
Public: `selections`, `optimizers`, `steps`, `loop`, `programs`, `resume`,
`saves`, `sharding`, `threads`, `hosts`, `frozen_cache` and `adapter_drop`.
"""
