"""Adapter methods, one file each: config, module and foreign names.

To add a method, write a config class (`base.Method`) with its module and its
codec (`codec.Codec`), and name it in CONFIGS. Imports `layers`, `trees` and
`errors` only. Public: CONFIGS, `classes`, `Method`, `strings.parse` and
`strings.render`.
"""

from adapters_jax.methods import base
from adapters_jax.methods import bottleneck
from adapters_jax.methods import compacter
from adapters_jax.methods import ia3
from adapters_jax.methods import invertible
from adapters_jax.methods import lora
from adapters_jax.methods import prefix
from adapters_jax.methods import prompt
from adapters_jax.methods import reft
from adapters_jax.methods import registry
from adapters_jax.methods import vera

# {name in `strings.parse`: methods}. Names and defaults are AdapterHub's except
# for 'bottleneck' (the paper's), 'rslora', 'adapter_plus' and 'ia3_inputs'.
CONFIGS = registry.Registry({
    'bottleneck': (bottleneck.Bottleneck(),),
    'seq_bn': (bottleneck.SEQ_BN,),
    'pfeiffer': (bottleneck.SEQ_BN,),
    'double_seq_bn': (bottleneck.DOUBLE_SEQ_BN,),
    'houlsby': (bottleneck.DOUBLE_SEQ_BN,),
    'par_bn': (bottleneck.PAR_BN,),
    'parallel': (bottleneck.PAR_BN,),
    'scaled_par_bn': (bottleneck.PAR_BN.with_fields(scaling='learned'),),
    'scaled_parallel': (bottleneck.PAR_BN.with_fields(scaling='learned'),),
    'adapter_plus': (bottleneck.ADAPTER_PLUS,),
    'seq_bn_inv': (bottleneck.SEQ_BN, invertible.Invertible()),
    'pfeiffer+inv': (bottleneck.SEQ_BN, invertible.Invertible()),
    'double_seq_bn_inv': (
        bottleneck.DOUBLE_SEQ_BN, invertible.Invertible(activation='swish')),
    'houlsby+inv': (
        bottleneck.DOUBLE_SEQ_BN, invertible.Invertible(activation='swish')),
    'invertible': (invertible.Invertible(),),
    'compacter': (compacter.COMPACTER,),
    'compacter++': (compacter.COMPACTER_PLUS,),
    'prefix_tuning': (prefix.PrefixTuning(),),
    'prefix_tuning_flat': (prefix.PrefixTuning(flat=True),),
    'prompt_tuning': (prompt.PromptTuning(),),
    'lora': (lora.LoRA(),),
    'rslora': (lora.LoRA(rank_stabilized=True),),
    'dora': (lora.LoRA(dora='adapters'),),
    'ia3': (ia3.IA3(),),
    'ia3_inputs': (ia3.IA3Inputs(),),
    'vera': (vera.VeRA(),),
    'loreft': (reft.LOREFT,),
    'noreft': (reft.NOREFT,),
    'direft': (reft.DIREFT,),
    # The mix-and-match adapter of He et al. (2022).
    'mam': (prefix.PrefixTuning(bottleneck_size=800), bottleneck.PAR_BN),
    'unipelt': (
        prefix.PrefixTuning(prefix_length=10, use_gating=True),
        bottleneck.SEQ_BN.with_fields(use_gating=True),
        lora.LoRA(alpha=2, use_gating=True)),
})

Method = base.Method


def classes() -> tuple[type[Method], ...]:
  """Returns the class of each method in CONFIGS, in order."""
  return tuple(dict.fromkeys(
      type(config) for configs in CONFIGS.values() for config in configs))
