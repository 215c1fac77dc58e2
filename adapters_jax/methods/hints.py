"""Advice on names of methods and fields from other libraries."""

from collections.abc import Collection
import re

# {method of PEFT, AdapterHub or a paper, without dashes and underscores: name
# of the closest method in CONFIGS}. None of the keys is implemented.
ABSENT = {
    'adalora': 'lora', 'boft': 'lora', 'bone': 'lora', 'c3a': 'lora',
    'corda': 'lora', 'delora': 'dora', 'dvora': 'vera',
    'dylora': 'lora', 'eva': 'lora',
    'fourierft': 'vera', 'gralora': 'lora', 'hra': 'lora', 'loftq': 'lora',
    'loha': 'lora', 'lokr': 'compacter', 'lorafa': 'lora', 'loraplus': 'lora',
    'lora+': 'lora', 'miss': 'lora', 'mtllora': 'lora', 'oft': 'lora',
    'olora': 'lora', 'osf': 'lora', 'pissa': 'lora', 'qlora': 'lora',
    'randlora': 'vera', 'road': 'ia3', 'shira': 'lora', 'vblora': 'vera',
    'waveft': 'vera', 'xlora': 'lora',
    'cpt': 'prompt_tuning', 'ptuning': 'prompt_tuning',
    'ptuningv2': 'prefix_tuning', 'adaptionprompt': 'prefix_tuning',
    'llamaadapter': 'prefix_tuning', 'mpt': 'prompt_tuning',
    'multitaskprompttuning': 'prompt_tuning', 'poly': 'lora',
    'hyperformer': 'seq_bn', 'krona': 'compacter',
    'phm': 'compacter', 'lst': 'par_bn', 'ladder': 'par_bn',
}
# {another name: name in CONFIGS}
SAME = {
    'adapter': 'houlsby', 'adapters': 'houlsby', 'adapterbert': 'houlsby',
    'prefix': 'prefix_tuning',
    'prompt': 'prompt_tuning', 'madx': 'seq_bn_inv', 'mixandmatch': 'mam',
    'reft': 'loreft',
}
# {trained leaves of the base by another name: value of `tune`}
TUNED = {
    'bitfit': 'bias', 'biases': 'bias', 'lntuning': 'norms',
    'layernorm': 'norms', 'layernorms': 'norms', 'finetuning': 'full',
    'finetune': 'full', 'fullfinetuning': 'full', 'linearprobe': 'head',
    'linearprobing': 'head', 'probe': 'head', 'toplayers': 'top_k',
}
# {field of another library or a paper: equivalent fields, of which a method has
# at most one}
_FIELDS = {
    'rank': ('r',), 'lora_r': ('r',), 'size': ('r', 'prefix_length',
                                              'prompt_length'),
    'adapter_size': ('size', 'r', 'prefix_length', 'prompt_length'),
    'bottleneck_size': ('size',), 'bottleneck_dim': ('size',),
    'adapter_dim': ('size',), 'hidden_size': ('size',), 'width': ('size', 'r'),
    'dim': ('size', 'r'), 'adapter_layers': ('layers',),
    'adapter_sites': ('sites',), 'target_modules': ('sites',),
    'lora_alpha': ('alpha',), 'lora_dropout': ('dropout',),
    'vera_dropout': ('dropout',), 'num_virtual_tokens': (
        'prefix_length', 'prompt_length'),
    'length': ('prefix_length', 'prompt_length'),
    'prefix_size': ('prefix_length',), 'prompt_size': ('prompt_length',),
    'reduction': ('reduction_factor',), 'use_rslora': ('rank_stabilized',),
    'rslora': ('rank_stabilized',), 'layers_to_transform': ('layers',),
    'layers_pattern': ('layers',), 'nonlinearity': ('activation',),
    'init_lora_weights': ('init',), 'gating': ('use_gating',),
}


def plain(name: str) -> str:
  """Returns a name in lower case without dashes, underscores and spaces."""
  return re.sub(r'[-_\s]', '', name.lower())


def of_method(name: str, known: Collection[str]) -> str:
  """Returns the end of a message, "NAME is ...", on an unknown method, or ''.

  Args:
    name: The unknown name.
    known: Names of the methods.
  """
  word = plain(name)
  spelled = {plain(one): one for one in known}.get(word, SAME.get(word))
  if spelled:
    return f'is named {spelled} in this package'
  if word in TUNED:
    return (f'adds no module; give `tune={TUNED[word]}`, in Python '
            f'`method={TUNED[word]!r}`')
  if word in ABSENT:
    return f'is not implemented; the closest method is {ABSENT[word]}'
  return ''


def names_layers(word: str) -> bool:
  """Returns whether a word names the layers with an adapter, here or elsewhere.

  Args:
    word: Field that a user gives.
  """
  return word.lower() == 'layers' or 'layers' in _FIELDS.get(word.lower(), ())


def of_field(name: str, known: Collection[str]) -> str:
  """Returns the field for which another library has this name, '' if none.

  Args:
    name: The unknown field.
    known: Fields of the method.
  """
  return next((one for one in _FIELDS.get(name.lower(), ()) if one in known),
              '')
