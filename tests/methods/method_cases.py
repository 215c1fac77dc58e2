"""The cases in which our methods must agree with other libraries'."""

import numpy as np

from adapters_jax.model import encoder
from tests import tiny

SHAPE = encoder.BertConfig(
    vocab_size=30, dim=32, layers=2, heads=4, ffn_dim=64, positions=16)
OUTPUTS = 3

# {case: config string of the `adapters` library}, random weights everywhere.
ADAPTERHUB = {
    'double_seq_bn': 'double_seq_bn[reduction_factor=4]',
    'seq_bn': 'seq_bn[reduction_factor=4]',
    'par_bn': 'par_bn[reduction_factor=4,mh_adapter=True]',
    'scaled_par_bn': 'scaled_par_bn[reduction_factor=8,ln_after=True]',
    'adapter_plus': "seq_bn[reduction_factor=4,original_ln_after=False,"
                    "residual_before_ln=False,scaling='channel',"
                    "non_linearity='gelu',init_weights='houlsby']",
    'post_add': "seq_bn[reduction_factor=8,residual_before_ln='post_add']",
    'residual_after': 'double_seq_bn[reduction_factor=8,'
                      'original_ln_before=True,residual_before_ln=False]',
    'ln_before': "double_seq_bn[reduction_factor=8,ln_before=True,"
                 "non_linearity='gelu_new']",
    'ln_after': "double_seq_bn[reduction_factor=8,ln_after=True,"
                "non_linearity='leakyrelu',scaling='learned']",
    'residual_before_own_ln': 'seq_bn[reduction_factor=8,ln_after=True,'
                              'adapter_residual_before_ln=True]',
    'gated_bn': 'seq_bn[reduction_factor=8,use_gating=True]',
    'gated_par_bn': 'par_bn[reduction_factor=8,use_gating=True]',
    'layer_map': "seq_bn[reduction_factor={'1': 0.5, 'default': 16}]",
    'leave_out': 'double_seq_bn[reduction_factor=4,leave_out=[1]]',
    'seq_bn_inv': 'seq_bn_inv[reduction_factor=8]',
    'double_seq_bn_inv': 'double_seq_bn_inv[reduction_factor=8,'
                         'inv_adapter_reduction_factor=4]',
    'compacter': 'compacter[reduction_factor=4]',
    'compacter++': 'compacter++[reduction_factor=4,phm_dim=2,phm_rank=2]',
    'compacter_shared': 'compacter[reduction_factor=4,shared_W_phm=True]',
    'compacter_own': 'compacter++[reduction_factor=4,phm_dim=2,'
                     'shared_phm_rule=False,factorized_phm_rule=True,'
                     'factorized_phm_W=False]',
    'compacter_factors': 'compacter++[reduction_factor=4,'
                         'factorized_phm_rule=True]',
    'prefix_tuning': 'prefix_tuning[prefix_length=5,bottleneck_size=16]',
    'prefix_flat': 'prefix_tuning[prefix_length=3,flat=True,leave_out=[0]]',
    'prefix_gated': 'prefix_tuning[prefix_length=3,bottleneck_size=8,'
                    'use_gating=True,shared_gating=False]',
    'prompt_tuning': 'prompt_tuning[prompt_length=4]',
    'prompt_after_bos': "prompt_tuning[prompt_length=4,"
                        "combine='prefix_after_bos']",
    'lora': 'lora[r=4,alpha=16]',
    'lora_everywhere': "lora[r=2,alpha=3,attn_matrices=['q','k','v'],"
                       'intermediate_lora=True,output_lora=True]',
    'lora_gated': 'lora[r=4,use_gating=True,intermediate_lora=True]',
    'dora': 'dora[r=4]',
    'dora_alpha': 'dora[r=4,alpha=2,intermediate_lora=True]',
    'ia3': 'ia3',
    'ia3_alpha': 'ia3[alpha=2,output_lora=True]',
    'vera': 'vera[r=4,alpha=2]',
    'loreft': 'loreft[r=2,suffix_positions=2]',
    'loreft_tied': 'loreft[prefix_positions=1,suffix_positions=2,'
                   'tied_weights=True,layers=[1]]',
    'noreft': "noreft[suffix_positions=1,non_linearity='relu']",
    'direft': 'direft[r=2]',
    'silu_map': "double_seq_bn[reduction_factor={'0': 4, '1': 8},"
                "non_linearity='silu']",
    'linear_scaled': "seq_bn[reduction_factor=8,non_linearity='linear',"
                     'scaling=0.5,dropout=0.2]',
    'tanh_no_ln_after': "double_seq_bn[reduction_factor=8,"
                        "original_ln_after=False,non_linearity='tanh']",
    'par_ignores': 'par_bn[reduction_factor=8,ln_before=True,ln_after=True,'
                   'adapter_residual_before_ln=True,original_ln_before=True,'
                   "residual_before_ln=False,scaling='channel']",
    'par_no_ln_after': 'par_bn[reduction_factor=8,original_ln_after=False]',
    'gated_learned': "seq_bn[reduction_factor=8,use_gating=True,"
                     "scaling='learned',ln_before=True]",
    'compacter_gated': 'compacter++[reduction_factor=4,use_gating=True,'
                       'phm_bias=False,ln_before=True]',
    'compacter_fixed': 'compacter[reduction_factor=4,learn_phm=False,'
                       "shared_phm_rule=False,phm_c_init='uniform',"
                       "hypercomplex_nonlinearity='normal']",
    'compacter_own_rule': 'compacter++[reduction_factor=4,shared_W_phm=True,'
                          'shared_phm_rule=False,factorized_phm_rule=True]',
    'prefix_gated_shared': 'prefix_tuning[prefix_length=3,bottleneck_size=8,'
                           "use_gating=True,non_linearity='relu',"
                           'leave_out=[1],dropout=0.1]',
    'prefix_flat_gated': 'prefix_tuning[prefix_length=3,flat=True,'
                         'use_gating=True]',
    'lora_ffn': 'lora[r=2,selfattn_lora=False,output_lora=True,dropout=0.1,'
                "init_weights='bert',leave_out=[0]]",
    'dora_gated': 'dora[r=2,use_gating=True,output_lora=True]',
    'ia3_gated': 'ia3[use_gating=True]',
    'ia3_leave_out': "ia3[leave_out=[1],attn_matrices=['q','k','v']]",
    'vera_gated': 'vera[r=4,use_gating=True]',
    'vera_ffn': 'vera[r=4,selfattn_lora=False,intermediate_lora=True,'
                'vera_d=0.2,vera_b=0.5,dropout=0.1]',
    'loreft_suffix': 'loreft[r=2,prefix_positions=0,suffix_positions=2,'
                     "layers=[0],dropout=0.0,non_linearity='gelu_new']",
    'noreft_overlap': 'noreft[r=2,prefix_positions=5,suffix_positions=5]',
    'union_bn': 'seq_bn[leave_out=[0],reduction_factor=8]|'
                'par_bn[leave_out=[1],reduction_factor=4]',
    'mam': 'prefix_tuning[bottleneck_size=16,prefix_length=3]|'
           'par_bn[reduction_factor=8]',
    'unipelt': 'prefix_tuning[prefix_length=3,bottleneck_size=8,'
               'use_gating=True]|seq_bn[use_gating=True]|'
               'lora[r=2,alpha=2,use_gating=True]',
}

