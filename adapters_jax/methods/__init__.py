"""Adapter methods: a frozen config that makes its own module, a file each."""

from adapters_jax.methods import bottleneck

# Every named method. A name is what `--adapter_config` and saved files say.
CONFIGS = {
    'bottleneck': bottleneck.Bottleneck,
}

# The activations a config may name.
ACTIVATIONS = bottleneck.ACTIVATIONS
