"""Hugging Face's names of modules, a table for each family of encoders.

Each is {module: Hugging Face's name}; {} is the index of the layer.
"""

BERT = {
    'embeddings/words': 'embeddings.word_embeddings',
    'embeddings/positions': 'embeddings.position_embeddings',
    'embeddings/segments': 'embeddings.token_type_embeddings',
    'embeddings/norm': 'embeddings.LayerNorm',
    'encoder/layer_{}/attention/query': 'encoder.layer.{}.attention.self.query',
    'encoder/layer_{}/attention/key': 'encoder.layer.{}.attention.self.key',
    'encoder/layer_{}/attention/value': 'encoder.layer.{}.attention.self.value',
    'encoder/layer_{}/attention/output':
        'encoder.layer.{}.attention.output.dense',
    'encoder/layer_{}/attention_norm':
        'encoder.layer.{}.attention.output.LayerNorm',
    'encoder/layer_{}/ffn_intermediate': 'encoder.layer.{}.intermediate.dense',
    'encoder/layer_{}/ffn_output': 'encoder.layer.{}.output.dense',
    'encoder/layer_{}/ffn_norm': 'encoder.layer.{}.output.LayerNorm',
    'pooler': 'pooler.dense',
}
MPNET = BERT | {
    'encoder/layer_{}/attention/query': 'encoder.layer.{}.attention.attn.q',
    'encoder/layer_{}/attention/key': 'encoder.layer.{}.attention.attn.k',
    'encoder/layer_{}/attention/value': 'encoder.layer.{}.attention.attn.v',
    'encoder/layer_{}/attention/output': 'encoder.layer.{}.attention.attn.o',
    'encoder/layer_{}/attention_norm': 'encoder.layer.{}.attention.LayerNorm',
}
del MPNET['embeddings/segments']
DEBERTA = BERT | {
    'encoder/layer_{}/attention/query':
        'encoder.layer.{}.attention.self.query_proj',
    'encoder/layer_{}/attention/key':
        'encoder.layer.{}.attention.self.key_proj',
    'encoder/layer_{}/attention/value':
        'encoder.layer.{}.attention.self.value_proj',
    'encoder/relative_norm': 'encoder.LayerNorm',
}
for _absent in ('embeddings/positions', 'pooler'):
  del DEBERTA[_absent]
DISTILBERT = {
    'embeddings/words': 'embeddings.word_embeddings',
    'embeddings/positions': 'embeddings.position_embeddings',
    'embeddings/norm': 'embeddings.LayerNorm',
    'encoder/layer_{}/attention/query': 'transformer.layer.{}.attention.q_lin',
    'encoder/layer_{}/attention/key': 'transformer.layer.{}.attention.k_lin',
    'encoder/layer_{}/attention/value': 'transformer.layer.{}.attention.v_lin',
    'encoder/layer_{}/attention/output':
        'transformer.layer.{}.attention.out_lin',
    'encoder/layer_{}/attention_norm': 'transformer.layer.{}.sa_layer_norm',
    'encoder/layer_{}/ffn_intermediate': 'transformer.layer.{}.ffn.lin1',
    'encoder/layer_{}/ffn_output': 'transformer.layer.{}.ffn.lin2',
    'encoder/layer_{}/ffn_norm': 'transformer.layer.{}.output_layer_norm',
}
# Files hold some linear layers joined; the last word names the part, as in
# `families.Family.joined`.
MODERNBERT = {
    'embeddings/words': 'embeddings.tok_embeddings',
    'embeddings/norm': 'embeddings.norm',
    'encoder/layer_{}/attention_norm': 'layers.{}.attn_norm',
    'encoder/layer_{}/attention/query': 'layers.{}.attn.Wqkv.query',
    'encoder/layer_{}/attention/key': 'layers.{}.attn.Wqkv.key',
    'encoder/layer_{}/attention/value': 'layers.{}.attn.Wqkv.value',
    'encoder/layer_{}/attention/output': 'layers.{}.attn.Wo',
    'encoder/layer_{}/ffn_norm': 'layers.{}.mlp_norm',
    'encoder/layer_{}/ffn_intermediate': 'layers.{}.mlp.Wi.activated',
    'encoder/layer_{}/ffn_gate': 'layers.{}.mlp.Wi.gate',
    'encoder/layer_{}/ffn_output': 'layers.{}.mlp.Wo',
    'encoder/final_norm': 'final_norm',
}
ELECTRA = BERT | {'embeddings/project': 'embeddings_project'}
del ELECTRA['pooler']


def _masked_lm(dense: str, norm: str, decoder: str) -> dict[str, str]:
  """Returns {leaf: name} of the head of masked language modelling.

  Args:
    dense: Name of its linear layer.
    norm: Name of its layer norm.
    decoder: Name of the module with the bias of the vocabulary.
  """
  return {
      'head/dense/kernel': f'{dense}.weight',
      'head/dense/bias': f'{dense}.bias',
      'head/norm/scale': f'{norm}.weight', 'head/norm/bias': f'{norm}.bias',
      'head/bias': f'{decoder}.bias'}


BERT_PREDICTIONS = _masked_lm(
    'cls.predictions.transform.dense', 'cls.predictions.transform.LayerNorm',
    'cls.predictions')
LM_HEAD = _masked_lm('lm_head.dense', 'lm_head.layer_norm', 'lm_head')
DISTILBERT_VOCABULARY = _masked_lm(
    'vocab_transform', 'vocab_layer_norm', 'vocab_projector')
