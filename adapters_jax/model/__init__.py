"""The encoder, its heads, and the sites where adapter methods act.

Imports `methods`, `downloads`, `layers`, `trees` and `errors`. Public:
`encoder.BertConfig`, `encoder.Bert` and `encoder.init`; `heads.HEADS`
and `heads.make`; `sites` for the encoder; `families` for
the names in other libraries; `pretrained`, `base` and `tensor_files`
for checkpoints; `precision` for the types of the computation.
"""