_LINEAR = ['query', 'value']
# {case: config of PEFT}
PEFT = {
    'lora': dict(peft_type='LORA', r=4, lora_alpha=16, target_modules=_LINEAR),
    'rslora': dict(
        peft_type='LORA', r=4, lora_alpha=8, use_rslora=True,
        target_modules=['query', 'intermediate.dense'],
        layers_to_transform=[1]),
    'dora': dict(
        peft_type='LORA', r=4, lora_alpha=8, use_dora=True,
        target_modules=['value', 'output.dense']),
    'ia3': dict(
        peft_type='IA3', target_modules=['key', 'value', 'output.dense'],
        feedforward_modules=['output.dense']),
    'vera': dict(peft_type='VERA', r=4, target_modules=_LINEAR),
    'lora_patches': dict(
        peft_type='LORA', r=3, target_modules=[
            'layer.0.attention.self.query', 'layer.1.attention.self.value',
            'layer.1.output.dense']),
    'rs_dora': dict(
        peft_type='LORA', r=3, lora_alpha=4, use_rslora=True, use_dora=True,
        target_modules=_LINEAR, lora_dropout=0.1),
    'ln_tuning': dict(
        peft_type='LN_TUNING', target_modules=['LayerNorm']),
    'ln_tuning_upper': dict(
        peft_type='LN_TUNING', target_modules=r'.*layer\.1\..*LayerNorm'),
    'ia3_inputs': dict(
        peft_type='IA3', target_modules=['intermediate.dense', 'key'],
        feedforward_modules=['intermediate.dense']),
    'vera_widths': dict(
        peft_type='VERA', r=4, target_modules=['query', 'output.dense'],
        vera_dropout=0.1),
    'prompt': dict(peft_type='PROMPT_TUNING', num_virtual_tokens=4),
    'prefix': dict(peft_type='PREFIX_TUNING', num_virtual_tokens=4),
}

_BASE = dict(dim=32, layers=2, ffn_dim=64, vocab_size=30, positions=16)


def base_tensors() -> dict[str, np.ndarray]:
  """Returns a random BERT's tensors, the same wherever it is drawn."""
  return tiny.random_tensors(tiny.hugging_face_shapes(**_BASE), 1, 0.2)


def head_tensors() -> dict[str, np.ndarray]:
  """Returns a random linear head's 'weight' [3, dim] and 'bias' [3]."""
  rng = np.random.default_rng(2)
  return {'weight': rng.standard_normal((OUTPUTS, SHAPE.dim), np.float32),
          'bias': rng.standard_normal(OUTPUTS, np.float32)}


def batch(case: str) -> dict[str, np.ndarray]:
  """Returns 'tokens', 'segments' and 'mask' [3, 7], padded where it can be.

  In the `adapters` library gates average over padding and prompts attend to it,
  so that padding changes its outputs; here it does not.
  """
  inputs = tiny.random_batch(SHAPE, 3, 7, seed=3)
  if 'gated' in case or case == 'unipelt' or case.startswith('prompt'):
    inputs['mask'] = np.ones_like(inputs['mask'])
  return {name: inputs[name] for name in ('tokens', 'segments', 'mask')}
